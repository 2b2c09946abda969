"""The server: both fronts on one thread with one event loop, from the first request to the last answer.

On loopback in the clear. Beyond it both are TLS with the certificate of this machine in its cluster, for members that
may start streams (`callers.py`). With `allow_insecure` both answer everybody, in the clear.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc.aio
import uvicorn
from cryptography import x509
from uvicorn.protocols.http.h11_impl import H11Protocol

from seamline.core.vocabulary.errors import FabricError, UsageError
from seamline.identity.kept import Identity
from seamline.runtime.identity.web_address import WebAddress, members_only
from seamline.serving.callers import for_callers, grpc_credentials
from seamline.serving.grpc_front import grpc_handler
from seamline.serving.http_front import http_app
from seamline.serving.served import Served

MAX_CONNECTIONS = 1024
"""Over HTTP; and calls at once over gRPC."""

SEND_S = 0.3
"""For the last answers to leave."""

IDLE_S = 75
"""A connection without a request is kept so long, also before its first: one closed under a request fails it."""

START_S = 10.0


class Server:
    """Serves `served` on the addresses given until `close`. identity: of this machine, to be used beyond loopback.

    Raises `UsageError` for an address beyond this machine that cannot be secured, `FabricError` when a port is taken.
    """

    def __init__(
        self,
        served: Served,
        *,
        http: WebAddress | None,
        grpc: WebAddress | None,
        identity: Identity | None = None,
        allow_insecure: bool = False,
    ) -> None:
        self._served = served
        self._identity = None if allow_insecure else identity
        for address in filter(None, (http, grpc)):
            _check_secured(address, has_identity=identity is not None, allow_insecure=allow_insecure)
        self._http, self._grpc = http, grpc
        self._listener = None if http is None else _bound(http)
        self.http_url: str | None = None
        self.grpc_address: str | None = None
        self._failure: BaseException | None = None
        self._begun = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="serving", daemon=True)
        self._thread.start()
        self._begun.wait(START_S)
        if self._failure is not None:
            self.close(0.0)
            raise self._failure

    def close(self, within_s: float = 0.0) -> None:
        """Take no more requests; those accepted are answered within `within_s`. Idempotent."""
        self._served.close(within_s)
        if self._loop is not None and self._ending is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(2 * SEND_S + 1.0)
        if self._listener is not None:
            self._listener.close()

    # -- on its thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # whoever made the server is told
            self._failure = error
        finally:
            self._begun.set()

    async def _serve(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        async with AsyncExitStack() as opened:
            if self._grpc is not None:
                opened.push_async_callback((await self._open_grpc(self._grpc)).stop, SEND_S)
            if self._http is not None and self._listener is not None:
                await opened.enter_async_context(_running(self._web(self._http, self._listener), self._listener))
            self._begun.set()
            await self._ending.wait()

    def _web(self, address: WebAddress, listener: socket.socket) -> uvicorn.Server:
        identity = self._identity_at(address)
        config = uvicorn.Config(
            http_app(self._served, is_local=address.is_loopback),
            http=_Bounded if identity is None else _members(identity),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=1,
            ssl_context_factory=None if identity is None else _secured(identity),
        )
        bound = WebAddress(host=address.host, port=listener.getsockname()[1])
        self.http_url = f"{'http' if identity is None else 'https'}://{bound}"
        return uvicorn.Server(config)

    def _identity_at(self, address: WebAddress) -> Identity | None:
        return None if address.is_loopback else self._identity

    async def _open_grpc(self, address: WebAddress) -> Any:
        identity = self._identity_at(address)
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", self._served.most_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
                ("grpc.max_connection_idle_ms", round(IDLE_S * 1e3)),
                ("grpc.keepalive_time_ms", round(IDLE_S * 1e3)),  # a caller that is gone holds no call
            ],
            maximum_concurrent_rpcs=MAX_CONNECTIONS,
        )
        server.add_generic_rpc_handlers((grpc_handler(self._served, identity),))
        try:
            if identity is None:
                port = server.add_insecure_port(str(address))
            else:
                port = server.add_secure_port(str(address), grpc_credentials(identity))
        except RuntimeError as error:
            raise FabricError(f"cannot answer gRPC on {address}", hint="give --grpc another port") from error
        await server.start()
        self.grpc_address = str(WebAddress(host=address.host, port=port))
        return server


@asynccontextmanager
async def _running(web: uvicorn.Server, listener: socket.socket) -> AsyncIterator[None]:
    serving = asyncio.create_task(web.serve(sockets=[listener]))
    try:
        while not (web.started or serving.done()):
            await asyncio.sleep(0.005)
        yield
    finally:
        web.should_exit = True
        await serving


def _check_secured(address: WebAddress, *, has_identity: bool, allow_insecure: bool) -> None:
    if not (address.is_loopback or has_identity or allow_insecure):
        raise UsageError(
            f"`{address}` is beyond this machine, which has no certificate",
            hint="`seamline node --invite` begins a cluster, `seamline join TOKEN` joins one; "
            "--insecure answers everybody, in the clear",
        )


def _bound(address: WebAddress) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        listener = socket.create_server((address.host, address.port), family=family, backlog=MAX_CONNECTIONS)
    except socket.gaierror:
        raise UsageError(f"`{address.host}` is no host of this machine", hint="write --http PORT") from None
    except OSError as error:
        raise FabricError(f"cannot answer on {address}: {error.strerror}", hint="give --http another port") from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does so only for sockets that name TCP
    return listener


def _secured(identity: Identity) -> Callable[..., ssl.SSLContext]:
    return lambda *_: members_only(identity)


class _Bounded(H11Protocol):
    """HTTP of at most `MAX_CONNECTIONS` at once; uvicorn's own limit only refuses what is asked on more."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn calls it
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self.timeout_keep_alive_task = self.loop.call_later(IDLE_S, self.timeout_keep_alive_handler)


def _members(identity: Identity) -> type[H11Protocol]:
    """HTTP for members that may start streams."""

    class Members(_Bounded):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
            self.app = for_callers(self.app, x509.load_der_x509_certificate(certificate), identity)

    return Members
