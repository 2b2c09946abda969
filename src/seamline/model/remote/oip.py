"""Engine that computes on a server of the Open Inference Protocol v2: Triton, KServe, another `seamline serve`.

Theory of operation. A server has whole models, and tails where `seamline export` wrote some: segments from a cut to the
end. Which they are is told by what they take and give: names of tensors are those of the graph, so they name the cut.
Metadata do not say whose weights a server has; so before a segment is used, its answer to noise is compared with that
of ONNX Runtime here. A server that holds the file itself, which takes no camera frames, is given the input that the
preprocessing makes, here.

A server that does not answer fails the frame; its origin runs it elsewhere, and leaves the node out for a while.
"""

from __future__ import annotations

import http.client
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import msgspec

from seamline.core.vocabulary.errors import ModelError, UsageError, WireError
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import Array, Tensors
from seamline.core.vocabulary.providers import OIP
from seamline.model.engine.comparison import relative_error
from seamline.model.engine.original import preprocessing
from seamline.model.engine.ort import OrtEngine
from seamline.model.engine.runnable import CheckedSegment, made_outputs
from seamline.model.engine.verify import random_tensors
from seamline.model.metadata.preprocess import FRAME
from seamline.model.remote.oip_body import (
    LENGTH_HEADER,
    InferRequest,
    InferResponse,
    TensorHead,
    decode_tensors,
    encode_body,
    split_body,
    tensor_head,
)
from seamline.model.store.models import ModelStore
from seamline.model.store.stored import StoredModel

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 1 << 30
TOLERANCE = 0.05
"""Largest deviation from ONNX Runtime here, relative to the largest value: servers compute in TF32 and 16 bits too."""


class _Metadata(msgspec.Struct):
    name: str = ""
    version: str = ""
    extensions: tuple[str, ...] = ()
    inputs: tuple[TensorHead, ...] = ()
    outputs: tuple[TensorHead, ...] = ()


@dataclass(frozen=True, slots=True)
class _Deployed:
    """A model of the server that is a segment of one here. takes_file_input: it takes what preprocessing makes."""

    name: str
    segment: Segment
    takes_file_input: bool


class OipEngine:
    """Makes those segments runnable that the server at `url` has; implements `core.vocabulary.ports.Engine`.

    models: their names there. Raises `UsageError` for what is no address, `ModelError` when the server does not answer
    or has no such model.
    """

    def __init__(self, store: ModelStore, url: str, models: Sequence[str], *, memory_bytes: int | None = None) -> None:
        self.store = store
        self._local = OrtEngine(store, memory_bytes=memory_bytes)
        self._server = _Server(url)
        about = self._server.metadata("")
        self._is_binary = "binary_tensor_data" in about.extensions
        self._models = {name: self._server.metadata(f"/models/{quote(name)}") for name in models}
        self._name = f"{about.name or 'open inference'} {about.version} at {url} ({', '.join(sorted(models))})"
        self._found: dict[str, tuple[_Deployed, ...]] = {}

    @property
    def name(self) -> str:
        return self._name

    @property
    def provider(self) -> str:
        return OIP

    @property
    def computes_on_caller(self) -> bool:
        return False

    def tails(self, model_id: str) -> tuple[int, ...]:
        """Cuts from which on, to the end, the server computes a model; 0 where it has all of it. Raises `ModelError`
        when it has nothing of it."""
        return tuple(sorted(each.segment.start for each in self._deployed(self.store.get_sound(model_id))))

    def prepare(self, model_id: str, segment: Segment) -> CheckedSegment:
        """`segment` as the server computes it. Raises `ModelError` when it does not have it, or computes another."""
        model = self.store.get_sound(model_id)
        part = model.segment(segment)
        if part.model is None:
            return CheckedSegment(part)
        deployed = next((each for each in self._deployed(model) if each.segment == segment), None)
        if deployed is None:
            raise ModelError(
                f"no server here has {segment} of `{model.name}`",
                hint="`seamline export --plan` writes it; then deploy it, and name it with --model",
            )
        fetches = made_outputs(part)
        adapted = _file_inputs(model) if deployed.takes_file_input else None

        def compute(feed: dict[str, Array]) -> dict[str, Array]:
            return self._infer(deployed.name, feed if adapted is None else adapted(feed), fetches)

        ready = CheckedSegment(part, [value.name for value in part.model.graph.input], compute)
        self._compare(ready, model, segment, deployed)
        return ready

    def interrupt(self) -> None:
        """Break off what is under way, now and from now on."""
        self._server.close()

    def _compare(self, ready: CheckedSegment, model: StoredModel, segment: Segment, deployed: _Deployed) -> None:
        noise = random_tensors(ready.inputs, 0)
        found, expected = ready.run(noise), self._local.prepare(model.model_id, segment).run(noise)
        error = max((relative_error(found[name], expected[name]) for name in expected), default=0.0)
        if not error <= TOLERANCE:
            raise ModelError(
                f"`{deployed.name}` on the server is not {segment} of `{model.name}`: answers differ by {error:.1e}",
                hint="deploy the same file there",
            )

    def _deployed(self, model: StoredModel) -> tuple[_Deployed, ...]:
        if model.model_id not in self._found:
            found = [each for name, about in self._models.items() if (each := _segment_of(name, about, model))]
            if not found:
                raise ModelError(
                    f"the server has nothing of `{model.name}`: none of {', '.join(self._models)} takes its tensors",
                    hint="deploy the file there, or what `seamline export` wrote",
                )
            self._found[model.model_id] = tuple(found)
        return self._found[model.model_id]

    def _infer(self, name: str, feed: Tensors, fetches: Sequence[str]) -> dict[str, Array]:
        request = InferRequest(
            inputs=[tensor_head(key, array, as_bytes=self._is_binary) for key, array in feed.items()],
            parameters={"binary_data_output": True} if self._is_binary else {},
        )
        body, length = encode_body(request, list(feed.values()) if self._is_binary else [])
        headers = {LENGTH_HEADER: str(length), "Content-Type": "application/octet-stream"} if self._is_binary else {}
        answer, said = self._server.post(f"/models/{quote(name)}/infer", body, headers)
        try:
            json_part, raw = split_body(answer, said)
            response = msgspec.json.decode(json_part, type=InferResponse)
            outputs = decode_tensors(response.outputs, raw)
        except (WireError, msgspec.DecodeError, RecursionError) as error:
            raise ModelError(f"`{name}` answered what is no answer: {error}") from error
        if missing := [key for key in fetches if key not in outputs]:
            raise ModelError(f"`{name}` gave no output `{missing[0]}`")
        return {key: outputs[key] for key in fetches}


