"""Host: what one node does for streams, its own and others', as `handle(event, now_s) -> commands`.

Theory of operation. A generation of a stream is admitted, waits for its model, then for its turn to be prepared, and is
held until it is released, its origin is gone for a while, or another process is seen in the origin's place. A profile
waits for its model and for its turn to be measured. Work of one origin waits for that of others only where all of them
together are more than the node can bear (`lanes.py`); what it holds is limited by `admission.py`.

    event             what it does
    ----------------  ---------------------------------------------------------------------------------------------
    PrepareAsked      refused in words, answered when it is held already, or put on its way
    ReleaseAsked      the generation is let go, now and for all: one on its way is refused, one that comes later too
    ProfileAsked      waits for its model
    TimeAsked         waits for its turn
    ModelObtained     what waited for it goes on, as far as the memory here does
    ObtainFailed      what waited for it is refused
    SegmentsPrepared  the generation is held, and answered; or let go again when it was released meanwhile
    PrepareFailed     the generation is refused
    Measured          the profile or the timing is answered
    PeerChanged       streams of a lost origin are let go after `ORPHAN_S`; what waits for it is dropped then
    PeerSeen          streams of the process before are let go
    MemoryMeasured    what is admitted from now on follows it
    Tick              the same for what is due

Measuring is done one at a time, since one would slow the other; but not behind one that takes much longer than it was
given. `Reply` answers every question exactly once.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import assert_never

from seamline.core.hosting import commands as cmd
from seamline.core.hosting import events as ev
from seamline.core.hosting.admission import MAX_WAITING, Need, why_no_memory, why_too_many
from seamline.core.hosting.lanes import Lanes
from seamline.core.hosting.wanted_models import WantedModels
from seamline.core.vocabulary.complaints import quoted
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.profiles import Cut

ALL = -1
"""As the generation of a release: all that the stream has."""

ORPHAN_S = 10.0
"""Seconds that what a stream holds outlives the loss of its origin: it may have been a moment's silence."""

MAX_RELEASED = 1024
"""Releases that are remembered, for a request that arrives after its release."""

OVERDUE_S, OVERDUE_FACTOR, MOST_OVERDUE_S = 10.0, 4.0, 30.0
"""Measuring that takes longer, and so many times its budget, holds up nobody else."""

RELEASED = "it was released before it was prepared"


class State(Enum):
    WAITING = "waits for its model"
    ADMITTED = "waits for its turn"
    PREPARING = "is being prepared"
    HELD = "can run"


@dataclass(slots=True)
class _Generation:
    """One generation of a stream. requests: questions that its readiness answers. took_s: of preparing."""

    asked: ev.PrepareAsked
    need: Need
    stages: tuple[int, ...]
    requests: list[int]
    state: State = State.WAITING
    took_s: float = 0.0


@dataclass(slots=True)
class _Stream:
    """What one stream has here. is_serving: a plan of it was ready."""

    origin: NodeId
    generations: dict[int, _Generation] = field(default_factory=dict)
    is_serving: bool = False


@dataclass(frozen=True, slots=True)
class _Measuring:
    """A profile or a timing that was asked for. budget_s: None for a timing."""

    job: int
    asked: ev.ProfileAsked | ev.TimeAsked

    @property
    def overdue_s(self) -> float:
        budget_s = self.asked.budget_s if isinstance(self.asked, ev.ProfileAsked) else 0.0
        return min(MOST_OVERDUE_S, OVERDUE_S + OVERDUE_FACTOR * budget_s)


_Key = tuple[str, int]
_Waiting = _Key | _Measuring


