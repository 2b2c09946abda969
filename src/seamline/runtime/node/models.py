"""Model exchange between nodes: a node fetches a model it lacks, by content id, from the node that asks it to prepare.

Parts are fetched in pieces with few of them in flight, the graph first, from another source where one fails, verified
against the manifest, whose own hash is the model's id, and kept in the store. A short outage of the only source is
waited for; a fetch that fails leaves nothing. Nothing here looks inside a model, nor chooses which is fetched when:
that is `core.hosting`.
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

PIECE_BYTES = 256 * 1024
N_IN_FLIGHT = 4
ANSWER_TIMEOUT_S, STALL_S = 30.0, 3.0
"""For a piece, from the only source; and where another may be asked instead."""

PATIENCE_S, RETRY_S = 10.0, 0.25
"""How long a fetch waits for its only source to come back, and how often it asks."""

LOOK_S = 0.2
"""How often it is looked whether the model is still wanted, and from whom."""

Send = Callable[[NodeId, ModelPart, tuple[Array, ...]], None]


class ModelExchange:
    """Serves pieces of stored models, and fetches missing ones on the threads of whoever wants them.

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

    def stored(self, model_id: str) -> StoredModel:
        """The model from the store, sound. Raises `ModelError` when it is not there or cannot be read."""
        return self._store.get_sound(model_id)

    def obtain(self, model_id: str, sources: Sources) -> StoredModel:
        """The model `model_id`, once it is here and checked, else fetched from one of `sources`; blocks meanwhile.

        Raises `ModelError` when it cannot be read or the bytes do not match the id, `PeerLost` when no source answers
        or it is given up.
        """
        damage: DamagedModel | None = None
        try:
            if self._store.has(model_id):
                return self._store.get_sound(model_id)
        except DamagedModel as error:
            damage = error
        while True:
            source = sources.current()
            if source == self._news.node:
                raise damage or ModelError(f"model {model_id[:12]} is not in the store", hint="add it here first")
            try:
                return self._fetch(model_id, source, sources)
            except _AnotherSource:
                continue
            except (PeerLost, ModelError) as error:
                if not sources.has_another(source):
                    raise (damage if damage is not None and isinstance(error, PeerLost) else error) from None

    def _fetch(self, model_id: str, source: NodeId, sources: Sources) -> StoredModel:
        self._news.fetching(model_id, source)
        manifest = self._piece(self._ask(source, model_id, "manifest", 0, PIECE_BYTES), source, sources)
        incoming = self._store.receive(model_id, manifest)
        is_resumed = incoming.n_bytes_present("graph") > 0
        try:
            stored = self._receive(source, incoming, sources)
        except DamagedModel:
            if not is_resumed:
                raise
            stored = self._receive(source, self._store.receive(model_id, manifest), sources)
        self._news.fetched(stored.name, stored.weights_bytes)
        return stored

    def _receive(self, source: NodeId, incoming: Incoming, sources: Sources) -> StoredModel:
        """All parts, the graph first; what has arrived is dropped when that fails, and kept for a better source."""
        try:
            for part in incoming.parts:
                self._fetch_part(source, incoming, part, sources)
            return incoming.finish()
        except _AnotherSource:
            raise
        except BaseException:
            incoming.drop()
            raise

    def _fetch_part(self, source: NodeId, incoming: Incoming, part: str, sources: Sources) -> None:
        """Goes on where it was when `source`, the only one, comes back soon, as after a short outage of a link."""
        last_s = now_s()
        while (present := incoming.n_bytes_present(part)) < incoming.parts[part]:
            try:
                self._fetch_from(source, incoming, part, present, sources)
            except PeerLost:
                if incoming.n_bytes_present(part) > present:
                    last_s = now_s()
                is_over = now_s() - last_s > PATIENCE_S or sources.n_others(source) > 0
                if is_over or sources.are_given_up_within(RETRY_S):
                    raise

    def _fetch_from(self, source: NodeId, incoming: Incoming, part: str, begin: int, sources: Sources) -> None:
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
            data = self._piece(answer, source, sources)
            incoming.write(part, offset, data)

    def _ask(self, source: NodeId, model_id: str, part: str, offset: int, length: int) -> Future[bytes]:
        return self._requests.ask(
            source,
            lambda request_id: FetchModel(
                request_id=request_id, model_id=model_id, part=part, offset=offset, length=length
            ),
        )

    def _piece(self, answer: Future[bytes], source: NodeId, sources: Sources) -> bytes:
        """One piece, as soon as it has come. Raises `PeerLost` when it does not, `_AnotherSource` when a newer one is
        there."""
        began_s = now_s()
        while True:
            if sources.current() != source:
                raise _AnotherSource
            with suppress(FutureTimeout):
                return answer.result(timeout=LOOK_S)
            patience_s = STALL_S if sources.n_others(source) else ANSWER_TIMEOUT_S
            if now_s() - began_s > patience_s:
                raise PeerLost(f"a piece of a model did not arrive within {patience_s:.0f} s")

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


class _AnotherSource(Exception):
    """The source that is asked is not the one to ask any more."""


class Sources:
    """Nodes that have a model which is being fetched, the one to ask next first; safe from any thread.

    The newest comes first: whoever wants a model now is there and waits for it. One that failed is asked last.
    """

    def __init__(self, first: NodeId) -> None:
        self._lock = threading.Lock()
        self._nodes = [first]
        self._n_failed = 0
        self._given_up = threading.Event()

    def add(self, source: NodeId) -> None:
        """Another node has the model too."""
        with self._lock:
            if source not in self._nodes:
                self._nodes.insert(0, source)
                self._n_failed = 0

    def give_up(self) -> None:
        """Nobody wants the model any more."""
        self._given_up.set()

    def are_given_up_within(self, seconds: float) -> bool:
        """Wait that long, or until nobody wants the model any more, and say whether that is so."""
        return self._given_up.wait(seconds)

    def current(self) -> NodeId:
        """The node to ask. Raises `PeerLost` when the model is given up."""
        with self._lock:
            if self._given_up.is_set():
                raise PeerLost("nobody wants the model any more")
            return self._nodes[0]

    def n_others(self, source: NodeId) -> int:
        """How many others may be asked instead."""
        with self._lock:
            return sum(node != source for node in self._nodes)

    def has_another(self, failed: NodeId) -> bool:
        """Whether one is left to ask now that `failed` did not give the model."""
        with self._lock:
            if self._given_up.is_set():
                return False
            self._n_failed += 1
            if failed in self._nodes:
                self._nodes.remove(failed)
                self._nodes.append(failed)
            return self._n_failed < len(self._nodes)
