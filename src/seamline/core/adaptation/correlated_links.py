"""Risk adjustment of a planning problem: four corrections to link estimates before plans are compared by them.

Links that share a bottleneck. Links with a node in common often share a bottleneck, such as the uplink of an edge
device, and then have the same rate. Of two links that had the same rate when one was last sampled, that one is assumed
to have changed by the same ratio as the other since. Without this the best plan is always one over the link whose
sample is oldest, while all are falling.

Shared drops. After a drop on one link, the other links of its node look untouched only because nothing was sent over
them since. A plan that moves to such a link puts the next frame behind the one that is stuck. So a link is assumed to
have dropped as much as any other outgoing link of its node since it was last sampled, or as an incoming link of the
same rate: the way back may show a drop first. A new sample of its own decides. (Estimators do the same when a receipt
confirms a jump; here a transfer that is only overdue counts.)

Oscillating links. A plan that follows a link which oscillates every few seconds comes too late every time. Latency is
linear in seconds per bit, so the plan that is best for the average is the best static plan over the time remembered.
All links of the node are taken at their averages then, since any of them may be slow at the next moment. Averages are
those of messages (`core.link.average`), or of estimates where only these are reported (`oscillation.py`).

Further hops. Every stage beyond the second costs work that no profile contains: one more message to receive, schedule
and send. And estimates of links between other nodes, measured by small probes, are the least certain. A plan over
another node must gain more than `hop_cost_s`.

Adjusted estimates are for one decision, and never reported: views keep the measured ones.
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
"""Drop below which a link counts as fallen: a smaller one is no evidence about others."""


AVERAGE_STD_RATIO = 0.05
"""Least standard deviation (relative) of an average over a few oscillations."""

SAME_RATE_STEP = 0.25
"""Logarithm of the factor by which links of one rate may differ."""

SHARED_STD_RATIO = 0.08
"""Least standard deviation (relative) of a goodput that is inferred from another link's."""

MOST_RISEN_RATIO = 1.5
"""Largest rise inferred from another link: small probes overrate a link now and then, and a plan that builds on it is
much slower than predicted."""

LATER_S = 0.2
"""Samples within this time of one another are equally new."""


def risk_adjusted(problem: Problem, view: View, hop_cost_s: float) -> Problem:
    """Risk-adjusted `problem`, the one of `view`: with its links corrected, see the module."""
    oscillating = oscillating_nodes(view)
    links: dict[Link, LinkEstimate] = {}
    for link, known in problem.links.items():
        if link[0] in oscillating and link in view.oscillations and known.goodput_bps > 0.0:
            known = _averaged(known, view.oscillations[link])
        else:
            if (sharing := _newest_sharing(link, known, view)) is not None:
                known = _changed_with(known, view.sampled_beside[link], sharing)
            if (goodput_bps := _dropped_with_bps(link, known, view)) < known.goodput_bps:
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


def _newest_sharing(link: Link, known: LinkEstimate, view: View) -> LinkEstimate | None:
    """Newest estimate of a link that likely shares the bottleneck of `link`: of the same rate when `link` was sampled.

    None unless it was sampled since.
    """
    beside = view.sampled_beside.get(link, {})
    own_bps, newest = beside.get(link, 0.0), None
    if known.goodput_bps <= 0.0 or own_bps <= 0.0:
        return None
    for other, was_bps in beside.items():
        now = view.links.get(other)
        if other == link or now is None or now.goodput_bps <= 0.0 or was_bps <= 0.0:
            continue
        if other[1] == link[0] and other[0] != link[1]:  # in from elsewhere: shares drops perhaps, but not all changes
            continue
        is_later = now.measured_at_s > max(known.measured_at_s + LATER_S, newest.measured_at_s if newest else -math.inf)
        if is_later and _have_same_rate(was_bps, own_bps):
            newest = now
    return newest


def _have_same_rate(one_bps: float, other_bps: float) -> bool:
    return abs(math.log(one_bps / other_bps)) <= SAME_RATE_STEP


def _changed_with(known: LinkEstimate, beside: Mapping[Link, float], sharing: LinkEstimate) -> LinkEstimate:
    """`known` changed since its last sample by the same ratio as `sharing`; upwards only by `MOST_RISEN_RATIO`.

    A cap by its own message in flight stays.
    """
    was_bps, ratio = beside[known.source, known.target], sharing.goodput_bps / beside[sharing.source, sharing.target]
    goodput_bps = was_bps * min(MOST_RISEN_RATIO, ratio)
    if ratio == 1.0 or known.goodput_bps < min(was_bps, goodput_bps):
        return known
    std_ratio = math.hypot(known.goodput_std_ratio, sharing.goodput_std_ratio, SHARED_STD_RATIO)
    return replace(known, goodput_bps=goodput_bps, goodput_std_ratio=std_ratio)


def _dropped_with_bps(link: Link, known: LinkEstimate, view: View) -> float:
    """Goodput of `link`, reduced by the largest drop since its sample among links that may share its bottleneck.

    A link that dropped itself stays as it is, and so does one that was down when it was last reported.
    """
    beside = view.sampled_beside.get(link, {})
    own_bps = beside.get(link, 0.0)
    if own_bps <= 0.0 or known.goodput_bps < FALLEN_RATIO * own_bps:
        return known.goodput_bps
    left_ratio = 1.0
    for other, was_bps in beside.items():
        now = view.links.get(other)
        if other == link or now is None or was_bps <= 0.0 or now.goodput_bps <= 0.0:
            continue
        if other[0] == link[0] or (other[1] == link[0] and _have_same_rate(was_bps, own_bps)):
            left_ratio = min(left_ratio, now.goodput_bps / was_bps)
    if left_ratio >= FALLEN_RATIO:
        return known.goodput_bps
    return min(known.goodput_bps, left_ratio * own_bps)
