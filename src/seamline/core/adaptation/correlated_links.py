"""A planning problem as a careful decision sees it: four corrections to beliefs that must not be acted on as they are.

Links alike. Links with a node in common often share what is narrow (the edge's way out of the house), and carry the
same then. Of two that were alike when one was last sampled, that one is believed to have gone the way of the other
since. Otherwise the best plan is always one over the link that was not looked at for longest while all were falling.

Siblings of a link that fell. The other links of the same node look untouched only because nothing was sent over them
since; an edge device has one way out of the house. A plan that flees to such a sibling puts the next frame behind the
one that is stuck. So a link is believed to have fallen as its siblings have since it was last sampled, and as a way
into its node has, if that carried the same: the way back may show a fall first. A new sample of its own decides. (The
estimators do the same when a receipt proves a jump; here a transfer that is only overdue counts.)

Swinging links. Of a link that turns every few seconds, only the average is of use; plans that follow it come too late
every time. Latency is linear in seconds per bit, so what is best for the average of them is the best fixed plan over
all that is remembered. All links of its node are taken at their own averages then, since the next moment may find any
of them low. Averages are those of messages (`average.py`), of beliefs where only these are reported (`oscillation.py`).

Further hops. Every stage beyond the second costs work that no profile contains (a message more to receive, schedule and
send), and estimates of links between other nodes, measured by small probes, are the least sure. A plan over another
node must gain more than that.

Nothing here is believed for long or reported: views keep what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import replace

from seamline.core.adaptation.oscillation import Oscillation
from seamline.core.adaptation.view import View
from seamline.core.cost.problem import Problem
from seamline.core.vocabulary.links import Link, LinkEstimate
from seamline.core.vocabulary.nodes import NodeId

FALLEN_RATIO = 0.7
"""A link above this share of what it was has not fallen enough to blame others for it."""


AVERAGE_STD_RATIO = 0.05
"""How sure an average over a few oscillations is at best."""

ALIKE_STEP = 0.25
"""Logarithm of the factor that links believed alike may differ by."""

FOLLOWED_STD_RATIO = 0.08
"""How sure it is at best that two links that were alike still are."""

MOST_RISEN_RATIO = 1.5
"""Small probes overrate a link now and then; a plan that builds on another's is much slower than was thought."""

LATER_S = 0.2
"""What was sampled within this time of one another is as new."""


def cautious(problem: Problem, view: View, hop_cost_s: float) -> Problem:
    """`problem`, the one of `view`, with its links corrected."""
    oscillating = oscillating_nodes(view)
    links: dict[Link, LinkEstimate] = {}
    for link, known in problem.links.items():
        if link[0] in oscillating and link in view.oscillations and known.goodput_bps > 0.0:
            known = _averaged(known, view.oscillations[link])
        else:
            if (alike := _newest_alike(link, known, view)) is not None:
                known = _gone_with(known, view.sampled_beside[link], alike)
            if (goodput_bps := _fallen_alike_bps(link, known, view)) < known.goodput_bps:
                known = replace(known, goodput_bps=goodput_bps)
        further_s = 0.0 if problem.origin in link else 2.0 * hop_cost_s
        links[link] = replace(known, rtt_s=known.rtt_s + further_s) if further_s > 0.0 else known
    return replace(problem, links=links)


def _averaged(known: LinkEstimate, oscillation: Oscillation) -> LinkEstimate:
    """`known` as it is on average. What messages take beyond their bytes is in the average of messages already."""
    if known.average_bps <= 0.0:  # another node's report: the average of its estimates has to do
        std_ratio = max(known.goodput_std_ratio, AVERAGE_STD_RATIO)
        return replace(known, goodput_bps=oscillation.average_bps, goodput_std_ratio=std_ratio)
    std_ratio = max(known.average_std_ratio, AVERAGE_STD_RATIO)
    return replace(known, goodput_bps=known.average_bps, goodput_std_ratio=std_ratio, overhead_s=0.0)


def oscillating_nodes(view: View) -> Set[NodeId]:
    """Nodes one of whose outgoing links oscillates too fast to be followed."""
    by_messages = {link[0] for link, known in view.links.items() if view.now_s < known.oscillating_until_s}
    by_estimates = {
        link[0]
        for link, oscillation in view.oscillations.items()
        if view.links[link].average_bps <= 0.0 and oscillation.is_oscillating(view.now_s)
    }
    return by_messages | by_estimates


def _newest_alike(link: Link, known: LinkEstimate, view: View) -> LinkEstimate | None:
    """The link sampled last of those that carried the same as `link` when that was sampled, and that were since."""
    beside = view.sampled_beside.get(link, {})
    own_bps, newest = beside.get(link, 0.0), None
    if known.goodput_bps <= 0.0 or own_bps <= 0.0:
        return None
    for other, was_bps in beside.items():
        now = view.links.get(other)
        if other == link or now is None or now.goodput_bps <= 0.0 or was_bps <= 0.0:
            continue
        if other[1] == link[0] and other[0] != link[1]:  # in from elsewhere: a fall may be shared, every change is not
            continue
        is_later = now.measured_at_s > max(known.measured_at_s + LATER_S, newest.measured_at_s if newest else -math.inf)
        if is_later and _are_alike(was_bps, own_bps):
            newest = now
    return newest


def _are_alike(one_bps: float, other_bps: float) -> bool:
    return abs(math.log(one_bps / other_bps)) <= ALIKE_STEP


def _gone_with(known: LinkEstimate, beside: Mapping[Link, float], alike: LinkEstimate) -> LinkEstimate:
    """`known`, had it changed since its last sample as `alike` has; up only so far, as being wrong about that costs.

    What its own message, still under way, has proven since stays proven.
    """
    was_bps, ratio = beside[known.source, known.target], alike.goodput_bps / beside[alike.source, alike.target]
    goodput_bps = was_bps * min(MOST_RISEN_RATIO, ratio)
    if ratio == 1.0 or known.goodput_bps < min(was_bps, goodput_bps):
        return known
    std_ratio = math.hypot(known.goodput_std_ratio, alike.goodput_std_ratio, FOLLOWED_STD_RATIO)
    return replace(known, goodput_bps=goodput_bps, goodput_std_ratio=std_ratio)


def _fallen_alike_bps(link: Link, known: LinkEstimate, view: View) -> float:
    """Goodput of `link`, no better than what has fallen beside it since lets expect; one that fell itself is known.

    So is one that was down when it was last heard of: there is nothing that it could have fallen from.
    """
    beside = view.sampled_beside.get(link, {})
    own_bps = beside.get(link, 0.0)
    if own_bps <= 0.0 or known.goodput_bps < FALLEN_RATIO * own_bps:
        return known.goodput_bps
    left_ratio = 1.0
    for sibling, was_bps in beside.items():
        now = view.links.get(sibling)
        if sibling == link or now is None or was_bps <= 0.0 or now.goodput_bps <= 0.0:
            continue
        if sibling[0] == link[0] or (sibling[1] == link[0] and _are_alike(was_bps, own_bps)):
            left_ratio = min(left_ratio, now.goodput_bps / was_bps)
    if left_ratio >= FALLEN_RATIO:
        return known.goodput_bps
    return min(known.goodput_bps, left_ratio * own_bps)
