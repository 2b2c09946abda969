"""A planning problem as a careful decision sees it: two corrections to beliefs that are too good to act on.

Siblings of a link that fell. The other links of the same node look untouched only because nothing was sent over them
since; an edge device has one way out of the house. A plan that flees to such a sibling puts the next frame behind the
one that is stuck. So a link is believed to have fallen as its siblings have since it was last sampled; a new sample of
its own decides. (The estimators do the same when a receipt proves a jump; here a transfer that is only overdue counts.)

Further hops. Every stage beyond the second costs work that no profile contains (a message more to receive, schedule and
send), and estimates of links between other nodes, measured by small probes, are the least sure. A plan over another
node must gain more than that.

Nothing here is believed for long or reported: views keep what was measured.
"""

from __future__ import annotations

from dataclasses import replace

from seamline.core.events import View
from seamline.core.problem import Problem
from seamline.core.values import Link, LinkEstimate

FALLEN_RATIO = 0.7
"""A link above this share of what it was has not fallen enough to blame others for it."""


def cautious(problem: Problem, view: View, hop_cost_s: float) -> Problem:
    """`problem` with both corrections; itself when there is nothing to correct."""
    links: dict[Link, LinkEstimate] = {}
    for link, known in problem.links.items():
        goodput_bps = _fallen_alike_bps(link, known, view)
        further_s = 0.0 if problem.origin in link else 2.0 * hop_cost_s
        is_corrected = further_s > 0.0 or goodput_bps < known.goodput_bps
        links[link] = replace(known, goodput_bps=goodput_bps, rtt_s=known.rtt_s + further_s) if is_corrected else known
    return replace(problem, links=links)


def _fallen_alike_bps(link: Link, known: LinkEstimate, view: View) -> float:
    """Goodput of `link`, no better than a sibling that has fallen since lets expect; one that fell itself is known."""
    beside = view.sampled_beside.get(link, {})
    if known.goodput_bps < FALLEN_RATIO * beside.get(link, 0.0):
        return known.goodput_bps
    left_ratio = 1.0
    for sibling, was_bps in beside.items():
        now = view.links.get(sibling)
        if sibling != link and now is not None and was_bps > 0.0 and now.goodput_bps > 0.0:
            left_ratio = min(left_ratio, now.goodput_bps / was_bps)
    if left_ratio >= FALLEN_RATIO:
        return known.goodput_bps
    return min(known.goodput_bps, left_ratio * beside[link])
