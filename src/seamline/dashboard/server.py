"""The dashboard's server: one page, its state once a second to all who look, and the wheel.

What is shown comes from `feed.py`, what was from `history.py`; what is changed is asked of the stream's origin, as by
`seamline switch` and `seamline set`, and answered by it. Who may is `access.py`'s.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from seamline.core.vocabulary.errors import FabricError, SeamlineError, UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.dashboard.access import Guard, Sessions
from seamline.dashboard.feed import Feed
from seamline.dashboard.history import FULL_S, TEMPORARY, History
from seamline.dashboard.picture import Newest, Picture
from seamline.runtime.api.observer import StreamObserver, origin_of, preview_in
from seamline.runtime.identity.web_address import WebAddress, parse_web_address

ANSWER_TIMEOUT_S = 30.0
MAX_BODY_BYTES = 16_384
MAX_CONNECTIONS = 256
MAX_AVOIDED = 64
MAX_NAME = 128
BY = "on the dashboard"
ELSEWHERE = "Pictures stay where the stream starts: the page of the run itself (`run --dashboard`) shows them."
STATIC = Path(str(files("seamline.dashboard") / "static"))

_Body = TypeVar("_Body", bound=msgspec.Struct)
_Answer = TypeVar("_Answer")


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token: str


class Steering(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked of a stream. plan: empty to release it."""

    stream: str
    plan: str = ""


