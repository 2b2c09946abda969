"""The dashboard's server: one page, its state once a second to all who look, and the wheel.

One thread looks at the streams once a second and encodes what it sees once; every open page is sent the same bytes, so
what the pipeline pays does not depend on how many look. Cuts are priced only while somebody does.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from seamline import __version__
from seamline.core.session.commands import SwitchRecord
from seamline.core.vocabulary.errors import FabricError, SeamlineError, UsageError
from seamline.dashboard.access import Guard, Sessions
from seamline.dashboard.state import PageState, StreamWatch
from seamline.dashboard.wheel import pin, preview, release
from seamline.runtime.identity.web_address import WebAddress, parse_web_address

INTERVAL_S = 1.0
LOOKED_AT_S = 5.0
"""So long after a page was there cuts are still priced."""

SWITCH_TIMEOUT_S = 30.0
MAX_BODY_BYTES = 16_384
MAX_CONNECTIONS = 256
STATIC = Path(str(files("seamline.dashboard") / "static"))

_Body = TypeVar("_Body", bound=msgspec.Struct)


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token: str


class Steering(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked of a stream. plan: empty to release it."""

    stream: str
    plan: str = ""


class Dashboard:
    """Shows `watches` on `address` until `close`. allow_insecure: beyond this machine, too, where everybody may look.

    Raises `UsageError` for no address or one beyond this machine, `FabricError` when the port is taken.
    """

    def __init__(self, watches: Sequence[StreamWatch], address: str, *, allow_insecure: bool = False) -> None:
        wanted = parse_web_address(address, "--dashboard")
        if not wanted.is_loopback and not allow_insecure:
            raise UsageError(
                f"a dashboard on `{wanted}` would be seen beyond this machine, in the clear",
                hint=f"leave out the host, and look from elsewhere by `ssh -L {wanted.port}:localhost:{wanted.port}`; "
                "--insecure shows it to everybody",
            )
        self._watches = {watch.name: watch for watch in watches}
        self.sessions = Sessions()
        self._listener = _bound(wanted)
        self._bound = WebAddress(host=wanted.host, port=self._listener.getsockname()[1])
        self._number = 0
        self._payload = b""
        self._n_pages = 0
        self._looked_at_s = 0.0
        self._ended = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: asyncio.Event | None = None
        self._look()
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app(),
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_graceful_shutdown=1,
            )
        )
        self._threads = (
            threading.Thread(target=self._serve, name="dashboard", daemon=True),
            threading.Thread(target=self._watch, name="dashboard-state", daemon=True),
        )
        for thread in self._threads:
            thread.start()

    @property
    def url(self) -> str:
        """Where everybody who reaches it may look."""
        return f"http://{self._bound}/"

    def link(self) -> str:
        """A link that makes the first browser to open it one that may steer."""
        return f"{self.url}#sign-in={self.sessions.new_token()}"

    def close(self) -> None:
        """Answer no more; idempotent."""
        self._ended.set()
        self._server.should_exit = True
        self._wake()
        for thread in self._threads:
            thread.join(timeout=3.0)
        self._listener.close()

    # -- what is shown -------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            self._look()
            self._wake()

    def _look(self) -> None:
        is_looked_at = self._n_pages > 0 or time.monotonic() - self._looked_at_s < LOOKED_AT_S
        streams = tuple(watch.look(with_costs=is_looked_at) for watch in self._watches.values())
        self._number += 1
        self._payload = msgspec.json.encode(
            PageState(number=self._number, time_s=time.time(), version=__version__, streams=streams)
        )

    def _wake(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        """On the server's thread: whoever waits has something to send, and waits for the next time."""
        assert self._news is not None
        self._news.set()
        self._news = asyncio.Event()

    # -- requests ------------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        async def serve() -> None:
            self._loop, self._news = asyncio.get_running_loop(), asyncio.Event()
            await self._server.serve(sockets=[self._listener])

        asyncio.run(serve())

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/api/state", self._state),
                Route("/api/history", self._history),
                Route("/api/events", self._events),
                Route("/api/session", self._session),
                Route("/api/sign-in", self._sign_in, methods=["POST"]),
                Route("/api/preview", self._preview, methods=["POST"]),
                Route("/api/pin", self._pin, methods=["POST"]),
                Route("/api/release", self._release, methods=["POST"]),
                Mount("/static", StaticFiles(directory=STATIC)),
            ],
            middleware=[Middleware(Guard)],
            exception_handlers={_Refused: _say, SeamlineError: _say},
        )

    async def _page(self, request: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    async def _state(self, request: Request) -> Response:
        self._looked_at_s = time.monotonic()
        return _json(self._payload)

    async def _history(self, request: Request) -> Response:
        """The last ten minutes of every stream."""
        self._looked_at_s = time.monotonic()
        return _json(msgspec.json.encode({name: tuple(watch.ticks) for name, watch in self._watches.items()}))

    async def _events(self, request: Request) -> Response:
        return StreamingResponse(
            self._payloads(), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    async def _payloads(self) -> AsyncIterator[bytes]:
        """The newest state each time there is one; a page that is slow to read misses some."""
        self._n_pages += 1
        self._looked_at_s = time.monotonic()
        try:
            while not self._ended.is_set():
                news = self._news
                yield b"data: " + self._payload + b"\n\n"
                assert news is not None
                await news.wait()
        finally:
            self._n_pages -= 1
            self._looked_at_s = time.monotonic()

    async def _session(self, request: Request) -> Response:
        return JSONResponse({"may_steer": self._may_steer(request)}, headers={"cache-control": "no-store"})

    async def _sign_in(self, request: Request) -> Response:
        session = self.sessions.redeem((await _body(request, SignIn)).token)
        if session is None:
            raise _Refused(403, "this link was used before, or is of another run")
        answer = JSONResponse({"may_steer": True})
        answer.set_cookie(self._cookie, session, httponly=True, samesite="strict", path="/")
        return answer

    async def _preview(self, request: Request) -> Response:
        asked = await _body(request, Steering)
        return _json(msgspec.json.encode(preview(self._watch_of(asked).stream, asked.plan)))

    async def _pin(self, request: Request) -> Response:
        asked = await self._steering(request)
        return await _settled(pin(self._watch_of(asked).stream, asked.plan))

    async def _release(self, request: Request) -> Response:
        return await _settled(release(self._watch_of(await self._steering(request)).stream))

    async def _steering(self, request: Request) -> Steering:
        if not self._may_steer(request):
            raise _Refused(403, "you may look; the link that the command printed lets one browser steer")
        return await _body(request, Steering)

    def _watch_of(self, asked: Steering) -> StreamWatch:
        watch = self._watches.get(asked.stream)
        if watch is None:
            raise _Refused(404, "no such stream")
        return watch

    def _may_steer(self, request: Request) -> bool:
        return self.sessions.may_steer(request.cookies.get(self._cookie))

    @property
    def _cookie(self) -> str:
        return f"seamline-{self._bound.port}"  # cookies are shared between the ports of a host


class _Refused(Exception):
    """An answer other than 200, in words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


async def _say(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, _Refused) else 422
    return JSONResponse({"error": str(error)}, status)


async def _body(request: Request, kind: type[_Body]) -> _Body:
    """The request's body. Raises `_Refused` for one that is too large, no JSON, or not of `kind`."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise _Refused(415, "send application/json")
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise _Refused(413, "too large")
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError as error:
        raise _Refused(400, f"not what is understood here: {error}") from error


async def _settled(asked: Any) -> Response:
    """What became of a switch: its record, or why there is none."""
    try:
        record: SwitchRecord = await asyncio.wait_for(asyncio.wrap_future(asked), SWITCH_TIMEOUT_S)
    except TimeoutError:
        raise _Refused(504, f"the switch took longer than {SWITCH_TIMEOUT_S:.0f} s") from None
    return JSONResponse({"plan": str(record.to_plan), "reason": record.reason, "prepare_s": record.prepare_s})


def _json(encoded: bytes) -> Response:
    return Response(encoded, media_type="application/json", headers={"cache-control": "no-store"})


def _bound(address: WebAddress) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        return socket.create_server((address.host, address.port), family=family)
    except socket.gaierror:
        raise UsageError(f"`{address.host}` is no host of this machine", hint="write --dashboard PORT") from None
    except OSError as error:
        raise FabricError(
            f"cannot answer on {address}: {error.strerror}", hint="give --dashboard another port"
        ) from error
