"""What a joining machine and the authority say to each other: one line of JSON each, within TLS.

The server's certificate is the authority's own, so that the joiner recognises it before it shows its secret.
"""

from __future__ import annotations

import ssl
from typing import Any

import msgspec

from seamline.core.vocabulary.errors import IdentityError

MAX_LINE = 64 << 10
TIMEOUT_S = 5.0


class Join(msgspec.Struct, frozen=True, tag="join"):
    """Ask for a certificate by a token. request: a certificate signing request, PEM."""

    id: bytes
    secret: bytes
    name: str
    request: str


class Renew(msgspec.Struct, frozen=True, tag="renew"):
    """Ask for another certificate by the one that the TLS connection was opened with."""

    request: str


class Granted(msgspec.Struct, frozen=True, tag="granted"):
    """certificate and revoked: PEM. port: where the authority's node listens, None when it has none."""

    certificate: str
    revoked: str
    port: int | None = None


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    why: str
    hint: str | None = None


def send_line(connection: ssl.SSLSocket, message: msgspec.Struct) -> None:
    connection.sendall(msgspec.json.encode(message) + b"\n")


def read_line(connection: ssl.SSLSocket, kind: Any) -> Any:
    """The next line as a `kind`, a class or a union of them. Raises `IdentityError` when it is none, or too long."""
    line = bytearray()
    while not line.endswith(b"\n"):
        part = connection.recv(4096)
        if not part or len(line) + len(part) > MAX_LINE:
            raise IdentityError("the other side said nothing that can be understood")
        line += part
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.DecodeError as exc:
        raise IdentityError(f"the other side said what cannot be understood: {exc}") from exc
