"""Random faults by seed: what befalls nodes and connections in one run, and when the last of it is over.

partition          two nodes hear nothing of each other; one-way: one of them does not
death              a process ends and begins anew, holding nothing; missed after a lease, or at once
leave              a process ends for longer, and says so; late: it is not there at first
hang               a node computes nothing for a while, the origin too
freeze             a node neither computes nor says anything
out of memory      a node cannot prepare segments
slowdown           a node computes more slowly
hostile            a stranger, and nodes of the stream that speak of what is not theirs, say what is false
clock jump         the origin's clock leaps ahead
reordered, doubled control messages, and damaged ones of all, throughout
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from seamline.core.link.report import LinkReport
from seamline.core.session import events as ev
from seamline.core.vocabulary.links import Link
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.ports import LEASE_S
from seamline.sim.driver import Answer, Driver
from seamline.sim.mesh import Absence
from seamline.sim.network import Span, Weather
from seamline.sim.nodes import SimNode

MOST_FAULTS = 5
STRANGER = NodeId("mallory")
SAYS_EVERY_S = (0.002, 0.03)
FALSE = Answer(-1, -1)
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
    HOSTILE = "hostile"
    CLOCK_JUMP = "clock jump"


BEFORE = tuple(kind for kind in Kind if kind not in (Kind.HOSTILE, Kind.CLOCK_JUMP))
"""Those that `random_faults` draws from; what `with_hostility` adds leaves their worlds as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. other: the second node of a partition. notice_s: until a death is noticed. factor: of a slowdown.

    jump_s: by which a clock leaps ahead at `start_s`. seed: of what hostile peers say.
    """

    kind: Kind
    node: NodeId
    start_s: float
    stop_s: float
    other: NodeId | None = None
    notice_s: float = LEASE_S
    factor: float = 1.0
    jump_s: float = 0.0
    seed: int = 0

    def __str__(self) -> str:
        where = self.node if self.other is None else f"{self.node} > {self.other}"
        return f"{self.kind} of {where} from {self.start_s:.3f} to {self.stop_s:.3f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """All faults of one run, over by `until_s`. reordered_ratio, doubled_ratio: of control messages; damaged_ratio: of
    all messages."""

    faults: tuple[Fault, ...] = ()
    reordered_ratio: float = 0.0
    doubled_ratio: float = 0.0
    damaged_ratio: float = 0.0
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
            damaged_ratio=self.damaged_ratio,
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
            elif fault.kind is Kind.HOSTILE:
                others = [name for name in driver.nodes if name != driver.scene.origin]
                _intrude(driver, others, fault.start_s, fault.stop_s, fault.seed)
            elif fault.kind is Kind.CLOCK_JUMP:
                driver.schedule.at(fault.start_s, driver.jump, fault.jump_s)
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
        kind = rng.choice(BEFORE)
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


def with_hostility(plan: FaultPlan, rng: random.Random, origin: NodeId) -> FaultPlan:
    """`plan` with hostile peers, damaged messages and leaps of the origin's clock, each in some of the worlds."""
    faults, until_s = list(plan.faults), plan.until_s
    if rng.random() < 0.4:
        start_s = rng.uniform(0.0, 0.7 * until_s)
        stop_s = rng.uniform(start_s, until_s)
        faults.append(
            Fault(kind=Kind.HOSTILE, node=origin, start_s=start_s, stop_s=stop_s, seed=rng.randrange(1 << 30))
        )
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        at_s = rng.uniform(0.0, until_s)
        jump_s = rng.choice((0.3, 2.0, 30.0, 3600.0))
        faults.append(Fault(kind=Kind.CLOCK_JUMP, node=origin, start_s=at_s, stop_s=at_s, jump_s=jump_s))
    damaged_ratio = rng.choice((0.0, 0.0, 1e-3, 1e-2))
    return replace(plan, faults=tuple(sorted(faults, key=lambda one: one.start_s)), damaged_ratio=damaged_ratio)


# -- hostile peers -----------------------------------------------------------------------------------------------------
#
# What they say is what the origin's shell lets through. What a shell refuses (another's name, outputs that are not the
# model's, numbers beyond bounds) is tested there. A node that answers its own stage falsely cannot be told from an
# honest one.


def _intrude(driver: Driver, speakers: Sequence[NodeId], start_s: float, stop_s: float, seed: int) -> None:
    """Let hostile peers speak from `start_s` to `stop_s`."""
    driver.schedule.at(start_s, _say, driver, speakers, stop_s, random.Random(f"hostile {seed}"))


def _say(driver: Driver, speakers: Sequence[NodeId], stop_s: float, rng: random.Random) -> None:
    now_s = driver.schedule.now_s
    if now_s >= stop_s:
        return
    speaker = rng.choice((STRANGER, *speakers))
    if (event := _lie(driver, speaker, rng)) is not None and _is_heard(driver, speaker):
        driver.hear(event)
    driver.schedule.at(now_s + rng.uniform(*SAYS_EVERY_S), _say, driver, speakers, stop_s, rng)


def _is_heard(driver: Driver, speaker: NodeId) -> bool:
    if speaker == STRANGER:
        return True
    return driver.nodes[speaker].is_alive and driver.mesh.connections[speaker, driver.scene.origin].is_open


def _lie(driver: Driver, speaker: NodeId, rng: random.Random) -> ev.Event | None:
    frame = rng.randrange(-1, len(driver.tally.accepted) + 3)
    if driver.computing and rng.random() < 0.7:
        frame = rng.choice(list(driver.computing))
    attempt, route = rng.randrange(4), driver.session.ledger.route
    generation = rng.choice((route.generation, 0, rng.randrange(1 << 30)))
    match rng.randrange(4):
        case 0 | 1 if speaker in driver.computing.get(frame, ()):
            return None  # its own frame, in some attempt, which it could answer falsely at any time
        case 0:
            return ev.AnswerArrived(frame, attempt, generation, speaker, FALSE, ())
        case 1:
            if speaker != STRANGER and generation == route.generation:
                return None  # a node that says it cannot compute is left out, and may say so
            lost = rng.choice((None, *driver.nodes))
            return ev.StageFailed(frame, attempt, generation, speaker, "boo", lost, is_input=rng.random() < 0.5)
        case 2 if speaker == STRANGER:
            return ev.PeerChanged(STRANGER, rng.random() < 0.5)
        case _:
            return _false_status(driver, speaker, rng)


def _false_status(driver: Driver, speaker: NodeId, rng: random.Random) -> ev.StatusReceived:
    links = tuple(
        LinkReport(
            target=target,
            rtt_s=rng.choice((0.0, 1e-3, 60.0)),
            goodput_bps=rng.choice((0.0, 1.0, 1e12)),
            goodput_std_ratio=rng.choice((0.0, 100.0)),
            n_samples=rng.choice((0, 10**9)),
            age_s=rng.choice((0.0, 86400.0)),
            overhead_s=rng.choice((0.0, 60.0)),
            average_bps=rng.choice((0.0, 1e12)),
            average_std_ratio=rng.choice((0.0, 100.0)),
            oscillating_for_s=rng.choice((0.0, 2.0)),
        )
        for target in driver.nodes
        if target != speaker
    )
    known = driver.nodes.get(speaker)
    return ev.StatusReceived(
        node=speaker,
        tier=Tier(speaker),
        incarnation="1" if known is None else known.incarnation,
        queue_s=rng.choice((0.0, 3600.0)),
        usable_memory_bytes=rng.choice((0, 1, 1 << 50)),
        links=links,
    )
