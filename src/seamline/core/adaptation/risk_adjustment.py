"""Risk adjustment of a planning problem: link estimates are corrected before plans are compared by them.

Shared uplink. The links of the origin are what `uplink.py` says, so a plan cannot flee to a link that only looks
untouched because nothing was sent over it since the others fell.

Oscillating links. A plan that follows a link which oscillates every few seconds comes too late every time. Latency is
linear in seconds per bit, so the plan that is best for the average is the best static plan over the time remembered.
All links of the node are taken at their averages of messages (`core.link.average`) then, since any of them may be slow
at the next moment; one not seen for `uplink.FALLEN_S` at that of the link that oscillates, if it is more.

Way back. Receipts come back from the node that a frame was sent to. While that way is down, none do, so a link of the
origin counts as down as well: after an outage its own measurements return before the other node's, and a plan that
answers over a third node in between would be chosen for a moment's ignorance.

Excess. Transfers over the links of the origin have taken longer than forecast lately (`excess.py`), by a mean or, where
a deadline asks for a chance, by a quantile; the links count as slower by that.

Further hops. Every stage beyond the second costs work that no profile contains: one more message to receive, schedule
and send. And estimates of links between other nodes, measured by small probes, are the least certain. A plan over
another node must gain more than `hop_cost_s`.

Adjusted estimates are for one decision, and never reported: views keep the measured ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from seamline.core.adaptation.uplink import FALLEN_S
from seamline.core.adaptation.view import View
from seamline.core.cost.problem import Problem
from seamline.core.vocabulary.links import Link, LinkEstimate
from seamline.core.vocabulary.nodes import NodeId

AVERAGE_STD_RATIO = 0.05
"""Least standard deviation (relative) of an average over a few oscillations."""

SHARED_STD_RATIO = 0.08
"""Standard deviation (relative) that a goodput has beside its own when another link's sample stands for it."""


def risk_adjusted(problem: Problem, view: View, hop_cost_s: float) -> Problem:
    """Risk-adjusted `problem`, the one of `view`: with its links corrected, see the module."""
    oscillating = oscillating_nodes(view)
    slower = 1.0 + view.excess_ratio
    links: dict[Link, LinkEstimate] = {}
    for link, known in problem.links.items():
        if link[0] in oscillating and known.goodput_bps > 0.0 and known.average_bps > 0.0:
            is_old = view.now_s - known.measured_at_s > FALLEN_S
            known = _averaged(known, oscillating[link[0]] if is_old else 0.0)
        elif link[0] == problem.origin and _is_down(problem.links.get((link[1], link[0]))):
            known = replace(known, goodput_bps=0.0)
        elif view.uplink is not None and link[0] == problem.origin:
            known = _shared(known, view.uplink.estimated_bps(known))
        if problem.origin in link and slower > 1.0 and known.goodput_bps > 0.0 and link[0] not in oscillating:
            known = replace(known, goodput_bps=known.goodput_bps / slower)
        further_s = 0.0 if problem.origin in link else 2.0 * hop_cost_s
        links[link] = replace(known, rtt_s=known.rtt_s + further_s) if further_s > 0.0 else known
    return replace(problem, links=links)


def oscillating_nodes(view: View) -> Mapping[NodeId, float]:
    """Nodes one of whose outgoing links oscillates too fast to be followed, and what that carries on average."""
    return {link[0]: known.average_bps for link, known in view.links.items() if view.now_s < known.oscillating_until_s}


def _is_down(known: LinkEstimate | None) -> bool:
    return known is not None and known.goodput_bps <= 0.0


def _averaged(known: LinkEstimate, least_bps: float) -> LinkEstimate:
    """`known` as it is on average. What messages take beyond their bytes is in the average of messages already."""
    std_ratio, average_bps = max(known.average_std_ratio, AVERAGE_STD_RATIO), max(known.average_bps, least_bps)
    return replace(known, goodput_bps=average_bps, goodput_std_ratio=std_ratio, overhead_s=0.0)


def _shared(known: LinkEstimate, goodput_bps: float) -> LinkEstimate:
    """`known` with the goodput that the uplink allows it."""
    if goodput_bps == known.goodput_bps:
        return known
    return replace(
        known, goodput_bps=goodput_bps, goodput_std_ratio=math.hypot(known.goodput_std_ratio, SHARED_STD_RATIO)
    )
