"""A session over three nodes, and a driver in virtual time that obeys every command, unless a test says otherwise."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from seamline.core.adaptation.policy import Adaptive, Policy
from seamline.core.cost.profiled import profiled_s
from seamline.core.link.report import LinkReport
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.ledger import MAX_ATTEMPTS
from seamline.core.session.session import Session
from seamline.core.session.spec import SessionSpec
from seamline.core.switching import STRATEGIES, Generation
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.objectives import Goal, Objective
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.profiles import (
    Block,
    Cut,
    DeviceInfo,
    FrameInfo,
    ModelInfo,
    Profile,
    Quantiles,
    TensorSpec,
)

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
N_CUTS = 5
PREPARE_S = 0.05
MOST_TICKS = 12
"""In one moment, of virtual time that stands still."""

FAST_BPS, SLOW_BPS = 200e6, 0.2e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one stage spent on one frame."""

    node: str
    compute_s: float
    queue_s: float = 0.0
    sent_bytes: int = 0


def profile_of(node: NodeId, *, n_cuts: int = N_CUTS, idle_w: float | None = 2.0) -> Profile:
    """A frame model of four blocks: slow on `edge`, ten times as fast on `fog` and twenty times on `cloud`."""
    speed = {EDGE: 1.0, FOG: 10.0, CLOUD: 20.0}[node]
    n_elements = (150_528, 200_000, 50_000, 10_000, 1_000)[:n_cuts]
    block_s = [seconds / speed for seconds in (0.04, 0.08, 0.08, 0.2)][: n_cuts - 1]
    return Profile(
        model=ModelInfo(name="toy"),
        device=DeviceInfo(name=node, idle_w=idle_w, busy_w=None if idle_w is None else 3.0 * idle_w),
        cuts=tuple(
            Cut(
                index=at,
                after="input" if at == 0 else f"layer{at}",
                tensors=(TensorSpec(name=f"t{at}", dtype="float32", shape=(1, n)),),
                payload_bytes=4 * n,
                macs_before=1000 * at,
                weights_before_bytes=1000 * at,
            )
            for at, n in enumerate(n_elements)
        ),
        blocks=tuple(
            Block(from_cut=at, to_cut=at + 1, compute_s=Quantiles(median=one_s, p90=one_s))
            for at, one_s in enumerate(block_s)
        ),
        whole_s=Quantiles(median=sum(block_s), p90=sum(block_s)),
        frame=FrameInfo(raw_bytes=150_528, jpeg_bytes=25_000, preprocess_s=0.002),
    )


def status_of(node: NodeId, *, incarnation: str = "a", bps: float = FAST_BPS, **fields: object) -> ev.StatusReceived:
    """`node` is there, idle, and its links to the other two carry `bps`."""
    links = tuple(
        LinkReport(target=target, rtt_s=0.004, goodput_bps=bps, goodput_std_ratio=0.02, n_samples=9, age_s=0.0)
        for target in (EDGE, FOG, CLOUD)
        if target != node
    )
    known = {"queue_s": 0.0, "usable_memory_bytes": 10**9, "links": links, **fields}
    return ev.StatusReceived(node=node, tier=Tier(node), incarnation=incarnation, **known)


def link_to(target: NodeId, bps: float = FAST_BPS, *, at_s: float = 0.0) -> ev.LinkEstimated:
    """The origin's own link to `target` carries `bps`."""
    return ev.LinkEstimated(
        LinkEstimate(
            source=EDGE,
            target=target,
            rtt_s=0.004,
            goodput_bps=bps,
            goodput_std_ratio=0.02,
            n_samples=9,
            measured_at_s=at_s,
        )
    )


