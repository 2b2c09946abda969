"""The protocol over gRPC: the unary calls, and Triton's stream of requests on one call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Any

import grpc

from seamline.core.vocabulary.errors import SeamlineError, WireError
from seamline.core.vocabulary.ports import Array, dtype_name
from seamline.identity.kept import Identity
from seamline.model.remote.oip_body import DATATYPES, tensor_of_bytes, tensor_of_values
from seamline.serving.callers import require_rpc
from seamline.serving.grpc_messages import SERVICE, message
from seamline.serving.served import VERSION, Served, server_metadata, trouble

MOST_AHEAD = 64
"""Requests of one call that are read before the answer to the first of them is there."""

CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents",
}  # fmt: skip
"""Where the values of a tensor stand that is not given as bytes."""

_Answer = Callable[[Any, Any], Any]


def grpc_handler(served: Served, identity: Identity | None) -> grpc.GenericRpcHandler:
    """What a `grpc.aio.Server` answers: everybody, or whom `identity` does."""
    front = _Front(served, identity)
    unary: dict[str, _Answer] = {
        "ServerLive": front.live,
        "ServerReady": front.ready,
        "ServerMetadata": front.metadata,
        "ModelReady": front.model_ready,
        "ModelMetadata": front.model_metadata,
        "ModelInfer": front.infer,
    }
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            front.answered(answer),
            request_deserializer=message(f"{name}Request").FromString,
            response_serializer=message(f"{name}Response").SerializeToString,
        )
        for name, answer in unary.items()
    }
    handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
        front.stream,
        request_deserializer=message("ModelInferRequest").FromString,
        response_serializer=message("ModelStreamInferResponse").SerializeToString,
    )
    return grpc.method_handlers_generic_handler(SERVICE, handlers)


class _Front:
    def __init__(self, served: Served, identity: Identity | None) -> None:
        self._served = served
        self._identity = identity

    def answered(self, answer: _Answer) -> _Answer:
        """`answer` to who may ask, with its errors as statuses."""

        async def handle(request: Any, context: Any) -> Any:
            await self._require_allowed(context)
            try:
                return await answer(request, context)
            except SeamlineError as error:
                told = trouble(error)
                if told.retry_after_s is not None:
                    context.set_trailing_metadata((("retry-after", f"{max(0.001, told.retry_after_s):.3f}"),))
                await context.abort(grpc.StatusCode[told.grpc], told.words)

        return handle

    async def _require_allowed(self, context: Any) -> None:
        if self._identity is not None:
            await require_rpc(context, self._identity)

    async def live(self, request: Any, context: Any) -> Any:
        return message("ServerLiveResponse")(live=True)

    async def ready(self, request: Any, context: Any) -> Any:
        return message("ServerReadyResponse")(ready=self._served.is_ready)

    async def metadata(self, request: Any, context: Any) -> Any:
        return message("ServerMetadataResponse")(**server_metadata())

    async def model_ready(self, request: Any, context: Any) -> Any:
        self._served.model(request.name, request.version)
        return message("ModelReadyResponse")(ready=self._served.is_ready)

    async def model_metadata(self, request: Any, context: Any) -> Any:
        model = self._served.model(request.name, request.version)
        return message("ModelMetadataResponse")(
            name=model.name,
            versions=[VERSION],
            platform="onnx_seamline",
            inputs=[asdict(each) for each in model.inputs],
            outputs=[asdict(each) for each in model.outputs],
        )

    async def infer(self, request: Any, context: Any) -> Any:
        left_s = context.time_remaining()
        model = self._served.model(request.model_name, request.model_version)
        outputs = await self._served.infer(
            model,
            _tensors(request),
            timeout=_parameters(request).get("timeout"),
            left_s=left_s,
            wanted=[output.name for output in request.outputs],
        )
        return message("ModelInferResponse")(
            model_name=model.name,
            model_version=VERSION,
            id=request.id,
            outputs=[
                {"name": name, "datatype": DATATYPES[dtype_name(array.dtype)], "shape": array.shape}
                for name, array in outputs.items()
            ],
            raw_output_contents=[array.tobytes() for array in outputs.values()],
        )

    async def stream(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """Answers in the order of requests, all of which run at once; one that fails says so in its place, one that
        cannot be read or whose caller is answered no more ends the call."""
        await self._require_allowed(context)
        answers: asyncio.Queue[asyncio.Task[Any] | None] = asyncio.Queue(MOST_AHEAD)

        async def read() -> None:
            try:
                async for request in requests:
                    await self._require_allowed(context)
                    await answers.put(asyncio.create_task(self._streamed(request, context)))
            finally:
                await answers.put(None)

        reading = asyncio.create_task(read())
        try:
            while (answer := await answers.get()) is not None:
                yield await answer
            await reading
        finally:
            reading.cancel()
            while not answers.empty():
                if (left := answers.get_nowait()) is not None:
                    left.cancel()

    async def _streamed(self, request: Any, context: Any) -> Any:
        kind = message("ModelStreamInferResponse")
        try:
            return kind(infer_response=await self.infer(request, context))
        except SeamlineError as error:
            return kind(
                error_message=trouble(error).words,
                infer_response={"id": request.id, "model_name": request.model_name},
            )


def _tensors(request: Any) -> dict[str, Array]:
    """Inputs by name. Raises `WireError`."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise WireError(f"{len(raw)} raw_input_contents for {len(request.inputs)} inputs")
    found: dict[str, Array] = {}
    for at, given in enumerate(request.inputs):
        if given.name in found:
            raise WireError(f"tensor `{given.name[:80]}` is given twice")
        shape = tuple(given.shape)
        if raw:
            found[given.name] = tensor_of_bytes(given.name, given.datatype, shape, raw[at])
        elif (field := CONTENTS.get(given.datatype)) is not None:
            values = getattr(given.contents, field)
            found[given.name] = tensor_of_values(given.name, given.datatype, shape, list(values))
        else:
            raise WireError(f"tensor `{given.name[:80]}` of {given.datatype[:20]} is not given in raw_input_contents")
    return found


def _parameters(request: Any) -> dict[str, Any]:
    return {
        name: getattr(value, chosen)
        for name, value in request.parameters.items()
        if (chosen := value.WhichOneof("parameter_choice")) is not None
    }
