"""Sharing: what other streams on a node cost a plan, and when a stream moves because of them.

Price. A plan that uses a node waits there for the frames of others and lets them wait (`cost.waiting`): it is charged
with both, its own load taken out of what the node reports. Streams that each lower what they are charged with lower
what all wait together, so one by one they come to rest near the joint optimum (`analysis.joint` knows that).

Herds. Streams that see the same move at the same moment must not all make it. The crowd is the load of others on all
nodes that a stream sees. A third of what may move until the gain is gone, as a share of the crowd, is `moving_ratio`;
at least the stream's own share. With that probability it moves at once, and the probability doubles with every
`FEEDBACK_S`, after which others see who has moved. So a stream waits FEEDBACK_S log2(u / share) seconds for a u that is
its own, and its gain is looked at again with every report meanwhile: when enough others have moved, it stays.

Memory. A move that its frames did not confirm, or that follows the last one soon, makes the stream doubt: its plan
stays longer, its turn comes later and the next move must gain more, until a plan that was chosen so has served for a
minute.

Forced moves (a node is gone) cannot wait: they are dealt out, see `dealt_at`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce

from seamline.core.cost.formulas import stage_costs
from seamline.core.cost.loads import NodeLoad, StageLoad
from seamline.core.cost.problem import Problem
from seamline.core.cost.waiting import caused_s, met_s
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan

FEEDBACK_S = 1.0
"""From a decision until its load is reported to others: preparing, and a status."""

STAY_S = 2.0
"""A plan that was chosen by load is kept for so long: it takes a while until all who moved are seen by all."""

CAUTION = 3.0
"""Of what may move until a gain is gone, this part moves at once: who moves is known a while later, and by chance."""

MOST_DOUBT = 16.0
SOON_S = 60.0
CONFIRMED_RATIO = 1.15
"""A move is confirmed by frames that take no more than so many times what was predicted."""

N_HANDS = 8
"""Shares in which the load of a lost node is dealt out."""

SEARCH_STEPS = 8

Loads = Mapping[NodeId, NodeLoad]


@dataclass(frozen=True, slots=True)
class Sharing:
    """Memory of one stream. held_since_s: since when a move by load has been put off, inf when none is. moved_s: of the
    last one; is_on_trial: whether its frames have yet to confirm it. doubt: 1 or more."""

    held_since_s: float = math.inf
    moved_s: float = -math.inf
    is_on_trial: bool = False
    doubt: float = 1.0


def held(known: Sharing, is_held: bool, now_s: float) -> Sharing:
    """`known` after a decision that put a move off, or did not."""
    if is_held == (known.held_since_s < math.inf):
        return known
    return replace(known, held_since_s=now_s if is_held else math.inf)


def moved(known: Sharing, now_s: float) -> Sharing:
    """`known` after a move by load."""
    is_soon = now_s - known.moved_s < SOON_S
    doubt = min(MOST_DOUBT, 2.0 * known.doubt) if is_soon else max(1.0, known.doubt / 2.0)
    return Sharing(moved_s=now_s, is_on_trial=True, doubt=doubt)


def measured(known: Sharing, ratio: float) -> Sharing:
    """`known` after frames of the plan in use took `ratio` times what was predicted."""
    if not known.is_on_trial:
        return known
    doubt = known.doubt if ratio <= CONFIRMED_RATIO else min(MOST_DOUBT, 2.0 * known.doubt)
    return replace(known, is_on_trial=False, doubt=doubt)


def gain_factor(known: Sharing) -> float:
    """By how much the least gain of a move by load exceeds that of others."""
    return 1.0 + math.log2(known.doubt)


# -- prices ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shared:
    """What prices of shared nodes follow from. loads: as nodes report them. current: the plan whose frames are in
    them. rate_per_s: frames of this stream."""

    loads: Loads
    rate_per_s: float = 0.0
    current: Plan | None = None

    def others(self, problem: Problem) -> Loads:
        """`loads` without this stream."""
        if self.current is None or not self.rate_per_s:
            return self.loads
        found = dict(self.loads)
        for node, busy_s in busy_by_node(self.current, problem).items():
            if node in found:
                found[node] = found[node].less(StageLoad(self.rate_per_s, busy_s))
        return found

    def waiting(self, problem: Problem) -> Problem:
        """`problem` with what this stream's frames wait by `current`; on other nodes, if they ran the whole model."""
        return self._priced(problem, self.current, self.others(problem), met_s)

    def charged(self, problem: Problem, plan: Plan | None = None, others: Loads | None = None) -> Problem:
        """The same by `plan`, `current` for None, with what they let others wait besides. others: if known already."""
        known = self.others(problem) if others is None else others
        return self._priced(problem, plan or self.current, known, _met_and_caused)

    def tolls(self, problem: Problem) -> dict[NodeId, float]:
        """What each node would charge this stream for the whole model: no plan is charged more there, and none is
        relieved of more when the load of others falls."""
        whole = Shared(self.loads, self.rate_per_s).charged(problem, others=self.others(problem))
        return {node: whole.queue_s[node] for node in self.loads if node in problem.profiles}

    def _priced(
        self, problem: Problem, plan: Plan | None, others: Loads, price: Callable[[NodeLoad, StageLoad], float]
    ) -> Problem:
        if not others:
            return problem
        busy, queue_s = {} if plan is None else busy_by_node(plan, problem), dict(problem.queue_s)
        for node, load in others.items():
            if node not in problem.profiles:
                continue
            busy_s = busy.get(node)
            if busy_s is None:
                busy_s = problem.profiles[node].whole_s.median * problem.compute_ratio.get(node, 1.0)
            queue_s[node] = price(load, StageLoad(self.rate_per_s, busy_s))
        return replace(problem, queue_s=queue_s)


