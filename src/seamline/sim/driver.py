"""Driver of a session in virtual time: carries out what `core.session` commands, and tells it what comes of that.

    RunFrame -> compute queue of the origin -> stages on `nodes.py`, transfers over `mesh.py` -> AnswerArrived
    Prepare, AskProfile, TimeSegment -> a request to a node -> its answer, or a failure when the connection breaks
    Release, MeasureLinks -> a word to each node of the plan, to a node

No rule of the origin is here: what is accepted, when a frame runs again, and which plan serves is the session's.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from seamline.core.cost.loads import StageLoad
from seamline.core.hosting import commands as hc
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.session import Session
from seamline.core.switching.vocabulary import Generation
from seamline.core.vocabulary.links import Link
from seamline.core.vocabulary.nodes import NodeId
from seamline.sim.mesh import Absence, Mesh
from seamline.sim.network import Network, Schedule
from seamline.sim.nodes import Attempt, SimHost, SimNode, Spent, StageJob
from seamline.sim.scene import Scene
from seamline.sim.stage_work import StageWorkTable

GATHER_S = 0.005
"""Events this close together are handed over before a `Tick`, so that they lead to one decision."""

POLL_S = 0.02
"""What is due and waits for something else is looked at again after this."""

PROFILING_S = 0.5
"""What a node takes to profile the model."""

TAKEN = ev.AnswerTaken()

Watch = Callable[[float, ev.Event, Sequence[cmd.Command]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How a run differs from a quiet one in which everything is measured.

    knows_true_links: the session is fed the links as they are, and nothing is measured. reports_load: nodes say how
    loaded they are all the same. is_probing: idle links are
    measured. moments_s: when a decision is asked for besides. absences: of processes. is_endless: goes on after the
    last answer, until the time is over.
    """

    knows_true_links: bool = False
    reports_load: bool = False
    is_probing: bool = True
    moments_s: Sequence[float] = ()
    absences: Sequence[Absence] = ()
    is_endless: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes out of the last stage: the generation and the frame that went in."""

    generation: int
    offered: int


@dataclass(slots=True)
class Tally:
    """What a run adds up. accepted: (number at the source, when) by frame. finished: of every frame, as it came.

    late: frames that ran again though all nodes were there.
    """

    n_offered: int = 0
    accepted: dict[int, int] = field(default_factory=dict)
    finished: list[ev.FrameFinished] = field(default_factory=list)
    late: set[int] = field(default_factory=set)
    switches: list[tuple[float, cmd.SwitchRecord]] = field(default_factory=list)
    sent_bytes: dict[Link, int] = field(default_factory=dict)


class Driver:
    """One session at its origin, and the machines and links around it.

    watch: hears every event and its commands. beside: a run on the same machines, over links of its own.
    machines: of all runs beside each other; nodes: those of this scene.
    """

    def __init__(
        self,
        scene: Scene,
        session: Session,
        network: Network,
        work_table: StageWorkTable,
        conditions: Conditions,
        watch: Watch | None = None,
        beside: Driver | None = None,
    ) -> None:
        self.scene, self.session, self.network = scene, session, network
        self.schedule: Schedule = Schedule() if beside is None else beside.schedule
        self.tally = Tally()
        self.lost: set[NodeId] = set()
        self.machines: dict[NodeId, SimNode] = {} if beside is None else beside.machines
        self.nodes = {name: self.machines.setdefault(name, SimNode(name, self.schedule)) for name in scene.profiles}
        self._prepare_asked_s: dict[tuple[NodeId, int], float] = {}
        self.hosts = {name: self._new_host(name) for name in scene.profiles}
        self.mesh = Mesh(
            scene=scene,
            schedule=self.schedule,
            network=network,
            nodes=self.nodes,
            hear=self.hear,
            is_measuring=not conditions.knows_true_links,
            is_probing=conditions.is_probing,
            is_reporting=conditions.reports_load,
            on_break=self._origin_lost,
            on_peer=lambda node, peer, is_alive: self.hosts[node].peer(peer, is_alive),
        )
        self._work_table = work_table
        self._conditions = conditions
        self._watch = watch
        self._noise = dict(_noise(scene))
        self._is_reporting = bool(scene.slowdowns) or not conditions.knows_true_links
        self._has_started = False
        self._started_s = 0.0
        self._n_open = 0
        self._events: deque[ev.Event] = deque()
        self._is_hearing = False
        self._tick_s = math.inf
        self._n_asked = 0
        self._asked: dict[int, tuple[NodeId, ev.Event]] = {}
        self._latest: dict[int, cmd.RunFrame] = {}
        self._cancelled: set[tuple[NodeId, int]] = set()
        self._computing: dict[int, frozenset[NodeId]] = {}
        self._obey: Mapping[type, Callable[[Any], None]] = {
            cmd.RunFrame: self._run_frame,
            cmd.CancelFrame: self._cancel,
            cmd.Deliver: lambda _: self.hear(TAKEN),
            ev.FrameFinished: self._finished,
            cmd.Prepare: self._prepare,
            cmd.Release: self._release,
            cmd.AskProfile: self._ask_profile,
            cmd.TimeSegment: self._time_segment,
            cmd.MeasureLinks: lambda asked: self.mesh.measure(asked.node, asked.targets, asked.for_s),
            cmd.SwitchDone: self._switched,
        }

    # -- the run -------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Everything that is known before the first frame; the first plan is prepared."""
        scene = self.scene
        for name, profile in scene.profiles.items():
            self.hear(ev.ProfileKnown(name, profile))
        if (n_bytes := scene.memory_bytes.get(scene.origin)) is not None:
            self.hear(ev.MemoryMeasured(n_bytes))
        for away in self._conditions.absences:
            self._plan_absence(away)
        self.mesh.begin(self._conditions.absences, scene.duration_s)
        self.hear(ev.Begin())
        self.hear(ev.Tick())
        self.schedule.run(0.0)
        self._has_started = True

    def play(self, until_s: float) -> None:
        """Bring the frames, until all have their answers or the time is over."""
        self.start()
        self.schedule.run(until_s)

    def start(self) -> None:
        """Let frames come from now on."""
        self._started_s = self.schedule.now_s
        self.mesh.start()
        if self._conditions.knows_true_links:
            for at_s in self._link_changes_s():
                self.schedule.at(at_s, self._report_truth)
        for at_s in self._conditions.moments_s:
            self.schedule.at(
                at_s, self.hear, ev.Begin()
            )  # which asks for a decision, whether anything has moved or not
        self._offer()

    def hear(self, event: ev.Event) -> None:
        """Hand `event` to the session and carry out what it commands; events that come of that follow in order."""
        self._events.append(event)
        if self._is_hearing:
            return
        self._is_hearing = True
        now_s, handle, obey = self.schedule.now_s, self.session.handle, self._obey
        clock_s = now_s + self.mesh.jumped_s
        while self._events:
            one = self._events.popleft()
            commands = handle(one, clock_s)
            if self._watch is not None:
                self._watch(now_s, one, commands)
            for command in commands:
                if (carry_out := obey.get(command.__class__)) is not None:
                    carry_out(command)
        self._is_hearing = False
        self._plan_tick(now_s)

    def jump(self, seconds: float) -> None:
        """The origin's clock leaps ahead, as after a suspension that nothing else took part in."""
        self.mesh.jumped_s += seconds
        self._plan_tick(self.schedule.now_s)

    @property
    def computing(self) -> Mapping[int, frozenset[NodeId]]:
        """Nodes with a part in any attempt of every frame in flight."""
        return self._computing

    def _plan_tick(self, now_s: float) -> None:
        if self._tick_s <= now_s + GATHER_S:  # none can be sooner
            return
        at_s = max(self.session.due_s - self.mesh.jumped_s, now_s + GATHER_S)
        if at_s < self._tick_s:
            self._tick_s = at_s
            self.schedule.at(at_s, self._tick, at_s)

    def _tick(self, planned_s: float) -> None:
        if planned_s != self._tick_s:  # another was planned before it
            return
        self._tick_s = math.inf
        now_s = self.schedule.now_s
        if self.session.due_s <= now_s + self.mesh.jumped_s:
            self.hear(ev.Tick())
            if self.session.due_s <= now_s + self.mesh.jumped_s:  # it waits for something else
                self._tick_s = now_s + POLL_S
                self.schedule.at(self._tick_s, self._tick, self._tick_s)
        else:
            self._plan_tick(now_s)

    def _offer(self) -> None:
        tally = self.tally
        number = tally.n_offered
        tally.n_offered += 1
        if tally.n_offered < self.scene.n_frames:
            self.schedule.at(self._started_s + tally.n_offered / self.scene.fps, self._offer)
        self.hear(ev.FrameOffered(number))

    def _report_truth(self) -> None:
        """Links that carry something now; that one carries nothing is noticed by the loss of its peer."""
        now_s, known = self.schedule.now_s, self.session.pilot.view.links
        for pair in self.network.paths:
            truth, before = self.network.truth(pair, now_s), known.get(pair)
            is_new = before is None or (truth.goodput_bps, truth.rtt_s) != (before.goodput_bps, before.rtt_s)
            if truth.goodput_bps > 0.0 and is_new:
                self.hear(ev.LinkEstimated(truth))

    def _link_changes_s(self) -> list[float]:
        found = {at_s for link in self.scene.links for at_s, *_ in link.trace.conditions(self.scene.duration_s)}
        return sorted(found)

    # -- frames --------------------------------------------------------------------------------------------------------

    def _run_frame(self, command: cmd.RunFrame) -> None:
        frame, route, offered = command.frame, command.route, command.tensors
        assert isinstance(offered, int)
        if command.attempt == 0:
            self._n_open += 1
            self.tally.accepted[frame] = offered
        elif self.lost.isdisjoint(self._latest[frame].route.plan.nodes):
            self.tally.late.add(frame)
        self._latest[frame] = command
        self._computing[frame] = self._computing.get(frame, frozenset()).union(route.plan.nodes)
        stage_works = self._work_table.of(route.plan)
        way = Attempt(
            self.scene.origin,
            frame,
            command.attempt,
            route.generation,
            route.plan,
            stage_works,
            offered,
            self.schedule.now_s + route.wanted_s,
        )
        self._enter(way, 0, is_urgent=command.is_urgent)

    def _enter(self, way: Attempt, at: int, *, is_urgent: bool = False) -> None:
        """A frame has come to its stage number `at`."""
        work = way.stage_works[at]
        node = self.nodes[work.node]
        if work.compute_s > 0.0 and not self._can_run(work.node, way.generation):
            self._fail(way, work.node, f"generation {way.generation} is not prepared here")
            return
        node.put(StageJob(way, at, self.schedule.now_s, self._starts, self._computed), urgent=is_urgent)

    def _starts(self, job: StageJob) -> float | None:
        way = job.way
        if job.at == 0 and not self.session.ledger.is_wanted(way.frame):
            self.hear(ev.AttemptDropped(way.frame, way.attempt))
            return None
        work = way.stage_works[job.at]
        if job.at and (work.node, way.frame) in self._cancelled:
            return None
        factor = self.scene.slowdown(work.node, self.schedule.now_s) if self.scene.slowdowns else 1.0
        job.compute_s = work.compute_s * factor * self._noise[work.node][way.offered]
        return job.compute_s + work.codec_s * factor

    def _cancel(self, command: cmd.CancelFrame) -> None:
        for node in command.nodes:
            self.mesh.control(self.scene.origin, node, self._cancelled.add, (node, command.frame))

    def _computed(self, job: StageJob) -> None:
        way, at = job.way, job.at
        work = way.stage_works[at]
        if self._is_reporting:
            way.reports.append(Spent(work.node, job.began_s - job.arrived_s, job.compute_s, work.payload_bytes))
        if work.to != work.node:
            sent = self.tally.sent_bytes
            sent[work.node, work.to] = sent.get((work.node, work.to), 0) + work.payload_bytes
        if at + 1 < len(way.stage_works):
            if not self.mesh.bulk(work.node, work.to, work.sent_bytes, self._enter, way, at + 1):
                self._fail(way, work.node, f"`{work.to}` is gone", lost=work.to)
        elif work.to == work.node:
            self._answer(way)
        else:  # answers are small and not acknowledged: they travel in the lane of control messages
            self.mesh.control(work.node, work.to, self._answer, way, n_bytes=work.sent_bytes)

    def _answer(self, way: Attempt) -> None:
        answer = Answer(way.generation, way.offered)
        self.hear(
            ev.AnswerArrived(way.frame, way.attempt, way.generation, way.stage_works[-1].node, answer, way.reports)
        )

    def _fail(self, way: Attempt, node: NodeId, reason: str, lost: NodeId | None = None) -> None:
        failure = ev.StageFailed(way.frame, way.attempt, way.generation, node, reason, lost)
        if node == self.scene.origin:
            self.hear(failure)
        else:
            self.mesh.control(node, self.scene.origin, self.hear, failure)

    def _finished(self, finished: ev.FrameFinished) -> None:
        self.tally.finished.append(finished)
        del self._latest[finished.frame], self._computing[finished.frame]
        self._n_open -= 1
        if not self._n_open and self.tally.n_offered == self.scene.n_frames and not self._conditions.is_endless:
            self.schedule.at(self.schedule.now_s, self._stop_if_done)

    def _stop_if_done(self) -> None:
        if not self._n_open:
            self.schedule.stop()

    # -- plans ---------------------------------------------------------------------------------------------------------

    def _prepare(self, command: cmd.Prepare) -> None:
        generation = command.generation
        for node in generation.plan.nodes:
            failed = ev.NodePrepareFailed(generation.number, node, f"`{node}` is gone")
            load = command.loads.get(node, StageLoad())
            self._ask(node, failed, self._prepare_at, generation, load, self.schedule.now_s)

    def _prepare_at(self, request: int, node: NodeId, generation: Generation, load: StageLoad, asked_s: float) -> None:
        """At the node. A doubled request is as old as the first."""
        self._prepare_asked_s.setdefault((node, generation.number), asked_s)
        self.hosts[node].prepare(self.scene.origin, request, generation.number, generation.plan, load)

    def _new_host(self, node: NodeId) -> SimHost:
        profile = self.scene.profiles[node]
        return SimHost(
            self.nodes[node],
            self.scene.origin,
            self.schedule,
            profile.cuts,
            takes_s=partial(self._prepare_takes_s, node),
            replied=partial(self._replied, node),
            usable_memory_bytes=self.scene.memory_bytes.get(node),
        )

    def _prepare_takes_s(self, node: NodeId, generation: int) -> float | None:
        """Time until a generation that begins to be prepared is ready. The way back is taken to be as long as the way
        there; what waited for its turn takes all of its time from then on."""
        machine, now_s = self.nodes[node], self.schedule.now_s
        if machine.is_out_of_memory:
            return None
        if not self._has_started:
            return 0.0
        machine.occupy(self.scene.prepare_busy_s)
        way_s = now_s - self._prepare_asked_s[node, generation]
        return max(0.0, self.scene.prepare_s - 2.0 * way_s) if way_s < self.scene.prepare_s else self.scene.prepare_s

    def _replied(self, node: NodeId, reply: hc.Reply) -> None:
        """A host answers a request of the session, or of nobody any more."""
        if reply.reason is None:
            assert isinstance(reply.answer, float)
            answer: ev.Event = ev.NodePrepared(reply.generation, node, reply.answer)
        else:
            answer = ev.NodePrepareFailed(reply.generation, node, reply.reason)
        self._reply(node, reply.request, answer)

    def _can_run(self, node: NodeId, generation: int) -> bool:
        return generation == ev.LOCAL_GENERATION or self.hosts[node].holds(generation)

    def _release(self, command: cmd.Release) -> None:
        generation = command.generation
        for node in generation.plan.nodes:
            release = self.hosts[node].release
            if node == self.scene.origin:
                release(self.scene.origin, generation.number)
            else:
                self.mesh.control(
                    self.scene.origin, node, release, self.scene.origin, generation.number, is_spared=True
                )

    def _ask_profile(self, command: cmd.AskProfile) -> None:
        node = command.node
        self._ask(node, ev.ProfileFailed(node, f"`{node}` is gone"), self._profile_at)

    def _profile_at(self, request: int, node: NodeId) -> None:
        self._later(PROFILING_S, node, request, ev.ProfileKnown(node, self.scene.profiles[node]))

    def _time_segment(self, command: cmd.TimeSegment) -> None:
        node, segment = command.node, command.segment
        self._ask(node, ev.SegmentTimed(node, segment, None), self._time_at, segment)

    def _time_at(self, request: int, node: NodeId, segment: Any) -> None:
        """Beside the frames, once those that wait are through: a node that hangs does not answer."""
        took_s = self._work_table.segment_s(node, segment) * self.scene.slowdown(node, self.schedule.now_s)
        answer = ev.SegmentTimed(node, segment, took_s)
        self.nodes[node].occupy(0.0, lambda: self._later(took_s, node, request, answer))

    def _switched(self, command: cmd.SwitchDone) -> None:
        self.tally.switches.append((self.schedule.now_s, command.record))

    # -- requests ------------------------------------------------------------------------------------------------------

    def _ask(self, node: NodeId, failed: ev.Event, what: Callable[..., None], *arguments: Any) -> None:
        """`what(request, node, *arguments)` at `node`, which replies; `failed` is heard when it cannot."""
        self._n_asked += 1
        request = self._n_asked
        self._asked[request] = node, failed
        is_setup = not self._has_started and self.nodes[node].is_alive
        if node == self.scene.origin or (is_setup and self.mesh.connections[node, self.scene.origin].is_open):
            what(request, node, *arguments)
        elif not self.mesh.control(self.scene.origin, node, what, request, node, *arguments, is_spared=True):
            self._settle(request, failed)

    def _later(self, seconds: float, node: NodeId, request: int, answer: ev.Event) -> None:
        life = self.nodes[node].life
        self.schedule.at(self.schedule.now_s + seconds, self._reply_if_alive, life, node, request, answer)

    def _reply_if_alive(self, life: int, node: NodeId, request: int, answer: ev.Event) -> None:
        if self.nodes[node].life == life:
            self._reply(node, request, answer)

    def _reply(self, node: NodeId, request: int, answer: ev.Event) -> None:
        if node == self.scene.origin or not self._has_started:
            self._settle(request, answer)
        else:
            self.mesh.control(node, self.scene.origin, self._settle, request, answer, is_spared=True)

    def _settle(self, request: int, answer: ev.Event) -> None:
        """A request has one answer; what comes twice, or after the loss of its node, is nobody's."""
        if self._asked.pop(request, None) is not None:
            self.hear(answer)

    def _origin_lost(self, peer: NodeId) -> None:
        for request, (node, failed) in list(self._asked.items()):
            if node == peer:
                self._settle(request, failed)

    # -- what befalls nodes --------------------------------------------------------------------------------------------

    def _plan_absence(self, away: Absence) -> None:
        node = self.nodes[away.node]
        if away.start_s <= 0.0:
            self._die(node)
        else:
            self.schedule.at(away.start_s, self._die, node)
        if not math.isinf(away.stop_s):
            self.schedule.at(away.stop_s, self._restart, node)

    def _die(self, node: SimNode) -> None:
        node.die()
        self.hosts[node.name].restart()
        for key in [key for key in self._prepare_asked_s if key[0] == node.name]:
            del self._prepare_asked_s[key]

    def _restart(self, node: SimNode) -> None:
        node.restart()
        self.mesh.restarted(node.name)


def _noise(scene: Scene) -> Iterable[tuple[NodeId, list[float]]]:
    """The same frames are slow on the same nodes under every policy."""
    for number, node in enumerate(sorted(scene.profiles)):
        rng = np.random.default_rng([scene.seed, number])
        yield node, np.exp(rng.normal(0.0, scene.noise_ratio, scene.n_frames)).tolist()