class Audit:
    """Reads the commands of a session and fails when one breaks a promise to frames, nodes, or whoever asked.

    loaded: generations that were prepared and not released. asked: requests without an answer.
    """

    def __init__(self) -> None:
        self.loaded: dict[int, Generation] = {}
        self.asked: set[int] = set()
        self.delivered: list[int] = []
        self._attempts: dict[int, int] = {}
        self._finished: set[int] = set()
        self._numbers: set[int] = set()
        self._gone: set[NodeId] = set()
        self._ever_gone: set[NodeId] = set()
        self._released: set[int] = set()
        self._has_stopped = False

    def event(self, event: ev.Event) -> None:
        """`event` is about to be handled."""
        if isinstance(event, ev.PeerChanged):
            (self._gone.discard if event.is_alive else self._gone.add)(event.node)
            self._ever_gone |= self._gone
        elif (request := getattr(event, "request", None)) is not None:
            self.asked.add(request)
        elif isinstance(event, ev.StopAsked):
            self._has_stopped = True

    def command(self, command: cmd.Command) -> None:
        """`command` came of it."""
        match command:
            case cmd.RunFrame(frame, attempt, route):
                assert frame not in self._finished, "a frame runs again that has its answer"
                assert attempt == self._attempts.get(frame, -1) + 1, "attempts are counted"
                assert attempt or frame == len(self._attempts), "frames are counted"
                assert route.plan.is_local or self._gone.isdisjoint(route.plan.nodes), "a frame goes to a lost node"
                self._attempts[frame] = attempt
            case ev.FrameFinished(frame=frame, error=error):
                assert frame in self._attempts, "an answer to a frame that was not accepted"
                assert frame not in self._finished, "two answers to a frame"
                is_over = self._attempts[frame] == MAX_ATTEMPTS - 1 or "cannot compute" in (error or "")
                assert error is None or is_over, "given up too soon"
                self._finished.add(frame)
            case cmd.Deliver(frame):
                assert frame == len(self.delivered), "out of order"
                assert frame in self._finished
                self.delivered.append(frame)
            case cmd.Prepare(generation):
                assert generation.number not in self._numbers, "a number was given twice"
                self._numbers.add(generation.number)
                self.loaded[generation.number] = generation
            case cmd.Release(generation):
                if generation.number in self._released:  # said again to a node that was away
                    assert not self._ever_gone.isdisjoint(generation.plan.nodes), "released twice"
                    return
                self._released.add(generation.number)
                assert self.loaded.pop(generation.number) == generation
            case cmd.Settle(request) | cmd.Reject(request):
                self.asked.remove(request)
        if self._has_stopped:
            is_rerun = isinstance(command, cmd.RunFrame) and command.attempt > 0
            assert is_rerun or isinstance(command, AFTER_STOP), "a stream that has ended commands"

    @property
    def in_flight(self) -> set[int]:
        return self._attempts.keys() - self._finished


AFTER_STOP = (cmd.Release, cmd.Settle, cmd.Reject, cmd.Say, cmd.Deliver, ev.FrameFinished)


