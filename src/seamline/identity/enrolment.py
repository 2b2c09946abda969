"""Enrolment at the authority: a TLS server that gives certificates for tokens, and new ones for old ones.

Bounded in all that strangers can do: connections at once, time and bytes of each, wrong secrets of each token.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from seamline.core.vocabulary.complaints import quoted
from seamline.core.vocabulary.errors import FabricError, IdentityError, SeamlineError
from seamline.identity.authority import Authority
from seamline.identity.keys import PublicKey, is_ours
from seamline.identity.members import member_of
from seamline.identity.wire import TIMEOUT_S, Granted, Join, Refused, Renew, read_line, send_line

MAX_AT_ONCE = 8

log = logging.getLogger(__name__)


class Enrolment:
    """Server of `authority`, which shows its certificate. `close` ends all its threads.

    address: (host, port) to listen on; another port when that one is taken. node_port: where a node of this machine
    listens, told to who joins. say: gets a line about everybody who joined, renewed or was refused.
    Raises `FabricError` when nothing can be listened on.
    """

    def __init__(
        self,
        authority: Authority,
        address: tuple[str, int],
        *,
        node_port: int | None = None,
        say: Callable[[str], None] = log.info,
    ) -> None:
        self._authority = authority
        self._node_port = node_port
        self._say = say
        self._context = authority.tls()
        self._server = _listening(address)
        self._server.settimeout(0.5)
        self._places = threading.BoundedSemaphore(MAX_AT_ONCE)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._threads: set[threading.Thread] = set()
        self._thread = threading.Thread(target=self._accept, name="enrolment", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.getsockname()[1])

    def close(self) -> None:
        """Close the port and every connection; idempotent."""
        self._closed.set()
        self._server.close()
        with self._lock:
            connections, threads = tuple(self._open), tuple(self._threads)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in (self._thread, *threads):
            thread.join(TIMEOUT_S)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                connection, peer = self._server.accept()
            except TimeoutError:
                continue
            except OSError:
                if self._closed.wait(0.1):  # closed, or out of descriptors for a moment
                    return
                continue
            if not self._places.acquire(blocking=False):
                connection.close()
                continue
            thread = threading.Thread(target=self._serve, args=(connection, str(peer[0])), name="enrol", daemon=True)
            with self._lock:
                self._open.add(connection)
                self._threads.add(thread)
            thread.start()

    def _serve(self, raw: socket.socket, peer: str) -> None:
        try:
            raw.settimeout(TIMEOUT_S)
            with self._context.wrap_socket(raw, server_side=True) as connection:
                self._answer(connection, peer)
        except (OSError, IdentityError) as exc:  # ssl.SSLError is an OSError
            if not self._closed.is_set():
                self._say(f"an enrolment from {peer} failed: {quoted(_words(exc), 200)}")
        finally:
            with suppress(OSError):
                raw.close()
            with self._lock:
                self._open.discard(raw)
                self._threads.discard(threading.current_thread())
            self._places.release()

    def _answer(self, connection: ssl.SSLSocket, peer: str) -> None:
        asked: Join | Renew = read_line(connection, Join | Renew)
        try:
            certificate, what = self._granted(asked, connection)
        except SeamlineError as exc:
            self._say(f"refused an enrolment from {peer}: {exc.message}")
            send_line(connection, Refused(exc.message, exc.hint))
            return
        member = member_of(certificate, self._authority.certificate)
        self._say(f"`{member.name}` {what} as {member.role} from {peer}")
        send_line(
            connection,
            Granted(
                certificate.public_bytes(Encoding.PEM).decode(), self._authority.revoked().decode(), self._node_port
            ),
        )

    def _granted(self, asked: Join | Renew, connection: ssl.SSLSocket) -> tuple[x509.Certificate, str]:
        key = _requested_key(asked.request)
        if isinstance(asked, Join):
            return self._authority.admit(asked.id, asked.secret, key, asked.name), "joined"
        shown = connection.getpeercert(binary_form=True)
        if not shown:
            raise IdentityError("only who shows a certificate can renew it")
        old = x509.load_der_x509_certificate(shown)
        member_of(old, self._authority.certificate)
        return self._authority.renew(old.serial_number, key), "renewed its certificate"


def _requested_key(pem: str) -> PublicKey:
    """The key of a signing request, whose holder has proven to have its private half."""
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        key = request.public_key()
        is_signed = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm):
        raise IdentityError("the signing request is malformed") from None
    if not is_ours(key) or not is_signed:
        raise IdentityError("the signing request is not one of P-256, signed by its key")
    return key


def _listening(address: tuple[str, int]) -> socket.socket:
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for wanted in (port, 0):
        try:
            return socket.create_server((host, wanted), family=family)
        except OSError as exc:
            if wanted == 0:
                raise FabricError(f"cannot listen on {host} for machines that join ({exc})") from exc
    raise AssertionError("the loop returns or raises")


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return str(error) or type(error).__name__
