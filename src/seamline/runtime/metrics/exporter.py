"""``/metrics`` for Prometheus: figures of this process's node and streams, collected when it asks and not before."""

from __future__ import annotations

import logging
import socket
import socketserver
import ssl
import threading
from http import HTTPStatus
from typing import Any

from prometheus_client import CollectorRegistry, MetricsHandler, PlatformCollector, ProcessCollector

from seamline.core.vocabulary.errors import FabricError, UsageError
from seamline.identity.kept import load
from seamline.identity.members import owner_of
from seamline.runtime.api.stream import Stream
from seamline.runtime.identity.web_address import WebAddress, is_own_name, members_only, parse_web_address
from seamline.runtime.metrics.node_metrics import NodeCollector
from seamline.runtime.metrics.stream_metrics import StreamMetrics
from seamline.runtime.node.node import Node

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""Between two looks at whether to end: an idle node sleeps."""

PATIENCE_S = 10.0
MAX_REQUESTS = 16


class Exporter:
    """Answers `address` with the metrics of `node`, and of the streams given to `watch`, until `close`.

    Beyond loopback: by TLS with the certificate of the node in `cluster`, to members of it; in the clear where that is
    None. Raises `UsageError` for no address or no certificate, `FabricError` when the port is taken.
    """

    def __init__(self, node: Node, address: str, *, cluster: str | None) -> None:
        wanted = parse_web_address(address, "--metrics")
        tls = None
        if cluster is not None and not wanted.is_loopback:
            tls = members_only(load(cluster, owner_of(node.name)))
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        registry.register(NodeCollector(node))
        self._streams = StreamMetrics(registry)
        self._server = _listening(wanted, MetricsHandler.factory(registry), tls)
        bound = WebAddress(host=wanted.host, port=self._server.server_address[1])
        self.url = f"{'http' if tls is None else 'https'}://{bound}/metrics"
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", args=(LOOK_S,), daemon=True)
        self._thread.start()

    def watch(self, stream: Stream) -> None:
        """Show `stream`, from its first frame on."""
        self._streams.watch(stream)

    def close(self) -> None:
        """Answer no more; idempotent."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE_S)


def _listening(address: WebAddress, metrics: type[MetricsHandler], tls: ssl.SSLContext | None) -> _Server:
    class Handler(metrics):  # type: ignore[misc, valid-type] # made by the library for one registry
        """GET only, of this machine's own names where others may not look."""

        timeout = PATIENCE_S

        def do_GET(self) -> None:  # noqa: N802 # the library's name
            if address.is_loopback and not is_own_name(self.headers.get("Host", "")):
                self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "not the name of this machine")
            else:
                super().do_GET()

    try:
        return _Server(address, Handler, tls)
    except socket.gaierror:
        raise UsageError(
            f"`{address.host}` is no host of this machine", hint="write --metrics PORT, or an IP"
        ) from None
    except OSError as error:
        raise FabricError(
            f"cannot answer on {address}: {error.strerror}", hint="give --metrics another port"
        ) from error


class _Server(socketserver.ThreadingTCPServer):
    """A thread for each request, so many at once; TLS is spoken there, where it keeps nobody else waiting."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: WebAddress, handler: type[MetricsHandler], tls: ssl.SSLContext | None) -> None:
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self._tls = tls
        self._free = threading.BoundedSemaphore(MAX_REQUESTS)
        super().__init__((address.host, address.port), handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return self._free.acquire(blocking=False)

    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            if self._tls is None:
                super().finish_request(request, client_address)
                return
            request.settimeout(PATIENCE_S)
            with self._tls.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a request for metrics from %s broke off", client_address, exc_info=True)
