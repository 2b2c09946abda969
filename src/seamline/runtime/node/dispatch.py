"""Every message that reaches a node: sorted by kind, handled at once or in turn, and no bad one ends the node.

What frames and link measurements wait for is done on the fabric's thread; all else waits in the inbox for the
dispatcher's. What the messages ask for is done elsewhere: `frame_path`, `service`, `links`, `models`.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from seamline.core.vocabulary.errors import ModelError, PeerLost, PlanError, SeamlineError, SwitchError, UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Array
from seamline.fabric import messages as msg
from seamline.fabric.wire import unpack
from seamline.runtime.node.profiling import profile_from_bytes

if TYPE_CHECKING:
    from seamline.runtime.node.node import Node

log = logging.getLogger(__name__)


class Dispatcher:
    """Owner of a node's inbox and of the thread that empties it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._dispatch, name="dispatch", daemon=True)
        self._leaving = False

    def start(self) -> None:
        self._thread.start()

    def leave(self) -> None:
        """From now on what fails does so because the node is leaving, and that is no news."""
        self._leaving = True

    def close(self) -> None:
        """Handle what is in the inbox already, then end the thread."""
        self._inbox.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout=3.0)

    def put(self, work: Callable[[], None]) -> None:
        """Do `work` on the dispatcher's thread, after what is in the inbox."""
        self._inbox.put(work)

    def arrived(self, source: NodeId, data: memoryview) -> None:
        """A message, on the fabric's thread."""
        self._guarded(partial(self._sort, source, data))

    def _dispatch(self) -> None:
        while (work := self._inbox.get()) is not None:
            self._guarded(work)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do `work`; one bad message must not end the node."""
        try:
            work()
        except PeerLost as error:  # it asked and went away; those who wait for it are told when it is seen to be gone
            log.debug("%s", error)
        except SeamlineError as error:
            log.log(logging.DEBUG if self._leaving else logging.WARNING, "%s", error)
        except Exception:
            log.exception("a message could not be handled")

    def _sort(self, source: NodeId, data: memoryview) -> None:
        """What frames and link measurements wait for is done at once, since it only enqueues; the rest is dispatched.

        Waking one more thread takes about 0.3 ms there and back again when the node was idle.
        """
        node = self._node
        header, tensors = unpack(data)
        match header:
            case msg.FrameData():
                try:
                    node.frames.arrived(source, header, tensors)
                finally:  # after it, because the stage need not wait for the sending
                    self._receipt(source, header.seq)
            case msg.ResultData():
                node.frames.answered(header, tensors)
            case msg.Receipt(seq):
                node.links.receipt(source, seq)
            case msg.Ping(seq):
                node.send(source, msg.Pong(seq=seq))
            case msg.Pong(seq):
                node.links.pong(source, seq)
            case msg.Probe(seq):
                self._receipt(source, seq)
            case _:
                self.put(partial(self._receive, source, header, tensors))

    def _receive(self, source: NodeId, header: msg.Message, tensors: list[Array]) -> None:
        node = self._node
        match header:
            case msg.Status():
                node.status_arrived(source, header)
            case msg.FrameFailed():
                node.frames.refused(header)
            case msg.Prepare():
                node.service.prepare_for(source, header)
            case msg.Release(stream=stream, generation=generation):
                node.service.release(stream, generation)
            case msg.SwitchPlan():
                self._switch_asked(source, header)
            case msg.SetObjective():
                self._objective_asked(source, header)
            case msg.ProfileModel():
                node.service.profile_for(source, header)
            case msg.TimeSegment():
                node.service.time_for(source, header)
            case msg.FetchModel():
                node.exchange.serve(source, header)
            case msg.ModelPart():
                node.exchange.received(source, header, tensors)
            case _:
                self._settle(source, header)

    def _settle(self, source: NodeId, reply: msg.Message) -> None:
        """Hand an answer to whoever asked for it."""
        answer: object
        match reply:
            case msg.Prepared(request_id=request_id, prepare_s=prepare_s, error=error):
                answer = prepare_s if error is None else _said(PlanError, f"`{source}` cannot prepare", error)
            case msg.PlanSwitched(request_id=request_id, record=record, error=error):
                answer = record if record is not None else _said(SwitchError, f"`{source}` did not switch", error)
            case msg.ObjectiveChanged(request_id=request_id, before=before, error=error):
                answer = before if before is not None else _said(UsageError, f"`{source}` refuses", error)
            case msg.Profiled(request_id=request_id):
                answer = _profile_in(reply, source)
            case msg.SegmentTimed(request_id=request_id, compute_s=took_s, error=error):
                answer = took_s if took_s is not None else _said(ModelError, f"`{source}` cannot run it", error)
            case _:
                return
        self._node.requests.settle(request_id, source, answer)

    def _switch_asked(self, source: NodeId, ask: msg.SwitchPlan) -> None:
        listener = self._node.listener(ask.stream)
        if listener is not None:
            listener.on_switch_plan(source, ask)
        else:
            self._node.reply(source, msg.PlanSwitched(ask.request_id, error=self._no_stream(ask.stream)))

    def _objective_asked(self, source: NodeId, ask: msg.SetObjective) -> None:
        listener = self._node.listener(ask.stream)
        if listener is not None:
            listener.on_set_objective(source, ask)
        else:
            self._node.reply(source, msg.ObjectiveChanged(ask.request_id, error=self._no_stream(ask.stream)))

    def _no_stream(self, name: str) -> str:
        streams = ", ".join(self._node.streams) or "none"
        return f"no stream `{name[:80]}` starts here; hint: `seamline nodes` lists them, here: {streams}"

    def _receipt(self, target: NodeId, seq: int) -> None:
        try:
            self._node.send(target, msg.Receipt(seq=seq))
        except PeerLost:
            log.debug("receipt not sent to %s", target)


def _said(kind: type[SeamlineError], what: str, words: str | None) -> SeamlineError:
    """Another node's error as one of ours; its hint stays one."""
    fact, _, hint = (words or "without a word").partition("; hint: ")
    return kind(f"{what}: {fact}", hint=hint or None)


def _profile_in(reply: msg.Profiled, source: NodeId) -> object:
    """The profile, or the error that is the answer."""
    if reply.profile is None:
        return _said(PlanError, f"`{source}` cannot profile", reply.error)
    try:
        return profile_from_bytes(reply.profile, source)
    except SeamlineError as exc:
        return exc