class _Server:
    """HTTP connections to one server, kept for the next request; safe from any thread."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"`{url}` is not the address of a server", hint="write --url http://HOST:8000")
        self._url = url
        self._place = parts.netloc
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._path = f"{parts.path.rstrip('/')}/v2"
        self._lock = threading.Lock()
        self._free: list[http.client.HTTPConnection] = []
        self._busy: set[http.client.HTTPConnection] = set()
        self._is_closed = False

    def metadata(self, path: str) -> _Metadata:
        body, _ = self._ask("GET", path, None, {})
        try:
            return msgspec.json.decode(body, type=_Metadata)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ModelError(f"{self._url}{path} answers no metadata: {error}", hint="is --url right?") from error

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[bytes, Mapping[str, str]]:
        """(body, headers) of the answer. Raises `ModelError` for any other than 200, and for none."""
        return self._ask("POST", path, body, headers)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            left = [*self._free, *self._busy]
            self._free.clear()
        for connection in left:
            if (sock := connection.sock) is not None:
                sock.close()

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[bytes, Mapping[str, str]]:
        connection, is_kept = self._take()
        try:
            try:
                answer = self._answer(connection, method, path, body, headers)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                if not is_kept:  # a kept one may have been closed while it lay idle
                    raise
                connection.close()
                answer = self._answer(connection, method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self._let_go(connection, keep=False)
            raise ModelError(
                f"{self._url} does not answer: {error or type(error).__name__}", hint="does the server run?"
            ) from error
        self._let_go(connection, keep=True)
        status, said, found = answer
        if status != 200:
            raise ModelError(f"{self._url}{path} answers {status}: {_error_words(found)}")
        return found, said

    def _answer(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> tuple[int, Mapping[str, str], bytes]:
        connection.request(method, self._path + path, body, dict(headers))
        with connection.getresponse() as response:
            data = response.read(MAX_ANSWER_BYTES)
            return response.status, dict(response.headers), data

    def _take(self) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            if self._is_closed:
                raise ModelError("the node is ending")
            is_kept = bool(self._free)
            connection = self._free.pop() if is_kept else self._kind(self._place, timeout=TIMEOUT_S)
            self._busy.add(connection)
            return connection, is_kept

    def _let_go(self, connection: http.client.HTTPConnection, *, keep: bool) -> None:
        with self._lock:
            self._busy.discard(connection)
            keep = keep and not self._is_closed
            if keep:
                self._free.append(connection)
        if not keep:
            connection.close()


def _segment_of(name: str, about: _Metadata, model: StoredModel) -> _Deployed | None:
    """What of `model` a server's model is, by its tensors; None when it is nothing of it."""
    last = len(model.cuts) - 1
    taken = {head.name for head in about.inputs}
    for start in range(last):
        crossing = {spec.name for spec in model.inputs} if start == 0 else {s.name for s in model.cuts[start].tensors}
        file_inputs = {spec.name for spec in model.graph.input_specs} if start == 0 else crossing
        if not taken <= crossing | file_inputs | {FRAME}:
            continue
        part = model.segment(Segment(start, last))
        if part.model is None or not set(made_outputs(part)) <= {head.name for head in about.outputs}:
            continue
        if taken == {value.name for value in part.model.graph.input}:
            return _Deployed(name, Segment(start, last), takes_file_input=False)
        if start == 0 and model.preprocess is not None and taken == file_inputs:
            return _Deployed(name, Segment(start, last), takes_file_input=True)
    return None


def _file_inputs(model: StoredModel) -> Callable[[dict[str, Array]], dict[str, Array]]:
    """What makes the inputs of the model's file of those that a frame brings."""
    assert model.preprocess is not None, "only then a file takes others"
    target = model.preprocess.target(model.graph.input_specs)
    make = preprocessing(model.preprocess, target)

    def inputs(feed: dict[str, Array]) -> dict[str, Array]:
        others = {name: array for name, array in feed.items() if name != FRAME}
        return {**others, target.name: make(feed[FRAME])}

    return inputs


def _error_words(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])[:300]
    except (ValueError, KeyError, TypeError):
        return repr(body[:80])