def busy_by_node(plan: Plan, problem: Problem) -> dict[NodeId, float]:
    """Seconds of work of one frame by node; nothing where a profile is missing."""
    if any(node not in problem.profiles for node in plan.nodes):
        return {}
    return {stage.node: stage.busy_s for stage in stage_costs(plan, problem) if not stage.segment.is_empty}


def _met_and_caused(others: NodeLoad, own: StageLoad) -> float:
    return met_s(others, own) + caused_s(others, own)


def toll_s(others: Loads, busy: Mapping[NodeId, float], rate_per_s: float) -> float:
    """What a stream is charged with on all nodes on which it works `busy` seconds a frame."""
    own = {node: StageLoad(rate_per_s, busy_s) for node, busy_s in busy.items() if node in others}
    return sum(_met_and_caused(others[node], load) for node, load in own.items())


# -- moves -------------------------------------------------------------------------------------------------------------


def moving_ratio(shared: Shared, problem: Problem, leaves: Plan, comes: Plan, gain_s: float) -> float:
    """Share of the crowd that may move at once from the nodes of `leaves` to those of `comes`, where one stream gains
    `gain_s`; at least this stream's share."""
    others, rate_per_s = shared.others(problem), shared.rate_per_s
    left, came = busy_by_node(leaves, problem), busy_by_node(comes, problem)
    charged_s = toll_s(others, left, rate_per_s) - toll_s(others, came, rate_per_s)
    targets = set(comes.nodes) - set(leaves.nodes) - {problem.origin}
    sources = set(leaves.nodes) - set(comes.nodes) - {problem.origin}
    crowd = reduce(NodeLoad.with_all, [load for node, load in others.items() if node not in targets], NodeLoad())
    own = rate_per_s * sum(busy_s for node, busy_s in left.items() if node in sources)
    if crowd.work <= 0.0 or not (targets or sources):
        return 1.0

    def after(share: float) -> float:
        loads = dict(others)
        for node in targets & loads.keys():
            loads[node] = loads[node].with_all(crowd.scaled(share / len(targets)))
        for node in sources & loads.keys():
            loads[node] = loads[node].scaled(1.0 - share)
        return gain_s + toll_s(loads, left, rate_per_s) - toll_s(loads, came, rate_per_s) - charged_s

    low, high = 0.0, 1.0
    for _ in range(SEARCH_STEPS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if after(middle) > 0.0 else (low, middle)
    return min(1.0, max(low / CAUTION, own / (own + crowd.work)))


def is_due(known: Sharing, share: float, who: str, now_s: float) -> bool:
    """Whether a move is made now that `share` of the crowd may make. who: what differs between streams."""
    from_s = known.moved_s + STAY_S * known.doubt
    if now_s < from_s:
        return False
    waited_s = max(0.0, now_s - max(from_s, known.held_since_s)) if known.held_since_s < math.inf else 0.0
    wanted = drawn(who) * known.doubt
    return share * math.exp2(min(64.0, waited_s / (FEEDBACK_S * known.doubt))) >= wanted


def dealt_at(who: str) -> int:
    """Which of `N_HANDS` equal hands of a lost node's load this stream belongs to. Each hand goes where it is best once
    the hands before it are gone, so streams that must move at the same moment spread as they would one by one."""
    return int(drawn(who) * N_HANDS) % N_HANDS


def with_hand(loads: Loads, lost: NodeLoad, plan: Plan) -> Loads:
    """`loads` once one hand of what `lost` had has gone by `plan`."""
    return {
        node: load.with_all(lost.scaled(1.0 / N_HANDS)) if node in plan.nodes else load for node, load in loads.items()
    }


def drawn(who: str) -> float:
    """A number from 0 to 1 that is its own for every `who`."""
    mixed = zlib.crc32(who.encode()) * 2654435761 & 0xFFFFFFFF  # checksums of names alike are alike (Knuth, 6.4)
    return (zlib.crc32(mixed.to_bytes(4, "big")) + 1) / 2**32
