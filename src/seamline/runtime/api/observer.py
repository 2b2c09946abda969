"""Observer of streams: asks their origins what is to be seen, and keeps the newest answers, for a page or a terminal.

It is used by a run for its own streams and by a node that only looks for those of a whole cluster: the question is the
same. What peers answer is checked here: its form, its size, whose stream it is about, and that it steers no terminal.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from seamline.core.vocabulary.complaints import quoted
from seamline.core.vocabulary.errors import PeerLost, SeamlineError, UsageError, WireError
from seamline.core.vocabulary.nodes import NodeId, node_id
from seamline.fabric import messages as msg
from seamline.runtime.api.preview import Preview
from seamline.runtime.api.stream_state import StreamBrief, StreamState
from seamline.runtime.node.node import Node
from seamline.runtime.node.status import OBSERVER
from seamline.runtime.shared.clock import now_s

MAX_STREAMS = 4096
"""That are shown at once."""

ASK_AGAIN_S = 10.0
"""A question that nobody answered is forgotten after that."""

_CONTROL = re.compile(rb"\\u00(?:[01][0-9a-f]|7f)|\x7f|\xc2[\x80-\x9f]", re.IGNORECASE)

_Kind = TypeVar("_Kind")


@dataclass(frozen=True, slots=True)
class _Question:
    """stream: empty for all of `origin` in brief."""

    origin: NodeId
    stream: str


class StreamObserver:
    """Keeps what is known of streams; `refresh` asks anew. One thread refreshes, any may read. own_only: not of the
    cluster, but of the streams that start at `node` itself."""

    def __init__(self, node: Node, *, own_only: bool = False) -> None:
        self.node = node
        self.own_only = own_only
        self.briefs: Mapping[str, StreamBrief] = {}
        self.states: Mapping[str, StreamState] = {}
        self.troubles: Mapping[str, str] = {}
        self._asked: dict[_Question, tuple[float, Future[bytes]]] = {}

    def statuses(self) -> dict[str, msg.Status]:
        """Every node that is there, this one too unless it only looks."""
        own = self.node.status.compose()
        here = {} if own.tier == OBSERVER else {str(self.node.name): own}
        others = self.node.membership.statuses()
        return {**here, **{str(name): status for name, status in others.items() if status.tier != OBSERVER}}

    def origins(self) -> tuple[NodeId, ...]:
        """Nodes where streams start that are looked at."""
        if self.own_only:
            return (self.node.name,)
        return tuple(NodeId(name) for name, status in sorted(self.statuses().items()) if status.streams)

    def refresh(self, shown: Collection[str], *, with_costs: Collection[str] = (), wait_s: float = 0.5) -> None:
        """Ask all origins for their streams in brief, and for the whole state of those that are `shown`; take what has
        come within `wait_s`, the rest next time. with_costs: of which every cut is to be priced."""
        origins = self.origins()
        self._forget(origins)
        for origin in origins:
            self._ask(_Question(origin, ""), with_costs=False)
        for stream in shown:
            if origin_of(stream) in origins:
                self._ask(_Question(origin_of(stream), stream), with_costs=stream in with_costs)
        oldest_s = now_s() - wait_s  # one that was waited for already holds up nobody again
        wait([future for asked_s, future in self._asked.values() if asked_s > oldest_s], timeout=wait_s)
        self._take(origins)
        self.states = {name: state for name, state in self.states.items() if name in shown and name in self.briefs}

    def preview(self, stream: str, plan: str) -> Future[bytes]:
        """What `plan` would cost `stream`; settles with JSON that `preview_in` reads, or an error."""
        return self.node.client.look(origin_of(stream), stream, plan=plan)

    def _ask(self, question: _Question, *, with_costs: bool) -> None:
        if question not in self._asked:
            future = self.node.client.look(question.origin, question.stream, with_costs=with_costs)
            self._asked[question] = (now_s(), future)

    def _take(self, origins: Iterable[NodeId]) -> None:
        briefs = {name: brief for name, brief in self.briefs.items() if origin_of(name) in origins}
        states: dict[str, StreamState] = dict(self.states)
        troubles: dict[str, str] = {}
        for question, (_, future) in list(self._asked.items()):
            if not future.done():
                troubles[question.origin] = "it does not answer those who look; is it of an older version?"
                continue
            del self._asked[question]
            try:
                found = future.result()
                if question.stream:
                    states[question.stream] = _state_in(found, question.stream)
                else:
                    kept = {name: brief for name, brief in briefs.items() if origin_of(name) != question.origin}
                    briefs = {**kept, **_briefs_in(found, question.origin)}
            except SeamlineError as error:
                troubles[question.origin] = str(error)
        self.briefs = dict(sorted(briefs.items())[:MAX_STREAMS])
        self.states, self.troubles = states, troubles

    def _forget(self, origins: Collection[NodeId]) -> None:
        too_old_s = now_s() - ASK_AGAIN_S
        self._asked = {
            question: (asked_s, future)
            for question, (asked_s, future) in self._asked.items()
            if question.origin in origins and asked_s > too_old_s
        }


def origin_of(stream: str) -> NodeId:
    """The node where `stream` starts, whose name it carries. Raises `UsageError` when it is no stream's name."""
    origin, dash, _ = stream.rpartition("-")
    if not dash:
        raise UsageError(f"`{quoted(stream)}` is not a stream's name", hint="`seamline nodes` shows them")
    return node_id(origin)


def preview_in(found: bytes) -> Preview:
    """Raises `WireError` for what is none."""
    return _decoded(found, Preview)


def answered(asked: Future[_Kind], origin: NodeId, timeout_s: float) -> _Kind:
    """The answer. Raises `PeerLost` when there is none in time, and the error that is the answer."""
    try:
        return asked.result(timeout=timeout_s)
    except TimeoutError:
        raise PeerLost(
            f"`{origin}` did not answer within {timeout_s:.0f} s", hint="`seamline nodes` shows how it fares"
        ) from None


def _briefs_in(found: bytes, origin: NodeId) -> dict[str, StreamBrief]:
    briefs = _decoded(found, list[StreamBrief])
    return {brief.name: brief for brief in briefs if brief.name.rpartition("-")[0] == origin}


def _state_in(found: bytes, stream: str) -> StreamState:
    state = _decoded(found, StreamState)
    if state.name != stream:
        raise WireError(f"asked for `{stream}`, told of `{quoted(state.name)}`")
    return state


def _decoded(found: bytes, kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.json.decode(_CONTROL.sub(b"?", found), type=kind)
    except msgspec.MsgspecError as error:
        raise WireError(f"what was seen is not understood: {error}") from error
