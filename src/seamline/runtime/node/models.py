"""Model exchange between nodes: a node fetches a model it lacks, by content id, from the node that asks it to prepare.

Parts are fetched in pieces with few of them in flight, the graph first, verified against the manifest, whose own hash
is the model's id, and kept in the store. A short outage of the source is waited for; a fetch that fails leaves nothing.
Nothing here looks inside a model.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress

import numpy as np

from seamline.core.vocabulary.errors import ModelError, PeerLost, SeamlineError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Array
from seamline.fabric.messages import FetchModel, ModelPart
from seamline.model import Incoming, ModelStore, StoredModel
from seamline.model.store.stored import DamagedModel
from seamline.runtime.shared.clock import now_s
from seamline.runtime.shared.news import News
from seamline.runtime.shared.requests import Requests
from seamline.runtime.shared.worker import Worker

PIECE_BYTES = 256 * 1024
N_IN_FLIGHT = 4
N_AT_ONCE = 4
"""Models that are fetched at the same time; they share the links, and one behind a slow link holds up no other."""

ANSWER_TIMEOUT_S = 30.0
PATIENCE_S, RETRY_S = 10.0, 0.25
"""How long a fetch waits for its source to come back, and how often it asks."""

Send = Callable[[NodeId, ModelPart, tuple[Array, ...]], None]


class ModelExchange:
    """Serves pieces of stored models, and fetches missing ones on threads of its own.

    withheld_from: nodes that get none from here.
    """

    def __init__(
        self,
        store: ModelStore,
        requests: Requests,
        send: Send,
        news: News,
        withheld_from: frozenset[NodeId] = frozenset(),
    ) -> None:
        self._withheld_from = withheld_from
        self._store = store
        self._news = news
        self._requests = requests
        self._send = send
        self._fetcher = Worker("fetch", N_AT_ONCE)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._arriving: dict[str, threading.Lock] = {}

    def close(self) -> None:
        """Fetch nothing more."""
        self._closing.set()
        self._fetcher.close()

    def on_fetch(self, source: NodeId, ask: FetchModel) -> None:
        """Answer one `FetchModel` of `source`, with an error when we do not have it either."""
        answer = ModelPart(request_id=ask.request_id, model_id=ask.model_id, part=ask.part, offset=ask.offset)
        try:
            if source in self._withheld_from:
                raise ModelError(f"`{source}` gets no weights from here", hint="--no-weights-to says so")
            model = self._store.get(ask.model_id)
            if not 0 < ask.length <= PIECE_BYTES:
                raise ModelError(f"a piece of {ask.length} bytes was asked for; the most is {PIECE_BYTES}")
            data = np.frombuffer(model.read_part(ask.part, ask.offset, ask.length), dtype=np.uint8)
        except SeamlineError as error:
            refusal = ModelPart(
                request_id=ask.request_id, model_id=ask.model_id, part=ask.part, offset=ask.offset, error=str(error)
            )
            self._send(source, refusal, ())
            return
        self._send(source, answer, (data,))

    def obtain(self, model_id: str, source: NodeId | None) -> Future[StoredModel]:
        """The model `model_id`, at once when it is here and sound, else as soon as it has been checked, or has come
        from `source`; None for no other than this node.

        Settles with `ModelError` when it cannot be read or the bytes do not match the id, with `PeerLost` when `source`
        goes away.
        """
        try:
            with suppress(DamagedModel):
                if self._store.has(model_id) and (found := self._store.get(model_id)).is_checked:
                    return _settled(found)
        except SeamlineError as error:
            return _settled(error)
        return self._fetcher.submit(self._checked, model_id, source)

    def _checked(self, model_id: str, source: NodeId | None) -> StoredModel:
        if source is None:
            return self._store.get_sound(model_id)
        with suppress(DamagedModel):
            if self._store.has(model_id):
                return self._store.get_sound(model_id)
        return self._fetch(model_id, source)

    def _fetch(self, model_id: str, source: NodeId) -> StoredModel:
        with self._lock:
            arriving = self._arriving.setdefault(model_id, threading.Lock())
        with arriving:  # two streams may want the same model at once; the second finds it in the store
            if self._store.has(model_id):
                return self._store.get(model_id)
            self._news.fetching(model_id, source)
            manifest = self._piece(self._ask(source, model_id, "manifest", 0, PIECE_BYTES))
            incoming = self._store.receive(model_id, manifest)
            is_resumed = incoming.n_bytes_present("graph") > 0
            try:
                stored = self._receive(source, incoming)
            except DamagedModel:
                if not is_resumed:
                    raise
                stored = self._receive(source, self._store.receive(model_id, manifest))
        with self._lock:
            self._arriving.pop(model_id, None)
        self._news.fetched(stored.name, stored.weights_bytes)
        return stored

    def _receive(self, source: NodeId, incoming: Incoming) -> StoredModel:
        """All parts, the graph first; what has arrived is dropped when that fails."""
        try:
            for part in incoming.parts:
                self._fetch_part(source, incoming, part)
            return incoming.finish()
        except BaseException:
            incoming.drop()
            raise

    def _fetch_part(self, source: NodeId, incoming: Incoming, part: str) -> None:
        """Goes on where it was when `source` comes back within `PATIENCE_S`, as after a short outage of a link."""
        last_s = now_s()
        while (present := incoming.n_bytes_present(part)) < incoming.parts[part]:
            try:
                self._fetch_from(source, incoming, part, present)
            except PeerLost:
                if incoming.n_bytes_present(part) > present:
                    last_s = now_s()
                if now_s() - last_s > PATIENCE_S or self._closing.wait(RETRY_S):
                    raise

    def _fetch_from(self, source: NodeId, incoming: Incoming, part: str, begin: int) -> None:
        stop = incoming.parts[part]
        offsets = deque(range(begin, stop, PIECE_BYTES))
        asked: deque[tuple[int, Future[bytes]]] = deque()
        while offsets or asked:
            while offsets and len(asked) < N_IN_FLIGHT:
                offset = offsets.popleft()
                asked.append(
                    (offset, self._ask(source, incoming.model_id, part, offset, min(PIECE_BYTES, stop - offset)))
                )
            offset, answer = asked.popleft()
            data = self._piece(answer)
            incoming.write(part, offset, data)

    def _ask(self, source: NodeId, model_id: str, part: str, offset: int, length: int) -> Future[bytes]:
        return self._requests.ask(
            source,
            lambda request_id: FetchModel(
                request_id=request_id, model_id=model_id, part=part, offset=offset, length=length
            ),
        )

    def _piece(self, answer: Future[bytes]) -> bytes:
        try:
            return answer.result(timeout=ANSWER_TIMEOUT_S)
        except FutureTimeout:
            raise PeerLost(f"a piece of a model did not arrive within {ANSWER_TIMEOUT_S:.0f} s") from None

    def on_part(self, source: NodeId, part: ModelPart, tensors: list[Array]) -> None:
        """Hand an arriving `ModelPart` to whoever asked for it."""
        if part.error is not None:
            self._requests.settle(
                part.request_id, source, ModelError(f"`{source}` cannot send the model: {part.error}")
            )
        elif len(tensors) != 1 or tensors[0].dtype != np.uint8:
            self._requests.settle(part.request_id, source, ModelError(f"`{source}` sent a malformed piece of a model"))
        else:
            self._requests.settle(part.request_id, source, tensors[0].tobytes())


def _settled(outcome: StoredModel | SeamlineError) -> Future[StoredModel]:
    future: Future[StoredModel] = Future()
    if isinstance(outcome, SeamlineError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
    return future
