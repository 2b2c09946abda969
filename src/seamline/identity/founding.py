"""The machine of the authority: founds a cluster, answers machines that join, and invites them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_address
from typing import BinaryIO

import msgspec
import psutil

from seamline.config.durable import locked
from seamline.core.vocabulary.errors import IdentityError, UsageError
from seamline.core.vocabulary.nodes import as_node_name
from seamline.identity.authority import Authority, make_authority
from seamline.identity.enrolment import Enrolment
from seamline.identity.folders import authority_folder, members_folder, write_private
from seamline.identity.joining import join
from seamline.identity.kept import Contact, Identity, keep, load, names
from seamline.identity.keys import new_key
from seamline.identity.members import MAX_NAME, Role, fingerprint, member_name
from seamline.identity.tokens import Token, require_valid

ENROLMENT_PORT = 7446
MAX_ADDRESSES = 4


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """Where the process that answers machines that join can be reached."""

    addresses: tuple[str, ...]


class Reception:
    """Enrolment for as long as it is open, known to `invite`. One for each authority: see `receive`."""

    def __init__(self, enrolment: Enrolment, lock: BinaryIO) -> None:
        self._enrolment = enrolment
        self._lock = lock

    def close(self) -> None:
        """Close the port; idempotent."""
        self._enrolment.close()
        self._lock.close()


def has_authority(cluster: str) -> bool:
    """Whether this machine is the one of the cluster's authority."""
    return (authority_folder(cluster) / "key.pem").is_file()


def found(cluster: str, name: str) -> tuple[Authority, Identity]:
    """The authority of `cluster` and this machine's identity as node `name`, both made where they are missing.

    Raises `UsageError` when this machine belongs to the cluster of another authority already.
    """
    authority = Authority(authority_folder(cluster)) if has_authority(cluster) else None
    if authority is None:
        if here := names(cluster):
            raise UsageError(
                f"this machine has joined cluster `{cluster}` as {', '.join(here)}; its authority is elsewhere",
                hint=f"run this there, choose another --cluster, or remove {members_folder(cluster)}",
            )
        authority = make_authority(cluster)
    kept = _kept(cluster, name)
    if kept is None or kept.authority != authority.certificate:
        kept = issue_here(authority, name)
    return authority, kept


def issue_here(authority: Authority, name: str) -> Identity:
    """An identity of this machine as node `name`, without asking over the network."""
    key = new_key()
    certificate = authority.issue(key.public_key(), member_name(name), Role.NODE)
    return keep(
        authority.folder.name,
        name,
        key=key,
        certificate=certificate,
        authority=authority.certificate,
        revoked=authority.revoked(),
        contact=Contact(),
    )


def receive(cluster: str, address: str, *, node_port: int | None, say: Callable[[str], None]) -> Reception | None:
    """Answer machines that join `cluster`; None when another process of this machine does.

    address: where to listen, a host. node_port: where the node of this machine listens.
    """
    authority = Authority(authority_folder(cluster))
    lock = (authority.folder / "serving.lock").open("ab")
    if not locked(lock):
        lock.close()
        return None
    try:
        enrolment = Enrolment(authority, (address.strip("[]"), ENROLMENT_PORT), node_port=node_port, say=say)
        served = Served(addresses=tuple(f"{one}:{enrolment.port}" for one in reachable_hosts(address)))
        write_private(authority.folder / "serving.json", msgspec.json.encode(served))
    except BaseException:
        lock.close()
        raise
    return Reception(enrolment, lock)


def invite(
    cluster: str, *, role: Role, name: str | None, valid: timedelta, addresses: Sequence[str] = ()
) -> tuple[Authority, Token]:
    """A token for whoever joins `cluster`, to be used where `receive` answers.

    addresses: hosts that others reach this machine by, if not those it has itself.
    """
    authority = Authority(authority_folder(cluster))
    served = msgspec.json.decode((authority.folder / "serving.json").read_bytes(), type=Served).addresses
    port = served[0].rpartition(":")[2]
    shown = tuple(f"{host}:{port}" for host in addresses) or served
    return authority, authority.invite(shown, role=role, name=name, valid=valid)


def is_served(cluster: str) -> bool:
    """Whether a process of this machine answers machines that join `cluster`."""
    lock = authority_folder(cluster) / "serving.lock"
    if not lock.exists():
        return False
    with lock.open("ab") as file:
        return not locked(file)


def revoke(cluster: str, name: str) -> int:
    """Revoke all certificates of `name`, and say how many; nodes that run on this machine learn it within a second."""
    authority = Authority(authority_folder(cluster))
    n_revoked = authority.revoke(name)
    for here in names(cluster):
        with suppress(IdentityError):
            load(cluster, here).keep_revoked(authority.revoked())
    return n_revoked


def join_once(token: Token, name: str | None) -> Identity:
    """Join by `token`, or return the identity that it has given before: a service starts with the same words again.

    name: the token's, else this machine's, when None.
    """
    chosen = member_name(name or token.name or as_node_name(socket.gethostname())[:MAX_NAME])
    if (kept := _kept(token.cluster, chosen)) is not None and fingerprint(kept.authority) == token.fingerprint:
        return kept
    require_valid(token)
    return join(token, chosen)


def _kept(cluster: str, name: str) -> Identity | None:
    """What this machine is as `name`, unless it is nothing, or no good any more."""
    if name not in names(cluster):
        return None
    try:
        identity = load(cluster, name)
        identity.require_not_revoked()
    except IdentityError:
        return None
    return identity


def reachable_hosts(host: str) -> tuple[str, ...]:
    """`host`, or what this machine is reached by where it stands for all of its addresses."""
    if host.strip("[]") not in ("0.0.0.0", "::"):
        return (host,)
    found = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET
    ]
    beyond = [one for one in found if not ip_address(one).is_loopback]
    return tuple(beyond[:MAX_ADDRESSES]) or ("127.0.0.1",)
