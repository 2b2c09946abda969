"""Random faults by seed: what befalls nodes and connections in one run, and when the last of it is over.

partition          two nodes hear nothing of each other; one-way: one of them does not
death              a process ends and begins anew, holding nothing; missed after a lease, or at once
leave              a process ends for longer, and says so; late: it is not there at first
hang               a node computes nothing for a while, the origin too
freeze             a node neither computes nor says anything
out of memory      a node cannot prepare segments
slowdown           a node computes more slowly
reordered, doubled control messages, throughout
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from seamline.core.vocabulary.links import Link
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import LEASE_S
from seamline.sim.driver import Driver
from seamline.sim.mesh import Absence
from seamline.sim.network import Span, Weather
from seamline.sim.nodes import SimNode

MOST_FAULTS = 5
SEEN_AT_ONCE_S = 0.01


class Kind(StrEnum):
    PARTITION = "partition"
    ONE_WAY = "one-way partition"
    DEATH = "death"
    LEAVE = "leave"
    LATE = "late"
    HANG = "hang"
    FREEZE = "freeze"
    OUT_OF_MEMORY = "out of memory"
    SLOWDOWN = "slowdown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. other: the second node of a partition. notice_s: until a death is noticed. factor: of a slowdown."""

    kind: Kind
    node: NodeId
    start_s: float
    stop_s: float
    other: NodeId | None = None
    notice_s: float = LEASE_S
    factor: float = 1.0

    def __str__(self) -> str:
        where = self.node if self.other is None else f"{self.node} > {self.other}"
        return f"{self.kind} of {where} from {self.start_s:.3f} to {self.stop_s:.3f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """All faults of one run, over by `until_s`. reordered_ratio, doubled_ratio: of control messages."""

    faults: tuple[Fault, ...] = ()
    reordered_ratio: float = 0.0
    doubled_ratio: float = 0.0
    until_s: float = 0.0

    @property
    def weather(self) -> Weather:
        partitions: dict[Link, tuple[Span, ...]] = {}
        for fault in self.faults:
            if fault.other is not None:
                ways = [(fault.node, fault.other)]
                if fault.kind is not Kind.ONE_WAY:
                    ways.append((fault.other, fault.node))
                for way in ways:
                    partitions[way] = tuple(sorted((*partitions.get(way, ()), (fault.start_s, fault.stop_s))))
        return Weather(
            partitions=partitions,
            reordered_ratio=self.reordered_ratio,
            doubled_ratio=self.doubled_ratio,
            messy_until_s=self.until_s,
        )

    @property
    def absences(self) -> tuple[Absence, ...]:
        return tuple(
            Absence(node=fault.node, start_s=fault.start_s, stop_s=fault.stop_s, notice_s=fault.notice_s)
            for fault in self.faults
            if fault.kind in (Kind.DEATH, Kind.LEAVE, Kind.LATE)
        )

    @property
    def slowdowns(self) -> dict[NodeId, tuple[tuple[float, float], ...]]:
        """As `Scene.slowdowns`; the last one that began counts."""
        steps: dict[NodeId, tuple[tuple[float, float], ...]] = {}
        for fault in self.faults:
            if fault.kind is Kind.SLOWDOWN:
                known = steps.get(fault.node, ())
                steps[fault.node] = tuple(sorted((*known, (fault.start_s, fault.factor), (fault.stop_s, 1.0))))
        return steps

    def befall(self, driver: Driver) -> None:
        """Plan what happens to the nodes of a run that is about to begin."""
        for fault in self.faults:
            node = driver.nodes[fault.node]
            if fault.kind is Kind.HANG or (fault.kind is Kind.FREEZE and fault.other == driver.scene.origin):
                driver.schedule.at(fault.start_s, node.hang, fault.stop_s - fault.start_s)
            elif fault.kind is Kind.OUT_OF_MEMORY:
                driver.schedule.at(fault.start_s, _set_out_of_memory, node, True)
                driver.schedule.at(fault.stop_s, _set_out_of_memory, node, False)


def _set_out_of_memory(node: SimNode, is_out: bool) -> None:
    node.is_out_of_memory = is_out


def random_faults(rng: random.Random, origin: NodeId, others: Sequence[NodeId], until_s: float) -> FaultPlan:
    """One to `MOST_FAULTS` faults, all over by `until_s`. The origin hangs and slows down at most."""
    faults: list[Fault] = []
    absent: set[NodeId] = set()
    for _ in range(rng.randint(1, MOST_FAULTS)):
        kind = rng.choice(list(Kind))
        node = rng.choice([origin, *others] if kind in (Kind.HANG, Kind.SLOWDOWN) else list(others))
        longest_s = 0.5 * until_s
        length_s = rng.choice((rng.uniform(0.02, LEASE_S), rng.uniform(LEASE_S, 2.0), rng.uniform(0.5, longest_s)))
        start_s = rng.uniform(0.0, max(0.0, until_s - length_s))
        stop_s = min(until_s, start_s + length_s)
        if kind in (Kind.DEATH, Kind.LEAVE, Kind.LATE):
            if node in absent:
                continue  # a process that is gone cannot end again
            absent.add(node)
        match kind:
            case Kind.PARTITION | Kind.ONE_WAY:
                ends = [node, rng.choice([one for one in (origin, *others) if one != node])]
                rng.shuffle(ends)
                faults.append(Fault(kind=kind, node=ends[0], other=ends[1], start_s=start_s, stop_s=stop_s))
            case Kind.FREEZE:
                faults += [
                    Fault(kind=kind, node=node, other=one, start_s=start_s, stop_s=stop_s)
                    for one in (origin, *others)
                    if one != node
                ]
            case Kind.LATE:
                faults.append(Fault(kind=kind, node=node, start_s=0.0, stop_s=stop_s, notice_s=0.0))
            case Kind.DEATH | Kind.LEAVE:
                is_seen = kind is Kind.LEAVE or rng.random() < 0.5
                notice_s = SEEN_AT_ONCE_S if is_seen else LEASE_S
                faults.append(Fault(kind=kind, node=node, start_s=start_s, stop_s=stop_s, notice_s=notice_s))
            case Kind.SLOWDOWN:
                faults.append(
                    Fault(kind=kind, node=node, start_s=start_s, stop_s=stop_s, factor=rng.choice((1.5, 4.0, 20.0)))
                )
            case Kind.HANG | Kind.OUT_OF_MEMORY:
                faults.append(Fault(kind=kind, node=node, start_s=start_s, stop_s=stop_s))
    is_messy = rng.random() < 0.7
    return FaultPlan(
        faults=tuple(sorted(faults, key=lambda fault: fault.start_s)),
        reordered_ratio=rng.uniform(0.0, 0.1) if is_messy else 0.0,
        doubled_ratio=rng.uniform(0.0, 0.1) if is_messy else 0.0,
        until_s=until_s,
    )
