"""The client side of a node's questions to its peers: prepare, release, profile, measure, change a stream.

A question to this node itself goes straight to its `service`. What others ask of this node is `handlers.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import TypeVar

from seamline.core.cost.loads import NO_LOAD, StageLoad
from seamline.core.switching import PreparationMode
from seamline.core.vocabulary.errors import ModelError, PlanError, SeamlineError, SwitchError, UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan, Segment
from seamline.core.vocabulary.profiles import Profile
from seamline.fabric import messages as msg
from seamline.runtime.node.profiling import profile_from_bytes
from seamline.runtime.node.service import Service
from seamline.runtime.node.uplink import Uplink
from seamline.runtime.shared.bounds import MAX_SPENT_S, clamped
from seamline.runtime.shared.requests import Requests
from seamline.runtime.shared.stream_requests import StreamRequests, unpacked

Answer = msg.Prepared | msg.PlanSwitched | msg.ObjectiveChanged | msg.LookedAt | msg.Profiled | msg.SegmentTimed
_Ask = TypeVar("_Ask", bound=msg.Message)
_Found = TypeVar("_Found")


class PeerClient:
    """Asks nodes for what streams need of them; every future is settled with the answer or its error."""

    def __init__(
        self, node: NodeId, uplink: Uplink, requests: Requests, service: Service, streams: StreamRequests
    ) -> None:
        self._node = node
        self._uplink = uplink
        self._requests = requests
        self._service = service
        self._streams = streams

    def prepare(
        self,
        target: NodeId,
        stream: str,
        generation: int,
        model_id: str,
        plan: Plan,
        form: PreparationMode = PreparationMode.SHARED,
        load: StageLoad = NO_LOAD,
    ) -> Future[float]:
        """Ask `target` (possibly this node) to get ready for `plan`, which will bring it `load`; settles with its
        seconds or its error."""
        if target == self._node:
            return self._service.prepare(stream, generation, model_id, plan, form, load)
        return self._requests.ask(
            target,
            lambda request_id: msg.Prepare(
                request_id=request_id,
                stream=stream,
                generation=generation,
                model_id=model_id,
                plan=str(plan),
                source=self._node,
                form=form,
                rate_per_s=load.rate_per_s,
                busy_s=load.busy_s,
            ),
        )

    def release(self, target: NodeId, stream: str, generation: int) -> None:
        """Tell `target` (possibly this node) that a generation is over; one that is gone needs no telling."""
        if target == self._node:
            self._service.release(stream, generation)
        else:
            self._uplink.send_best_effort(target, msg.Release(stream=stream, generation=generation))

    def profile(self, target: NodeId, model_id: str, budget_s: float) -> Future[Profile]:
        """Ask `target` (possibly this node) what the model costs there."""
        if target == self._node:
            return self._service.profile(model_id, budget_s)
        return self._requests.ask(
            target,
            lambda request_id: msg.ProfileModel(
                request_id=request_id, model_id=model_id, source=self._node, budget_s=budget_s
            ),
        )

    def measure_links(self, target: NodeId, stream: str, others: Collection[NodeId], for_s: float) -> None:
        """Ask `target` (possibly this node) to measure its links to `others` and to report on them for `for_s`; one
        that is gone is no matter, since whoever needs it asks again."""
        if target == self._node:
            self._uplink.links.ask(target, stream, others, for_s)
        else:
            self._uplink.send_best_effort(target, msg.MeasureLinks(stream, tuple(sorted(others)), for_s))

    def time_segment(self, target: NodeId, model_id: str, segment: Segment) -> Future[float]:
        """Ask `target` (possibly this node) what `segment` takes there now, in seconds, without a frame."""
        if target == self._node:
            return self._service.time_segment(model_id, segment)
        return self._requests.ask(
            target, lambda request_id: msg.TimeSegment(request_id, model_id, segment.start, segment.stop)
        )

    def switch_plan(self, target: NodeId, stream: str, plan: str, strategy: str = "", by: str = "") -> Future[bytes]:
        """Ask the origin of `stream` to move it to `plan`; settles with the switch's record as JSON, or its error.

        by: where its user asked, for the reason.
        """
        return self._ask_stream(
            target,
            lambda request_id: msg.SwitchPlan(request_id, stream, plan, strategy, by),
            self._streams.switch_plan,
        )

    def set_objective(self, target: NodeId, stream: str, objective: str, by: str = "") -> Future[str]:
        """Ask the origin of `stream` to judge its plans by `objective`; settles with the one before, or its error."""
        return self._set(target, lambda request_id: msg.SetObjective(request_id, stream, objective, by=by))

    def set_energy_scope(self, target: NodeId, stream: str, scope: str) -> Future[str]:
        """Ask the origin of `stream` to count joules as `scope` says; settles with the scope before, or its error."""
        return self._set(target, lambda request_id: msg.SetObjective(request_id, stream, "", energy_scope=scope))

    def avoid(self, target: NodeId, stream: str, nodes: Collection[str], by: str = "") -> Future[str]:
        """Ask the origin of `stream` to let `nodes` run nothing; settles with those avoided before, or its error."""
        return self._set(target, lambda request_id: msg.SetObjective(request_id, stream, "", avoid=tuple(nodes), by=by))

    def look(self, target: NodeId, stream: str = "", *, with_costs: bool = False, plan: str = "") -> Future[bytes]:
        """Ask an origin what is to be seen of `stream`, or of all in brief; settles with JSON, or its error."""
        return self._ask_stream(
            target,
            lambda request_id: msg.LookAt(request_id, stream, with_costs, plan),
            lambda _, ask: self._streams.look(ask),
        )

    def _set(self, target: NodeId, question: Callable[[int], msg.SetObjective]) -> Future[str]:
        return self._ask_stream(target, question, self._streams.set)

    def _ask_stream(
        self,
        target: NodeId,
        question: Callable[[int], _Ask],
        here: Callable[[NodeId, _Ask], Future[_Found]],
    ) -> Future[_Found]:
        """here: what is asked where the stream starts at this node itself."""
        return here(self._node, question(0)) if target == self._node else self._requests.ask(target, question)

    def on_answer(self, source: NodeId, reply: Answer) -> None:
        """A node has answered: settle the question."""
        answer: object
        match reply:
            case msg.Prepared(prepare_s=prepare_s, error=error):
                answer = (
                    clamped(prepare_s, MAX_SPENT_S)
                    if error is None
                    else _error(PlanError, f"`{source}` cannot prepare", error)
                )
            case msg.PlanSwitched(record=record, error=error):
                answer = record if record is not None else _error(SwitchError, f"`{source}` did not switch", error)
            case msg.ObjectiveChanged(before=before, error=error):
                answer = before if before is not None else _error(UsageError, f"`{source}` refuses", error)
            case msg.LookedAt():
                answer = _look_in(reply, source)
            case msg.Profiled():
                answer = _profile_in(reply, source)
            case msg.SegmentTimed(compute_s=took_s, error=error):
                answer = _error(ModelError, f"`{source}` cannot run it", error)
                if took_s is not None:
                    answer = clamped(took_s, MAX_SPENT_S)
        self._requests.settle(reply.request_id, source, answer)


def _error(kind: type[SeamlineError], what: str, words: str | None) -> SeamlineError:
    """Return another node's error as one of ours; its hint stays one."""
    fact, _, hint = (words or "without a word").partition("; hint: ")
    return kind(f"{what}: {fact}", hint=hint or None)


def _look_in(reply: msg.LookedAt, source: NodeId) -> bytes | SeamlineError:
    """Return what was seen as JSON, or the error that is the answer."""
    if reply.found is None:
        return _error(UsageError, f"`{source}` shows nothing", reply.error)
    try:
        return unpacked(reply.found)
    except SeamlineError as exc:
        return exc


def _profile_in(reply: msg.Profiled, source: NodeId) -> Profile | SeamlineError:
    """Return the profile, or the error that is the answer."""
    if reply.profile is None:
        return _error(PlanError, f"`{source}` cannot profile", reply.error)
    try:
        return profile_from_bytes(reply.profile, source)
    except SeamlineError as exc:
        return exc