class Judging(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a stream's plans are judged by from now on."""

    stream: str
    objective: str


class Avoiding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nodes that run nothing of a stream from now on."""

    stream: str
    nodes: tuple[str, ...]


class Dashboard:
    """Shows the streams that `observer` sees on `address` until `close`.

    allow_insecure: beyond this machine, too, where everybody may look. history: where it is kept. only_looks: why
    nobody may steer here, whoever signs in; empty where who signed in may. pictures: by stream, the newest frame that
    may be seen; why_no_picture: of the others. option: what the user gave `address` with. key: whoever has it is given
    links.
    Raises `UsageError` for no address or one beyond this machine, `FabricError` when the port is taken.
    """

    def __init__(
        self,
        observer: StreamObserver,
        address: str,
        *,
        allow_insecure: bool = False,
        history: str | Path = TEMPORARY,
        only_looks: str = "",
        pictures: Mapping[str, Newest] | None = None,
        why_no_picture: str = ELSEWHERE,
        option: str = "--dashboard",
    ) -> None:
        wanted = parse_web_address(address, option)
        if not wanted.is_loopback and not allow_insecure:
            raise UsageError(
                f"a dashboard on `{wanted}` would be seen beyond this machine, in the clear",
                hint=f"leave out the host, and look from elsewhere by `ssh -L {wanted.port}:localhost:{wanted.port}`; "
                "--insecure shows it to everybody",
            )
        self.sessions = Sessions()
        self.key = secrets.token_urlsafe(32)
        self._only_looks = only_looks
        self._observer = observer
        self._listener = _bound(wanted, option)
        try:
            self._history = History(history)
        except FabricError:
            self._listener.close()
            raise
        self._bound = WebAddress(host=wanted.host, port=self._listener.getsockname()[1])
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: asyncio.Event | None = None
        self._pictures = {stream: Picture(newest) for stream, newest in (pictures or {}).items()}
        self._drawing = asyncio.Lock()
        self._feed = Feed(
            observer,
            self._history,
            self._wake,
            why_no_picture=lambda stream: "" if stream in self._pictures else why_no_picture,
        )
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
        self._thread = threading.Thread(target=self._serve, name="dashboard", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where everybody who reaches it may look."""
        return f"http://{self._bound}/"

    @property
    def port(self) -> int:
        return self._bound.port

    def link(self) -> str:
        """A link that makes the first browser to open it one that may steer."""
        return self.url if self._only_looks else f"{self.url}#sign-in={self.sessions.new_token()}"

    def close(self) -> None:
        """Answer no more; idempotent."""
        self._feed.close()
        self._server.should_exit = True
        self._wake()
        self._thread.join(timeout=3.0)
        self._listener.close()

    def _wake(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        """On the server's thread: whoever waits has something to send, and waits for the next time."""
        assert self._news is not None
        self._news.set()
        self._news = asyncio.Event()

    # -- looking -------------------------------------------------------------------------------------------------------

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
                Route("/api/history", self._past),
                Route("/api/events", self._events),
                Route("/api/picture", self._picture),
                Route("/api/session", self._session),
                Route("/api/sign-in", self._sign_in, methods=["POST"]),
                Route("/api/link", self._link, methods=["POST"]),
                Route("/api/preview", self._preview, methods=["POST"]),
                Route("/api/pin", self._pin, methods=["POST"]),
                Route("/api/release", self._release, methods=["POST"]),
                Route("/api/objective", self._judge, methods=["POST"]),
                Route("/api/avoid", self._avoid, methods=["POST"]),
                Mount("/static", StaticFiles(directory=STATIC)),
            ],
            middleware=[Middleware(Guard)],
            exception_handlers={_Refused: _say, SeamlineError: _say},
        )

    async def _page(self, request: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    async def _state(self, request: Request) -> Response:
        return _json(self._feed.payload(self._feed.chosen(_stream(request))))

    async def _past(self, request: Request) -> Response:
        """Figures of a stream over so many seconds as ``over`` says, and what was decided."""
        over = request.query_params.get("over", "")
        seconds = float(over) if over.isdecimal() else FULL_S
        past = await asyncio.to_thread(self._history.of, self._feed.chosen(_stream(request)), seconds)
        return _json(msgspec.json.encode(past))

    async def _picture(self, request: Request) -> Response:
        """The newest frame of a stream as JPEG; 204 before there is one."""
        picture = self._pictures.get(_stream(request))
        if picture is None:
            raise _Refused(404, "no picture of that stream is shown here")
        async with self._drawing:
            found = await asyncio.to_thread(picture.jpeg)
        headers = {"cache-control": "no-store"}
        return Response(status_code=204) if found is None else Response(found, media_type="image/jpeg", headers=headers)

    async def _events(self, request: Request) -> Response:
        return StreamingResponse(
            self._payloads(_stream(request)), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    async def _payloads(self, stream: str) -> AsyncIterator[bytes]:
        """The newest state each time there is one; a page that is slow to read misses some."""
        while not self._feed.ended.is_set():
            chosen, news = self._feed.chosen(stream), self._news
            assert news is not None
            with self._feed.showing(chosen):
                yield b"data: " + self._feed.payload(chosen) + b"\n\n"
                await news.wait()

    # -- steering ------------------------------------------------------------------------------------------------------

    async def _session(self, request: Request) -> Response:
        session = {"may_steer": self._may_steer(request), "only_looks": self._only_looks}
        return JSONResponse(session, headers={"cache-control": "no-store"})

    async def _sign_in(self, request: Request) -> Response:
        session = self.sessions.redeem((await _body(request, SignIn)).token)
        if session is None:
            raise _Refused(403, "this link was used before, or is of another run")
        answer = JSONResponse({"may_steer": not self._only_looks})
        answer.set_cookie(self._cookie, session, httponly=True, samesite="strict", path="/")
        return answer

    async def _link(self, request: Request) -> Response:
        """Another link, for whoever has the key: the user who started this."""
        if not hmac.compare_digest((await _body(request, SignIn)).token.encode(), self.key.encode()):
            raise _Refused(403, "that is not the key of this page")
        return JSONResponse({"link": self.link()}, headers={"cache-control": "no-store"})

    async def _preview(self, request: Request) -> Response:
        asked = await _body(request, Steering)
        self._origin_of(asked.stream)
        if not asked.plan:
            raise _Refused(422, "a plan has to be said")
        found = await _settled(self._observer.preview(asked.stream, asked.plan))
        return _json(msgspec.json.encode(preview_in(found)))

    async def _pin(self, request: Request) -> Response:
        return await self._switch(await self._steering(request, Steering))

    async def _release(self, request: Request) -> Response:
        asked = await self._steering(request, Steering)
        return await self._switch(Steering(stream=asked.stream, plan="auto"))

    async def _switch(self, asked: Steering) -> Response:
        client, origin = self._observer.node.client, self._origin_of(asked.stream)
        found = await _settled(client.switch_plan(origin, asked.stream, asked.plan, by=BY))
        record = msgspec.json.decode(found)
        return JSONResponse({"plan": record["to_plan"], "reason": record["reason"], "prepare_s": record["prepare_s"]})

    async def _judge(self, request: Request) -> Response:
        asked = await self._steering(request, Judging)
        client, origin = self._observer.node.client, self._origin_of(asked.stream)
        before = await _settled(client.set_objective(origin, asked.stream, asked.objective, by=BY))
        return JSONResponse({"objective": asked.objective, "before": before})

    async def _avoid(self, request: Request) -> Response:
        asked = await self._steering(request, Avoiding)
        client, origin = self._observer.node.client, self._origin_of(asked.stream)
        before = await _settled(client.avoid(origin, asked.stream, asked.nodes[:MAX_AVOIDED], by=BY))
        return JSONResponse({"nodes": asked.nodes, "before": before})

    async def _steering(self, request: Request, kind: type[_Body]) -> _Body:
        if not self._may_steer(request):
            raise _Refused(
                403, self._only_looks or "you may look; the link that the command printed lets one browser steer"
            )
        return await _body(request, kind)

    def _origin_of(self, stream: str) -> NodeId:
        if stream not in self._observer.briefs:
            raise _Refused(404, "no such stream")
        return origin_of(stream)

    def _may_steer(self, request: Request) -> bool:
        return not self._only_looks and self.sessions.may_steer(request.cookies.get(self._cookie))

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


async def _settled(asked: Future[_Answer]) -> _Answer:
    """What the origin answers. Raises what it raises, and `_Refused` where it takes too long."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(asked), ANSWER_TIMEOUT_S)
    except TimeoutError:
        raise _Refused(504, f"no answer within {ANSWER_TIMEOUT_S:.0f} s") from None


def _stream(request: Request) -> str:
    return request.query_params.get("stream", "")[:MAX_NAME]


def _json(encoded: bytes) -> Response:
    return Response(encoded, media_type="application/json", headers={"cache-control": "no-store"})


def _bound(address: WebAddress, option: str) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        return socket.create_server((address.host, address.port), family=family)
    except socket.gaierror:
        raise UsageError(f"`{address.host}` is no host of this machine", hint=f"write {option} PORT") from None
    except OSError as error:
        raise FabricError(
            f"cannot answer on {address}: {error.strerror}", hint=f"give {option} another port"
        ) from error
