"""The protocol over HTTP: JSON, with tensors as JSON or as bytes behind it."""

from __future__ import annotations

import asyncio
import math
from dataclasses import asdict
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from seamline.core.vocabulary.errors import SeamlineError, WireError
from seamline.core.vocabulary.ports import Array
from seamline.model.remote.oip_body import (
    LENGTH_HEADER,
    InferRequest,
    InferResponse,
    decode_tensors,
    encode_body,
    split_body,
    tensor_head,
)
from seamline.runtime.api.request_queue import DeadlineExceeded, Overloaded
from seamline.runtime.identity.web_address import is_own_name
from seamline.serving.served import VERSION, Served, ServedModel, server_metadata, trouble

MOST_COMING_BYTES = 256 << 20
"""Of all bodies that are not there as a whole; beyond, those are refused that have more than an even share of it."""

AGAIN_S = 1.0


def http_app(served: Served, *, is_local: bool) -> Starlette:
    """The application. is_local: only this machine is to reach it, so no page that others point here may."""
    front = _Front(served)
    routes = [
        Route("/v2", front.metadata),
        Route("/v2/", front.metadata),
        Route("/v2/health/live", front.live),
        Route("/v2/health/ready", front.ready),
    ]
    for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        routes += [
            Route(prefix, front.model_metadata),
            Route(f"{prefix}/ready", front.model_ready),
            Route(f"{prefix}/infer", front.infer, methods=["POST"]),
        ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(_OwnNames)] if is_local else [],
        exception_handlers={SeamlineError: _say},
    )


class _Front:
    def __init__(self, served: Served) -> None:
        self._served = served
        self._coming_bytes: dict[Request, int] = {}

    async def live(self, request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> Response:
        is_ready = self._served.is_ready
        return JSONResponse({"live": is_ready, "ready": is_ready}, 200 if is_ready else 503)

    async def metadata(self, request: Request) -> Response:
        return JSONResponse(server_metadata())

    async def model_metadata(self, request: Request) -> Response:
        model = self._model(request)
        tensors = {key: [asdict(each) for each in getattr(model, key)] for key in ("inputs", "outputs")}
        return JSONResponse({"name": model.name, "versions": [VERSION], "platform": "onnx_seamline", **tensors})

    async def model_ready(self, request: Request) -> Response:
        model, is_ready = self._model(request), self._served.is_ready
        return JSONResponse({"name": model.name, "ready": is_ready}, 200 if is_ready else 503)

    async def infer(self, request: Request) -> Response:
        model = self._model(request)
        asked, tensors = _read(await self._body(request, model.most_bytes), request.headers)
        outputs = await self._served.infer(
            model,
            tensors,
            timeout=asked.parameters.get("timeout"),
            wanted=[output.name for output in asked.outputs],
        )
        are_bytes = bool(asked.parameters.get("binary_data_output"))
        as_bytes = {output.name: bool(output.parameters.get("binary_data", are_bytes)) for output in asked.outputs}
        answer = InferResponse(
            model_name=model.name,
            model_version=VERSION,
            id=asked.id,
            outputs=[
                tensor_head(name, array, as_bytes=as_bytes.get(name, are_bytes)) for name, array in outputs.items()
            ],
        )
        raw_outputs = [array for name, array in outputs.items() if as_bytes.get(name, are_bytes)]
        body, length = encode_body(answer, raw_outputs)
        if not raw_outputs:
            return Response(body, media_type="application/json")
        return Response(body, media_type="application/octet-stream", headers={LENGTH_HEADER: str(length)})

    async def _body(self, request: Request, most_bytes: int) -> bytes:
        """Raises `WireError` for one that is larger than any request to the model, or packed, `DeadlineExceeded` for
        one that does not come in time, and `Overloaded` for a large one while others take the memory."""
        if request.headers.get("content-encoding", "identity") != "identity":
            raise WireError("the body is compressed", hint="send it as it is")
        parts, coming, n_bytes = [], self._coming_bytes, 0
        most_coming_bytes = max(MOST_COMING_BYTES, self._served.most_bytes)
        try:
            async with asyncio.timeout(self._served.timeout_s):
                async for part in request.stream():
                    n_bytes = coming[request] = n_bytes + len(part)
                    if n_bytes > most_bytes:
                        words = f"the body is larger than {most_bytes} bytes"
                        raise WireError(words, hint="does its shape fit the model's?")
                    if sum(coming.values()) > most_coming_bytes and n_bytes > most_coming_bytes / len(coming):
                        raise Overloaded("too many large bodies come at once", retry_after_s=AGAIN_S)
                    parts.append(part)
        except TimeoutError:
            raise DeadlineExceeded(f"the body did not come within {self._served.timeout_s:g} s") from None
        finally:
            coming.pop(request, None)
        return b"".join(parts)

    def _model(self, request: Request) -> ServedModel:
        return self._served.model(request.path_params["model"], request.path_params.get("version", ""))


class _OwnNames:
    """Refuses what another site made a browser send (DNS rebinding, cross-site requests)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host, origin = headers.get("host", ""), headers.get("origin")
            if not is_own_name(host) or (origin is not None and origin.partition("://")[2] != host):
                refusal = JSONResponse({"error": "this is not the name of this machine, or another site asks"}, 421)
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _read(body: bytes, headers: Headers) -> tuple[InferRequest, dict[str, Array]]:
    """(request without its inputs, those); JSON's many objects of them are gone. Raises `WireError`."""
    json, raw = split_body(body, headers)
    try:
        asked = msgspec.json.decode(json, type=InferRequest)
    except (msgspec.DecodeError, RecursionError) as error:
        raise WireError(f"the body is no inference request: {error}") from error
    tensors = decode_tensors(asked.inputs, raw)
    asked.inputs.clear()
    return asked, tensors


async def _say(request: Request, error: Exception) -> Response:
    assert isinstance(error, SeamlineError)
    answer = trouble(error)
    headers: dict[str, Any] = {}
    if answer.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(answer.retry_after_s)))
    return JSONResponse({"error": answer.words}, answer.http, headers)
