"""Addresses where this process answers HTTP: ``[HOST:]PORT``, loopback unless said otherwise.

Beyond this machine nothing is answered in the clear: by TLS with the node's certificate, to members of the cluster, or,
with `--insecure`, on a network you trust.
"""

from __future__ import annotations

import re
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from seamline.core.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from seamline.identity.kept import Identity

LOOPBACK = "127.0.0.1"
_ADDRESS = re.compile(r"(?:(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):)?(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebAddress:
    """Where to listen. port: 0 takes a free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        with suppress(ValueError):
            return ip_address(self.host).is_loopback
        return self.host == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_web_address(text: str, option: str) -> WebAddress:
    """The address that `text` names. Raises `UsageError`, in the name of `option`."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise UsageError(f"`{text}` is no address for {option}", hint="write PORT, or HOST:PORT, e.g. 127.0.0.1:9464")
    return WebAddress(host=(match["host"] or LOOPBACK).strip("[]"), port=int(match["port"]))


def is_own_name(host_header: str) -> bool:
    """Whether a browser that sends `host_header` looked for this machine: no name that others can point here.

    A page of theirs could otherwise read what only loopback may (DNS rebinding).
    """
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]@]+)(?::\d{1,5})?", host_header)
    if match is None:
        return False
    name = match[1].strip("[]").lower().rstrip(".")
    with suppress(ValueError):
        ip_address(name)
        return True
    return name in ("localhost", socket.gethostname().lower())


def members_only(identity: Identity) -> ssl.SSLContext:
    """TLS 1.3 as the member `identity`, for members of the same cluster that are not revoked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(identity.folder / "authority.pem")
    context.load_verify_locations(identity.folder / "revoked.pem")
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    context.load_cert_chain(identity.folder / "certificate.pem", identity.folder / "key.pem")
    return context