class Host:
    """Owner of what one node does for streams. Changed by `handle` alone. node: its own name."""

    def __init__(self, node: NodeId) -> None:
        self._node = node
        self._out: list[cmd.Command] = []
        self._streams: dict[str, _Stream] = {}
        self._released: OrderedDict[tuple[NodeId, str, int], None] = OrderedDict()
        self._cuts: dict[str, tuple[Cut, ...]] = {}
        self._models: WantedModels[_Waiting] = WantedModels(self._out, per_origin=2, in_all=8)
        self._preparing: Lanes[_Key] = Lanes(per_origin=1, in_all=4)
        self._measuring: Lanes[_Measuring] = Lanes(per_origin=1, in_all=4)
        self._jobs = itertools.count(1)
        self._gone_s: dict[NodeId, float] = {}
        self._incarnations: dict[NodeId, str] = {}
        self._usable_bytes: int | None = None

    # -- to look at ----------------------------------------------------------------------------------------------------

    def holds(self, stream: str, generation: int) -> bool:
        """Whether the segments of a generation can run here."""
        known = self._streams.get(stream)
        return (
            known is not None
            and generation in known.generations
            and (known.generations[generation].state is State.HELD)
        )

    @property
    def n_generations(self) -> int:
        """Generations that are here or on their way."""
        return sum(len(stream.generations) for stream in self._streams.values())

    @property
    def streams(self) -> dict[str, NodeId]:
        """Streams that have something here, and where they start."""
        return {name: stream.origin for name, stream in self._streams.items()}

    def validate(self) -> None:
        """Raises `AssertionError` when an invariant does not hold; for tests."""
        for name, stream in self._streams.items():
            assert stream.generations, f"`{name}` has nothing here and is remembered"
            for number, generation in stream.generations.items():
                assert (stream.origin, name, number) not in self._released, "what was released is on its way"
                assert generation.state is State.HELD or generation.requests, "nobody waits for it"
        self._models.validate()

    # -- the door ------------------------------------------------------------------------------------------------------

    def handle(self, event: ev.Event, now_s: float) -> list[cmd.Command]:
        """Commands that follow from `event`, in order."""
        match event:
            case ev.PrepareAsked():
                self._prepare_asked(event)
            case ev.ReleaseAsked(origin, stream, generation):
                self._release_asked(origin, stream, generation)
            case ev.ProfileAsked() | ev.TimeAsked():
                self._measure_asked(event)
            case ev.ModelObtained(model_id, cuts):
                self._model_obtained(model_id, cuts)
            case ev.ObtainFailed(model_id, reason):
                self._obtain_failed(model_id, reason)
            case ev.SegmentsPrepared(stream, generation, took_s):
                self._prepared((stream, generation), took_s)
            case ev.PrepareFailed(stream, generation, reason):
                self._prepare_failed((stream, generation), reason)
            case ev.Measured(job, answer, reason):
                self._measured(job, answer, reason)
            case ev.PeerChanged(node, is_alive):
                if is_alive:
                    self._gone_s.pop(node, None)
                else:
                    self._gone_s[node] = now_s
            case ev.PeerSeen(node, incarnation):
                self._peer_seen(node, incarnation)
            case ev.MemoryMeasured(n_bytes):
                self._usable_bytes = n_bytes
            case ev.Tick():
                pass
            case _:
                assert_never(event)
        self._forget_gone(now_s)
        self._begin(now_s)
        found = self._out.copy()
        self._out.clear()
        return found

    # -- generations ---------------------------------------------------------------------------------------------------

    def _prepare_asked(self, asked: ev.PrepareAsked) -> None:
        stream = self._streams.get(asked.stream)
        known = None if stream is None else stream.generations.get(asked.generation)
        if stream is not None and stream.origin != asked.origin:
            self._reply(asked, asked.request, reason=f"stream `{quoted(asked.stream, 80)}` is of `{stream.origin}`")
        elif known is not None and known.state is State.HELD:
            self._reply(asked, asked.request, answer=known.took_s)
        elif known is not None and len(known.requests) >= MAX_WAITING:
            self._reply(asked, asked.request, reason=f"{len(known.requests)} requests wait for this generation already")
        elif known is not None:
            if asked.request not in known.requests:
                known.requests.append(asked.request)
        elif (refusal := self._why_not(asked, stream)) is not None:
            self._reply(asked, asked.request, reason=refusal)
        else:
            self._admit(asked)

    def _why_not(self, asked: ev.PrepareAsked, stream: _Stream | None) -> str | None:
        """Reason why a new generation is refused before anything is done for it."""
        if self._was_released(asked):
            return RELEASED
        if not any(stage.node == self._node for stage in asked.plan.stages):
            return f"`{asked.plan}` has no stage for `{self._node}`"
        if asked.origin == self._node:
            return None
        n_of_origin = sum(len(one.generations) for one in self._streams.values() if one.origin == asked.origin)
        n_in_all = sum(len(one.generations) for one in self._streams.values() if one.origin != self._node)
        return why_too_many(0 if stream is None else len(stream.generations), n_of_origin, n_in_all)

    def _admit(self, asked: ev.PrepareAsked) -> None:
        stages = tuple(at for at, stage in enumerate(asked.plan.stages) if stage.node == self._node)
        segments = tuple(asked.plan.stages[at].segment for at in stages if not asked.plan.stages[at].segment.is_empty)
        need = Need(stream=asked.stream, model_id=asked.model_id, segments=segments, mode=asked.mode)
        stream = self._streams.setdefault(asked.stream, _Stream(asked.origin))
        stream.generations[asked.generation] = _Generation(asked, need, stages, [asked.request])
        self._models.want(asked.model_id, asked.source, asked.origin, (asked.stream, asked.generation))

    def _release_asked(self, origin: NodeId, name: str, generation: int) -> None:
        stream = self._streams.get(name)
        if stream is not None and stream.origin != origin:
            return  # nobody else's to release
        self._released[origin, name, generation] = None
        while len(self._released) > MAX_RELEASED:
            self._released.popitem(last=False)
        if stream is not None:
            for number in [one for one in stream.generations if generation in (one, ALL)]:
                self._let_go(name, number, RELEASED)
            if generation == ALL and stream.is_serving:
                self._out.append(cmd.StreamEnded(name))

    def _let_go(self, name: str, number: int, reason: str) -> None:
        """A generation is here no more, and whoever waits for it is told why."""
        stream = self._streams[name]
        generation = stream.generations.pop(number)
        if not stream.generations:
            del self._streams[name]
        for request in generation.requests:
            self._reply(generation.asked, request, reason=reason)
        if generation.state in (State.WAITING, State.ADMITTED):
            self._forget_waiting((name, number))
        else:
            self._out.append(cmd.ReleaseSegments(name, number))

    def _was_released(self, asked: ev.PrepareAsked) -> bool:
        return any((asked.origin, asked.stream, one) in self._released for one in (asked.generation, ALL))

    def _prepared(self, key: _Key, took_s: float) -> None:
        self._preparing.done(key)
        name, number = key
        stream = self._streams.get(name)
        generation = None if stream is None else stream.generations.get(number)
        if stream is None or generation is None or generation.state is not State.PREPARING:
            self._out.append(cmd.ReleaseSegments(name, number))  # it was released meanwhile
            return
        generation.state, generation.took_s = State.HELD, took_s
        for request in generation.requests:
            self._reply(generation.asked, request, answer=took_s)
        generation.requests.clear()
        if stream.origin == self._node:
            return
        plan = generation.asked.plan
        self._out.append(cmd.PlanReady(name, plan) if stream.is_serving else cmd.StreamBegan(name, stream.origin, plan))
        stream.is_serving = True

    def _prepare_failed(self, key: _Key, reason: str) -> None:
        self._preparing.done(key)
        name, number = key
        if name in self._streams and number in self._streams[name].generations:
            self._let_go(name, number, reason)

    # -- measuring -----------------------------------------------------------------------------------------------------

    def _measure_asked(self, asked: ev.ProfileAsked | ev.TimeAsked) -> None:
        n_waiting = self._n_waiting(asked.origin)
        if n_waiting >= MAX_WAITING and asked.origin != self._node:
            reason = f"{n_waiting} questions from there wait here already, the most is {MAX_WAITING}"
            self._reply(asked, asked.request, reason=reason)
            return
        measuring = _Measuring(next(self._jobs), asked)
        if isinstance(asked, ev.ProfileAsked):
            self._models.want(asked.model_id, asked.source, asked.origin, measuring)
        else:
            self._measuring.put(asked.origin, measuring)

    def _n_waiting(self, origin: NodeId) -> int:
        n_of_models = sum(isinstance(one, _Measuring) for one in self._models.waiting_of(origin))
        return n_of_models + self._measuring.n_waiting(origin)

    def _measured(self, job: int, answer: object, reason: str | None) -> None:
        for one, _ in self._measuring.begun_s():
            if one.job == job:
                self._measuring.done(one)
                self._reply(one.asked, one.asked.request, answer=answer, reason=reason)
                return

    # -- models --------------------------------------------------------------------------------------------------------

    def _obtain_failed(self, model_id: str, reason: str) -> None:
        for waiting in self._models.failed(model_id):
            if isinstance(waiting, _Measuring):
                self._reply(waiting.asked, waiting.asked.request, reason=reason)
            else:
                self._let_go(*waiting, reason)

    def _model_obtained(self, model_id: str, cuts: tuple[Cut, ...]) -> None:
        self._cuts[model_id] = cuts
        for waiting in self._models.obtained(model_id):
            if isinstance(waiting, _Measuring):
                self._measuring.put(waiting.asked.origin, waiting)
                continue
            name, number = waiting
            generation = self._streams[name].generations[number]
            if generation.asked.origin != self._node and (refusal := self._why_no_memory(generation)) is not None:
                self._let_go(name, number, refusal)
            else:
                generation.state = State.ADMITTED
                self._preparing.put(generation.asked.origin, waiting)

    def _why_no_memory(self, new: _Generation) -> str | None:
        last = len(self._cuts[new.asked.model_id]) - 1
        if any(segment.stop > last for segment in new.need.segments):
            return f"the model has no cut beyond {last}"
        others = [
            generation.need
            for stream in self._streams.values()
            for generation in stream.generations.values()
            if generation is not new and generation.state is not State.WAITING
        ]
        return why_no_memory(new.need, others, self._cuts, self._usable_bytes)

    def _forget_waiting(self, waiting: _Waiting) -> None:
        """What waits for a model, or for its turn, does so no more."""
        if isinstance(waiting, _Measuring):
            self._measuring.drop(waiting)
        else:
            self._preparing.drop(waiting)
        self._models.forget(waiting)

    # -- peers ---------------------------------------------------------------------------------------------------------

    def _peer_seen(self, node: NodeId, incarnation: str) -> None:
        before = self._incarnations.get(node)
        self._incarnations[node] = incarnation
        if before is not None and before != incarnation:
            self._forget_origin(node, f"another process runs on `{node}`")

    def _forget_gone(self, now_s: float) -> None:
        for node in [node for node, gone_s in self._gone_s.items() if now_s - gone_s >= ORPHAN_S]:
            del self._gone_s[node]
            self._incarnations.pop(node, None)
            self._forget_origin(node, f"`{node}` is gone")

    def _forget_origin(self, origin: NodeId, reason: str) -> None:
        for name, stream in list(self._streams.items()):
            if stream.origin == origin:
                for number in list(stream.generations):
                    self._let_go(name, number, reason)
                self._out.append(cmd.StreamEnded(name, reason))
        dropped = [one for one in self._models.waiting_of(origin) if isinstance(one, _Measuring)]
        for one in dropped:
            self._forget_waiting(one)
        for one in (*dropped, *self._measuring.drop_lane(origin)):
            self._reply(one.asked, one.asked.request, reason=reason)

    # -- turns ---------------------------------------------------------------------------------------------------------

    def _begin(self, now_s: float) -> None:
        """Begin whatever may."""
        self._models.begin(now_s)
        for key in self._preparing.begin(now_s):
            generation = self._streams[key[0]].generations[key[1]]
            generation.state = State.PREPARING
            asked = generation.asked
            self._out.append(
                cmd.PrepareSegments(
                    stream=asked.stream,
                    generation=asked.generation,
                    model_id=asked.model_id,
                    plan=asked.plan,
                    stages=generation.stages,
                    mode=asked.mode,
                    load=asked.load,
                )
            )
        n_overdue = sum(now_s - begun_s >= one.overdue_s for one, begun_s in self._measuring.begun_s())
        for one in self._measuring.begin(now_s, most=1 + n_overdue):
            match one.asked:
                case ev.ProfileAsked(model_id=model_id, budget_s=budget_s):
                    self._out.append(cmd.Profile(one.job, model_id, budget_s))
                case ev.TimeAsked(model_id=model_id, segment=segment):
                    self._out.append(cmd.TimeSegment(one.job, model_id, segment))

    def _reply(
        self,
        asked: ev.PrepareAsked | ev.ProfileAsked | ev.TimeAsked,
        request: int,
        *,
        answer: object = None,
        reason: str | None = None,
    ) -> None:
        """Answer one question."""
        reply = cmd.Reply(
            origin=asked.origin, request=request, question=cmd.Question.TIME, answer=answer, reason=reason
        )
        match asked:
            case ev.PrepareAsked(stream=stream, generation=generation, plan=plan):
                prepare = cmd.Question.PREPARE
                reply = replace(reply, question=prepare, stream=stream, generation=generation, plan=plan)
            case ev.ProfileAsked():
                reply = replace(reply, question=cmd.Question.PROFILE)
        self._out.append(reply)
