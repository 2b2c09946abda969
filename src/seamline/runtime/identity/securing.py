"""Links of a node, secured or not: loopback needs nothing, beyond it a certificate, or `--insecure` said aloud."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from seamline.core.vocabulary.errors import IdentityError, UsageError
from seamline.core.vocabulary.nodes import node_id

if TYPE_CHECKING:
    from seamline.identity.kept import Identity
    from seamline.identity.sealing import Seal

ENDPOINT = re.compile(r"(?P<protocol>tcp|tls)/(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(?P<port>\d{1,5})")
LOOK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Endpoints as the fabric takes them. identity and seal: of this run, None where nothing is authenticated."""

    connect: tuple[str, ...]
    listen: tuple[str, ...]
    identity: Identity | None = None
    seal: Seal | None = None


def check_endpoints(connect: Sequence[str], listen: Sequence[str], *, cluster: str, allow_insecure: bool) -> None:
    """Raise `UsageError` for what is no endpoint, or leads beyond this machine without certificate or `--insecure`."""
    for endpoint in (*listen, *connect):
        match = ENDPOINT.fullmatch(endpoint)
        if match is None or int(match["port"]) > 65535:
            raise UsageError(f"`{endpoint}` is not an endpoint", hint="write tcp/HOST:PORT, e.g. tcp/192.168.1.7:7447")
        if match["protocol"] == "tls" and allow_insecure:
            raise UsageError(f"`{endpoint}` asks for certificates, and --insecure does without", hint="leave out one")
        if not allow_insecure and is_beyond(endpoint) and not _has_identity(cluster):
            what = "listens beyond" if endpoint in listen else "is beyond"
            raise UsageError(
                f"`{endpoint}` {what} this machine, which has no certificate for cluster `{cluster}`",
                hint="`seamline node --invite` begins a cluster, `seamline join TOKEN` joins one; "
                "--insecure does without, on a network you trust",
            )


def links_of(
    name: str, connect: Sequence[str], listen: Sequence[str], *, cluster: str, allow_insecure: bool, secure: bool
) -> Links:
    """How node `name` is linked. secure: by certificate on loopback too, and to whom it joined when `connect` is empty.

    Raises `UsageError` when there is no certificate for that name, `IdentityError` when it is refused here or by a
    neighbour.
    """
    if allow_insecure or not (secure or any(is_beyond(endpoint) for endpoint in (*connect, *listen))):
        return Links(connect=tuple(connect), listen=tuple(listen))
    import secrets

    from seamline.identity.kept import load
    from seamline.identity.members import owner_of
    from seamline.identity.sealing import Seal

    identity = load(cluster, owner_of(name))
    seal = Seal(identity, node_id(name), f"{secrets.randbits(63):016x}")
    neighbours = tuple(map(_as_tls, connect or identity.contact.nodes))
    require_accepted(identity, neighbours)
    return Links(connect=neighbours, listen=tuple(map(_as_tls, listen)), identity=identity, seal=seal)


def require_role(links: Links, *, serves: bool, observes: bool) -> None:
    """Raise `IdentityError` when the certificate is not for what this process is to be.

    serves: compute for others. observes: look and ask. Neither: start streams.
    """
    if links.seal is None or observes:
        return
    member = links.seal.member
    if member.role == "observer" or (serves and member.role != "node"):
        what, role = ("be a node", "node") if serves else ("start streams", "origin")
        raise IdentityError(
            f"the certificate of `{member.name}` is for the role {member.role}: it may not {what}",
            hint=f"`seamline invite --role {role}` on the authority's machine, then join again",
        )


def is_beyond(endpoint: str) -> bool:
    """Whether `endpoint` takes certificates: by its protocol, or because it may lead beyond this machine."""
    match = ENDPOINT.fullmatch(endpoint)
    return match is not None and (match["protocol"] == "tls" or not _is_loopback(match["host"]))


def require_accepted(identity: Identity, endpoints: Sequence[str]) -> None:
    """Raise `IdentityError` when one of `endpoints` is no member of the cluster, or does not take us for one.

    Zenoh would go on trying without a word. Who cannot be reached may come later.
    """
    if not endpoints:
        return
    context = identity.tls()
    with ThreadPoolExecutor(len(endpoints)) as pool:
        for endpoint, refusal in zip(endpoints, pool.map(lambda one: _refusal(one, context), endpoints), strict=True):
            if refusal is not None:
                raise IdentityError(
                    f"`{endpoint}` and `{identity.member.name}` do not accept each other: {refusal}",
                    hint="`seamline cluster show` says what this machine is; `seamline invite` there, `join` here",
                )


def require_let_in(endpoints: Sequence[str]) -> None:
    """Raise `IdentityError` when one of `endpoints`, spoken to without TLS, takes members of its cluster only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for endpoint in endpoints:
        if endpoint.startswith("tcp/") and _speaks_tls(endpoint, context):
            raise IdentityError(
                f"`{endpoint}` takes members of its cluster only, and this machine shows no certificate",
                hint="`seamline join TOKEN`, then tls/ in place of tcp/",
            )


def _speaks_tls(endpoint: str, context: ssl.SSLContext) -> bool:
    match = ENDPOINT.fullmatch(endpoint)
    assert match is not None
    try:
        with socket.create_connection((match["host"].strip("[]"), int(match["port"])), timeout=LOOK_S) as raw:
            context.wrap_socket(raw).close()
    except OSError:
        return False
    return True


def _refusal(endpoint: str, context: ssl.SSLContext) -> str | None:
    match = ENDPOINT.fullmatch(endpoint)
    assert match is not None
    try:
        raw = socket.create_connection((match["host"].strip("[]"), int(match["port"])), timeout=LOOK_S)
    except OSError:
        return None
    with raw:
        try:
            with context.wrap_socket(raw) as connection:
                connection.settimeout(0.2)  # TLS 1.3 tells a client after its handshake that it is refused
                connection.recv(1)
        except TimeoutError:
            return None
        except ssl.SSLError as exc:
            return _words(exc)
        except OSError:
            return None
    return None


def _words(error: ssl.SSLError) -> str:
    reason = (error.reason or "").upper()
    for sign, words in (
        ("WRONG_VERSION", "it speaks no TLS: a node with --insecure, or none"),
        ("VERIFY_FAILED", "its certificate is not of this cluster's authority, or has expired"),
        ("EXPIRED", "it says that this certificate has expired"),
        ("REQUIRED", "it wants a certificate"),
        ("UNKNOWN_CA", "it belongs to the cluster of another authority"),
        ("DECRYPT", "it belongs to the cluster of another authority"),
    ):
        if sign in reason:
            return words
    return reason.replace("_", " ").lower() or str(error)


def _as_tls(endpoint: str) -> str:
    return "tls/" + endpoint.partition("/")[2]


def _has_identity(cluster: str) -> bool:
    from seamline.identity.folders import members_folder

    with suppress(UsageError):
        return any(members_folder(cluster).glob("*/certificate.pem"))
    return False


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host.strip("[]")).is_loopback
    return host == "localhost"  # any other name may resolve to any address
