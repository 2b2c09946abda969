"""Break-even of splitting: from which link speed on it is quicker than not to split, and what crosses at the least.

Of plans over two nodes, for the latency of one frame. The latency of one plan is a constant and its bits over the
speed, so the break-even of two plans is a division; no speed is searched for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from seamline.core.cost.feasibility import why_infeasible
from seamline.core.cost.formulas import breakdown
from seamline.core.cost.payload import offered_codecs, sent_bytes
from seamline.core.cost.problem import Problem
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec, Plan, Segment, Stage
from seamline.core.vocabulary.profiles import Cut

_TRIAL_BPS = 1e6
"""The speed at which plans are taken apart into a constant and bits; any would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEven:
    """Between the origin and `node`, both directions of the link equally fast, its round trip as in the problem.

    split_bps: from this speed on `split` is quicker than the origin alone, and no plan that splits is at a lower one;
    None when none is at any. whole_bps: the same of the frame sent whole, None when that never pays or is not allowed.
    beaten_bps: from this speed on sending the frame whole is quicker than every split; None when that never is.
    """

    node: NodeId
    split: Plan | None
    split_bps: float | None
    whole_bps: float | None
    beaten_bps: float | None


@dataclass(frozen=True, slots=True)
class _Line:
    """Latency of a plan over the speed of the link: fixed_s + n_bits / speed."""

    plan: Plan
    fixed_s: float
    n_bits: float

    def from_bps(self, other: _Line) -> float | None:
        """The speed from which on this one is quicker than `other`, which sends less; None when at none."""
        gain_s, more_bits = other.fixed_s - self.fixed_s, self.n_bits - other.n_bits
        if gain_s <= 0.0:
            return None
        return max(0.0, more_bits) / gain_s


def break_even(problem: Problem, node: NodeId) -> BreakEven:
    """From which speed of the link to `node` on plans over it and the origin pay."""
    local = _line(Plan.local(problem.origin, len(problem.cuts)), problem, node)
    splits = [_line(plan, problem, node) for plan in _plans(problem, node, problem.cuts[1:-1])]
    whole = [_line(plan, problem, node) for plan in _plans(problem, node, problem.cuts[:1])]
    paying = [(speed, line) for line in splits if (speed := line.from_bps(local)) is not None]
    split_bps, split = min(paying, key=lambda each: each[0], default=(None, None))
    beaten = [speed for line in whole if (speed := _beats_all(line, splits)) is not None]
    return BreakEven(
        node=node,
        split=None if split is None else split.plan,
        split_bps=split_bps,
        whole_bps=min((speed for line in whole if (speed := line.from_bps(local)) is not None), default=None),
        beaten_bps=min(beaten, default=None),
    )


def first_below(cuts: Sequence[Cut], n_bytes: float) -> Cut | None:
    """The first inner cut where less than `n_bytes` cross, as they are; None where there is none."""
    return next((cut for cut in cuts[1:-1] if cut.is_candidate and cut.payload_bytes < n_bytes), None)


def _beats_all(whole: _Line, splits: Sequence[_Line]) -> float | None:
    """From which speed on `whole` is quicker than every split, though some may send less."""
    speeds = [whole.from_bps(split) for split in splits]
    return None if any(speed is None for speed in speeds) else max((s for s in speeds if s is not None), default=None)


def _plans(problem: Problem, node: NodeId, cuts: Sequence[Cut]) -> Iterator[Plan]:
    """Plans that cut at one of `cuts`, by the codec that sends the least of those allowed."""
    frame, last = problem.profiles[problem.origin].frame, problem.last_cut
    for cut in cuts:
        if not cut.is_candidate and cut.index:
            continue
        found = []
        for codec in offered_codecs(cut, frame):
            head, tail = Segment(0, cut.index), Segment(cut.index, last)
            plan = Plan((Stage(problem.origin, head, codec), Stage(node, tail)))
            if why_infeasible(plan, _with_speed(problem, node)) is None:
                found.append((sent_bytes(cut, codec, problem), codec is not Codec.RAW, plan))
        if found:
            yield min(found, key=lambda each: each[:2])[2]


def _line(plan: Plan, problem: Problem, node: NodeId) -> _Line:
    costs = breakdown(plan, _with_speed(problem, node))
    on_link_s = math.fsum(link.serialise_s for link in costs.all_links)
    return _Line(plan, costs.latency_s - on_link_s, on_link_s * _TRIAL_BPS)


def _with_speed(problem: Problem, node: NodeId) -> Problem:
    """`problem` with both directions of the link to `node` at the trial speed."""
    links = dict(problem.links)
    for ends in ((problem.origin, node), (node, problem.origin)):
        known = links.get(ends) or LinkEstimate(source=ends[0], target=ends[1], rtt_s=0.0, goodput_bps=_TRIAL_BPS)
        links[ends] = replace(known, goodput_bps=_TRIAL_BPS)
    return replace(problem, links=links)
