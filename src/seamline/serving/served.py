"""Models that are served: what the protocol says of each, and one request to one of them, whoever brought it.

Both fronts, `http_front.py` and `grpc_front.py`, read a request into tensors and leave the rest to `Served.infer`; what
goes wrong is a `SeamlineError`, which `trouble` gives its status in both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from seamline import __version__
from seamline.core.vocabulary.errors import ModelError, SeamlineError, UsageError, WireError
from seamline.core.vocabulary.ports import Array
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.model.metadata.preprocess import FRAME
from seamline.model.remote.oip_body import DATATYPES
from seamline.runtime.api.request_queue import DeadlineExceeded, Ending, Overloaded, RequestQueue
from seamline.runtime.api.stream import Stream
from seamline.runtime.origin.results import Result
from seamline.runtime.shared.clock import now_s

SERVER = "seamline"
EXTENSIONS = ("binary_tensor_data",)
VERSION = "1"
"""Of every model: a stream has one."""

MICROSECONDS = 1e-6
JSON_BYTES_PER_ELEMENT = 32
HEAD_BYTES = 1 << 16
PICTURE_BYTES = 64 << 20


class UnknownModel(UsageError):
    """No model of that name or version is served here."""


class FailedRequest(ModelError):
    """No node could answer a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorMetadata:
    """What the protocol says of an input or output. shape: -1 where a request may decide."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """How one error is answered. grpc: the name of its status code. retry_after_s: when to ask again, if that helps."""

    http: int
    grpc: str
    words: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model. name: what callers call it."""

    name: str
    queue: RequestQueue

    @property
    def inputs(self) -> tuple[TensorMetadata, ...]:
        return tuple(map(_input, self._stream.model.inputs))

    @property
    def outputs(self) -> tuple[TensorMetadata, ...]:
        return tuple(map(_output, self._stream.model.graph.output_specs))

    @property
    def most_bytes(self) -> int:
        """The largest request that can be meant."""
        sizes = (
            PICTURE_BYTES if spec.name == FRAME else spec.n_elements * JSON_BYTES_PER_ELEMENT
            for spec in self._stream.model.inputs
        )
        return HEAD_BYTES + sum(sizes)

    @property
    def _stream(self) -> Stream:
        return self.queue.stream


class Served:
    """The models of a server by name. timeout_s: of requests that say nothing, and the most that one may ask for."""

    def __init__(self, models: Iterable[ServedModel], *, timeout_s: float) -> None:
        self.models = {model.name: model for model in models}
        self.is_ready = True
        self.timeout_s = timeout_s
        for model in self.models.values():
            if model.queue.stream.model.graph.is_local:
                raise UsageError(
                    f"`{model.name}` takes or gives strings or sequences, which the protocol does not carry here",
                    hint="leave it out, or run it with `seamline run`",
                )

    @property
    def most_bytes(self) -> int:
        return max(model.most_bytes for model in self.models.values())

    def model(self, name: str, version: str = "") -> ServedModel:
        """Raises `UnknownModel`."""
        model = self.models.get(name)
        if model is None:
            raise UnknownModel(f"no model `{name[:80]}`", hint=f"this server has {', '.join(sorted(self.models))}")
        if version not in ("", VERSION):
            raise UnknownModel(f"`{name}` has no version `{version[:20]}`", hint=f"leave it out, or say {VERSION}")
        return model

    async def infer(
        self,
        model: ServedModel,
        inputs: Mapping[str, Array],
        *,
        timeout: object = None,
        left_s: float | None = None,
        wanted: Sequence[str] = (),
    ) -> dict[str, Array]:
        """The outputs of `model` for `inputs`: those `wanted`, in that order, or all.

        timeout: the request's own parameter, microseconds. left_s: until its caller waits no longer.
        Raises `SeamlineError`, see `trouble`.
        """
        known = [output.name for output in model.outputs]
        if unknown := sorted(set(wanted) - set(known)):
            raise UsageError(f"`{model.name}` has no output `{unknown[0][:80]}`", hint=f"it has {', '.join(known)}")
        timeout_s = min(self.timeout_s, _timeout_s(timeout), self.timeout_s if left_s is None else left_s)
        answer = asyncio.wrap_future(model.queue.submit(inputs, timeout_s))
        try:
            result = await asyncio.wait_for(answer, timeout_s)
        except TimeoutError:
            raise DeadlineExceeded(f"no answer within {timeout_s:g} s") from None
        return _outputs(result, wanted or known)

    def close(self, within_s: float) -> None:
        """Take no more requests; those accepted are answered within `within_s`, all models at once."""
        self.is_ready = False
        for model in self.models.values():
            model.queue.end()
        until_s = now_s() + within_s
        for model in self.models.values():
            model.queue.close(max(0.0, until_s - now_s()))


def server_metadata() -> dict[str, object]:
    return {"name": SERVER, "version": __version__, "extensions": list(EXTENSIONS)}


def trouble(error: SeamlineError) -> Trouble:
    """How `error` is answered."""
    words = str(error)
    match error:
        case UnknownModel():
            return Trouble(http=404, grpc="NOT_FOUND", words=words)
        case Overloaded(retry_after_s=retry_after_s):
            return Trouble(http=429, grpc="RESOURCE_EXHAUSTED", words=words, retry_after_s=retry_after_s)
        case DeadlineExceeded():
            return Trouble(http=504, grpc="DEADLINE_EXCEEDED", words=words)
        case Ending():
            return Trouble(http=503, grpc="UNAVAILABLE", words=words)
        case FailedRequest():
            return Trouble(http=500, grpc="INTERNAL", words=words)
        case UsageError() | WireError() | ModelError():
            return Trouble(http=400, grpc="INVALID_ARGUMENT", words=words)
    return Trouble(http=500, grpc="INTERNAL", words=words)


def _timeout_s(timeout: object) -> float:
    if timeout is None:
        return float("inf")
    if isinstance(timeout, bool) or not isinstance(timeout, int) or timeout <= 0:
        raise UsageError(f"timeout is {str(timeout)[:40]}", hint="whole microseconds, e.g. 500000")
    return timeout * MICROSECONDS


def _outputs(result: Result, wanted: Sequence[str]) -> dict[str, Array]:
    if result.error is not None:
        raise FailedRequest(result.error)
    return {name: result.outputs[name] for name in wanted}


def _input(spec: TensorSpec) -> TensorMetadata:
    """A picture may have any size: it is brought to the model's."""
    shape = (-1, -1, 3) if spec.name == FRAME else spec.shape
    return TensorMetadata(name=spec.name, datatype=DATATYPES[spec.dtype], shape=shape)


def _output(spec: TensorSpec) -> TensorMetadata:
    shape = tuple(-1 if spec.is_open and extent == 1 else extent for extent in spec.shape)
    return TensorMetadata(name=spec.name, datatype=DATATYPES[spec.dtype], shape=shape)