class Driver:
    """Runs a session in virtual time and keeps what it commanded.

    dead: nodes that answer nothing. refusals: so many of the next preparations fail, by node. slowdown: of computing,
    by node. latency_s: of every frame; what its route expects when None. is_taking: answers are taken at once.
    audit: fails when a promise is broken.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.now_s = 0.0
        self.commands: list[cmd.Command] = []
        self.dead: set[NodeId] = set()
        self.refusals: dict[NodeId, int] = {}
        self.slowdown: dict[NodeId, float] = {}
        self.latency_s: float | None = None
        self.is_taking = True
        self.audit = Audit()
        self.incarnations: dict[NodeId, str] = {}
        self._agenda: list[tuple[float, int, ev.Event | cmd.RunFrame]] = []
        self._order = itertools.count()
        self._sampled_s = 0.0

    # -- to say and to look at -----------------------------------------------------------------------------------------

    def handle(self, event: ev.Event) -> list[cmd.Command]:
        """What the session commands about `event` now; carried out in a while."""
        self.audit.event(event)
        found = self.session.handle(event, self.now_s)
        self.session.validate()
        self.commands += found
        for command in found:
            self.audit.command(command)
            self._obey(command)
        assert len(self.audit.in_flight) == self.session.ledger.n_in_flight(), "a frame is lost"
        return found

    def later(self, after_s: float, event: ev.Event | cmd.RunFrame) -> None:
        heapq.heappush(self._agenda, (self.now_s + after_s, next(self._order), event))

    def run(self, seconds: float) -> None:
        """Let time pass: what is on its way arrives, and a tick comes whenever one is due."""
        end_s, ticked_s, n_ticks = self.now_s + seconds, -1.0, 0
        while True:
            next_s = self._agenda[0][0] if self._agenda else end_s + 1.0
            due_s = max(self.now_s, self.session.due_s)
            if min(next_s, due_s) > end_s:
                self.now_s = end_s
                return
            self.now_s = max(self.now_s, min(next_s, due_s))
            if next_s <= due_s:
                self._arrives(heapq.heappop(self._agenda)[2])
            else:
                n_ticks = n_ticks + 1 if self.now_s == ticked_s else 0
                assert n_ticks < MOST_TICKS, "a tick leaves its own reason behind"
                ticked_s = self.now_s
                self.handle(ev.Tick())

    def frames(self, n_frames: int, every_s: float = 0.1) -> None:
        """Frames come at a steady pace."""
        for _ in range(n_frames):
            self.handle(ev.FrameOffered("pixels"))
            self.run(every_s)

    def of(self, kind: type) -> list:
        """Every command of one kind so far."""
        return [command for command in self.commands if isinstance(command, kind)]

    @property
    def plan(self) -> Plan:
        return self.session.ledger.route.plan

    @property
    def loaded(self) -> dict[int, Generation]:
        return self.audit.loaded

    @property
    def delivered(self) -> list[int]:
        return self.audit.delivered

    # -- to obey -------------------------------------------------------------------------------------------------------

    def _obey(self, command: cmd.Command) -> None:
        match command:
            case cmd.Prepare(generation):
                for node in generation.plan.nodes:
                    self._prepare(generation, node)
            case cmd.RunFrame(_, _, route):
                if self.dead.isdisjoint(route.plan.nodes):
                    self.later(route.expected_s if self.latency_s is None else self.latency_s, command)
            case cmd.AskProfile(node):
                if node not in self.dead:
                    self.later(0.1, ev.ProfileKnown(node, profile_of(node)))
            case cmd.TimeSegment(node, segment):
                if node not in self.dead:
                    seconds = profiled_s(profile_of(node), segment) * self.slowdown.get(node, 1.0)
                    self.later(0.1, ev.SegmentTimed(node, segment, seconds))
            case cmd.Deliver():
                if self.is_taking:
                    self.later(0.0, ev.AnswerTaken())

    def _prepare(self, generation: Generation, node: NodeId) -> None:
        if node in self.dead:
            return
        if self.refusals.get(node, 0) > 0:
            self.refusals[node] -= 1
            self.later(PREPARE_S, ev.NodePrepareFailed(generation.number, node, "no memory left"))
        else:
            self.later(PREPARE_S, ev.NodePrepared(generation.number, node, PREPARE_S))

    def _arrives(self, one: ev.Event | cmd.RunFrame) -> None:
        if not isinstance(one, cmd.RunFrame):
            self.handle(one)
        elif not self.session.ledger.is_wanted(one.frame):
            self.handle(ev.AttemptDropped(one.frame, one.attempt))
        elif self.dead.isdisjoint(one.route.plan.nodes):
            self.handle(self.answer_to(one))

    def answer_to(self, run: cmd.RunFrame) -> ev.AnswerArrived:
        """The answer to an attempt, with what every stage spent on it."""
        view = self.session.pilot._view
        reports = [
            Report(
                node=stage.node,
                compute_s=(view.profiled_s(stage.node, stage.segment) or 1e-3) * self.slowdown.get(stage.node, 1.0),
            )
            for stage in run.route.plan.stages
        ]
        node = run.route.plan.stages[-1].node
        return ev.AnswerArrived(run.frame, run.attempt, run.route.generation, node, f"answer {run.frame}", reports)

    # -- the world -----------------------------------------------------------------------------------------------------

    def link(self, target: NodeId, bps: float) -> None:
        """Both directions between the origin and `target` carry `bps` from now on; its other links are measured too."""
        self.handle(link_to(target, bps, at_s=self._sample_s()))
        known = self.session.pilot.view.links
        for other in [there for source, there in known if source == EDGE and there != target]:
            if (carried_bps := known[EDGE, other].goodput_bps) > 0.0:
                self.handle(link_to(other, carried_bps, at_s=self._sample_s()))
        self.status(target, bps=bps)

    def _sample_s(self) -> float:
        """Now, and later than the sample before."""
        self._sampled_s = max(self.now_s, self._sampled_s + 1e-6)
        return self._sampled_s

    def status(self, node: NodeId, **fields: object) -> None:
        """`node` says how it fares, as the process that it is."""
        self.handle(status_of(node, incarnation=self.incarnations.get(node, "a"), **fields))

    def kill(self, node: NodeId) -> None:
        self.dead.add(node)
        self.handle(ev.PeerChanged(node, False))

    def revive(self, node: NodeId, incarnation: str = "b") -> None:
        self.dead.discard(node)
        self.handle(ev.PeerChanged(node, True))
        self.restart(node, incarnation)

    def restart(self, node: NodeId, incarnation: str = "b") -> None:
        self.incarnations[node] = incarnation
        self.status(node)


def spec_of(
    *,
    policy: Policy | None = None,
    strategy: str = "live",
    objective: Goal = Objective.LATENCY,
    constraints: Constraints | None = None,
    others: Sequence[NodeId] = (FOG, CLOUD),
) -> SessionSpec:
    return SessionSpec(
        origin=EDGE,
        others=tuple(others),
        local=Plan.local(EDGE, N_CUTS),
        objective=objective,
        constraints=Constraints() if constraints is None else constraints,
        policy=Adaptive() if policy is None else policy,
        strategy=STRATEGIES[strategy],
    )


def start(
    spec: SessionSpec | None = None, *, bps: float = FAST_BPS, is_begun: bool = True, kind=Driver, **fields
) -> Driver:
    """A session whose three nodes are there and profiled; the first plan serves unless `is_begun` is False."""
    spec = spec_of(**fields) if spec is None else spec
    driver = kind(Session(spec))
    for node in (EDGE, *spec.others):
        driver.handle(ev.ProfileKnown(node, profile_of(node)))
    for node in spec.others:
        driver.handle(status_of(node, bps=bps))
        driver.handle(link_to(node, bps))
    if is_begun:
        driver.handle(ev.Begin())
        driver.run(0.2)
    return driver


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., SessionSpec]:
    return spec_of


@pytest.fixture(scope="session")
def session_of() -> Callable[..., Driver]:
    return start


@pytest.fixture(scope="session")
def profile() -> Callable[..., Profile]:
    return profile_of


@pytest.fixture(scope="session")
def status() -> Callable[..., ev.StatusReceived]:
    return status_of


@pytest.fixture(scope="session")
def link() -> Callable[..., ev.LinkEstimated]:
    return link_to


@pytest.fixture(scope="session")
def report() -> type[Report]:
    return Report


@pytest.fixture(scope="session")
def driver_kind() -> type[Driver]:
    return Driver
