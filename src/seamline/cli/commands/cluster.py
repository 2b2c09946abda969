"""`seamline cluster`, `invite` and `join`: who may take part in a cluster."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.membership.tokens import AddressOption, join_by, parse_duration, show_token
from seamline.cli.shared.flag_groups import with_groups
from seamline.cli.shared.options import ClusterOption, JsonFlag, one_of
from seamline.cli.shared.output import data_console, print_json, progress_console
from seamline.core.vocabulary.documented import key_docs
from seamline.core.vocabulary.errors import IdentityError, UsageError
from seamline.core.vocabulary.nodes import as_node_name

if TYPE_CHECKING:
    from seamline.identity.authority import Authority
    from seamline.identity.kept import Identity
    from seamline.identity.members import Role
    from seamline.identity.tokens import Token

ROLES = ("node", "origin", "observer")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRow:
    """One certificate."""

    name: Annotated[str, "the name it is for"]
    role: Annotated[str, "node, origin or observer"]
    expires: Annotated[str, "when it expires, ISO 8601"]
    revoked: Annotated[bool, "whether it has been revoked"] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSummary:
    """What `seamline cluster init`, `show`, `revoke` and `rotate` print with --json."""

    cluster: Annotated[str, "the cluster's name"]
    is_authority: Annotated[bool, "whether its authority is on this machine"]
    fingerprint: Annotated[str | None, "SHA-256 of the authority's certificate; null when this machine knows none"]
    here: Annotated[tuple[MemberRow, ...], "what this user may be"]
    members: Annotated[tuple[MemberRow, ...], "certificates issued, where the authority is"]
    n_invitations: Annotated[int, "tokens that can still be used"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteSummary:
    """What `seamline invite --json` prints."""

    token: Annotated[str, "for `seamline join`; good once"]
    role: Annotated[str, "what its user becomes"]
    name: Annotated[str | None, "the only name it is good for; null when the joiner chooses"]
    expires_s: Annotated[int, "when it expires, seconds since 1970"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinSummary:
    """What `seamline join --json` prints."""

    name: Annotated[str, "the name this machine has in the cluster"]


COMMANDS = ("init", "certify", "show", "revoke", "rotate")
JSON_KEYS = {
    **{f"cluster {name}": partial(key_docs, ClusterSummary) for name in COMMANDS},
    "invite": partial(key_docs, InviteSummary),
    "join": partial(key_docs, JoinSummary),
}

NameOption = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Its name in the cluster; the host's if not given.")
]
RoleOption = Annotated[
    str,
    typer.Option(
        "--role",
        metavar="ROLE",
        autocompletion=one_of(*ROLES),
        help="node (computes), origin (starts streams, computes for nobody else) or observer (looks).",
    ),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Certificates of a cluster: who may take part.", no_args_is_help=True)
    group.command("init")(init)
    group.command("certify")(certify)
    group.command("show")(show)
    group.command("revoke")(revoke)
    group.command("rotate")(rotate)
    app.add_typer(group, name="cluster")
    app.command("invite")(invite)
    app.command("join")(join)


@with_groups
def init(name: NameOption = None, cluster: ClusterOption = "default", json: JsonFlag = False) -> None:
    """Make the authority of a cluster on this machine, and a certificate for this machine's node."""
    from seamline.identity.founding import found, has_authority

    if has_authority(cluster):
        raise UsageError(
            f"cluster `{cluster}` has its authority here already", hint="`seamline cluster show`, or `cluster rotate`"
        )
    found(cluster, name or as_node_name(socket.gethostname()))
    _print(cluster, json)


@with_groups
def certify(name: NameOption = None, cluster: ClusterOption = "default", json: JsonFlag = False) -> None:
    """Make a certificate for another node of this machine, where the authority is: nobody has to join by a token."""
    from seamline.identity.founding import found, has_authority

    if not has_authority(cluster):
        raise UsageError(
            f"the authority of cluster `{cluster}` is not on this machine", hint="`seamline join TOKEN` joins it"
        )
    found(cluster, name or as_node_name(socket.gethostname()))
    _print(cluster, json)


@with_groups
def show(cluster: ClusterOption = "default", json: JsonFlag = False) -> None:
    """Show what this machine is in a cluster, and all members where its authority is."""
    _print(cluster, json)


@with_groups
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The member.", show_default=False)],
    cluster: ClusterOption = "default",
    json: JsonFlag = False,
) -> None:
    """Revoke the certificates of a member: nodes that hear of it admit it no more, and tell each other."""
    from seamline.identity.founding import is_served
    from seamline.identity.founding import revoke as revoke_member

    n_revoked = revoke_member(cluster, name)
    said = "the node here tells the others" if is_served(cluster) else "others learn it when a node runs here"
    progress_console().print(f"{n_revoked} certificate(s) of `{name}` revoked; {said}", markup=False, soft_wrap=True)
    _print(cluster, json)


@with_groups
def rotate(name: NameOption = None, cluster: ClusterOption = "default", json: JsonFlag = False) -> None:
    """Replace the authority by another: all certificates end, and every other machine has to join again."""
    from seamline.identity.authority import rotate_authority
    from seamline.identity.founding import issue_here
    from seamline.identity.kept import forget, names

    own = names(cluster)
    authority = rotate_authority(cluster)
    for one in own:
        forget(cluster, one)
    issue_here(authority, name or next(iter(own), as_node_name(socket.gethostname())))
    progress_console().print("restart the node here; every other machine joins again", markup=False)
    _print(cluster, json)


@with_groups
def invite(
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="The only name it is good for.", show_default=False)
    ] = None,
    role: RoleOption = "node",
    valid: Annotated[str, typer.Option("--valid", metavar="TIME", help="How long it is good: 15m, 1h, 7d.")] = "1h",
    address: AddressOption = (),
    cluster: ClusterOption = "default",
    json: JsonFlag = False,
) -> None:
    """Print a token with which one machine can join, once. Run it where the cluster's authority is.

    The node that runs here answers that machine; without one this command does, until the token is used.
    """
    from seamline.identity.founding import has_authority, is_served, receive
    from seamline.identity.founding import invite as make_token
    from seamline.identity.tokens import to_text

    wanted, duration = _role(role), parse_duration(valid)
    if not has_authority(cluster):
        raise UsageError(
            f"the authority of cluster `{cluster}` is not on this machine",
            hint="run this there; `seamline node --invite` or `seamline cluster init` makes one",
        )
    with ExitStack() as open_here:
        must_wait = not is_served(cluster)
        if must_wait:
            reception = receive(cluster, "0.0.0.0", node_port=None, say=_say)
            if reception is not None:
                open_here.callback(reception.close)
        authority, token = make_token(cluster, role=wanted, name=name, valid=duration, addresses=address)
        text = to_text(token)
        if json:
            print_json(InviteSummary(token=text, role=role, name=name, expires_s=token.expires_s))
        else:
            data_console().print(text, markup=False, soft_wrap=True, highlight=False)
            show_token(text, is_printed=True)
        if must_wait:
            _wait_used(authority, token)


@with_groups
def join(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Of `seamline invite`.", show_default=False)],
    name: NameOption = None,
    json: JsonFlag = False,
) -> None:
    """Join a cluster: make a key here, and have it certified by the authority that the token names."""
    joined = join_by(token, name)
    if json:
        print_json(JoinSummary(name=joined))


def _role(text: str) -> Role:
    from seamline.identity.members import Role

    if text not in ROLES:
        raise UsageError(f"`{text}` is no role", hint=f"one of {', '.join(ROLES)}")
    return Role(text)


def _say(words: str) -> None:
    progress_console().print(words, markup=False, soft_wrap=True)


def _wait_used(authority: Authority, token: Token) -> None:
    """Until the token is used or expires; a moment longer, so that the answer arrives."""
    _say("no node runs here: this command answers until the token is used (Ctrl-C ends it)")
    while authority.is_open(token):
        time.sleep(0.2)
    time.sleep(1.0)


def _print(cluster: str, as_json: bool) -> None:
    summary = _summary(cluster)
    if as_json:
        print_json(summary)
        return
    out: Callable[[str], None] = partial(data_console().print, markup=False, soft_wrap=True, highlight=False)
    if summary.fingerprint is None:
        out(f"this machine knows no certificate of cluster `{cluster}`")
        return
    where = "on this machine" if summary.is_authority else "elsewhere"
    out(f"cluster {cluster}: authority {summary.fingerprint[:16]} {where}")
    for row in summary.here:
        out(f"this machine is {row.role} `{row.name}` {_standing(row)}")
    for row in summary.members:
        out(f"member {row.name}  {row.role}  {_standing(row)}")
    if summary.n_invitations:
        out(f"{summary.n_invitations} token(s) can still be used")


def _standing(row: MemberRow) -> str:
    """Until when a certificate counts, and what is to be done when that is soon."""
    from seamline.identity.kept import RENEW_BEFORE

    words = f"until {row.expires[:10]}"
    if row.revoked:
        return f"{words}  revoked"
    if datetime.now(UTC) <= datetime.fromisoformat(row.expires) - RENEW_BEFORE:
        return words
    return f"{words}  soon: its node renews it while the authority answers; else `seamline invite`, and join again"


def _summary(cluster: str) -> ClusterSummary:
    from seamline.identity.authority import Authority, Ledger
    from seamline.identity.folders import authority_folder
    from seamline.identity.founding import has_authority
    from seamline.identity.members import fingerprint

    is_authority = has_authority(cluster)
    authority = Authority(authority_folder(cluster)) if is_authority else None
    here = _identities(cluster)
    known = authority.certificate if authority is not None else here[0].authority if here else None
    ledger = authority.ledger() if authority is not None else Ledger()
    return ClusterSummary(
        cluster=cluster,
        is_authority=is_authority,
        fingerprint=None if known is None else fingerprint(known).hex(),
        here=tuple(
            MemberRow(
                name=one.member.name,
                role=one.member.role,
                expires=one.member.expires.isoformat(),
                revoked=one.is_revoked,
            )
            for one in here
        ),
        members=tuple(
            MemberRow(name=one.name, role=one.role, expires=one.expires.isoformat(), revoked=one.revoked)
            for one in ledger.issued
        ),
        n_invitations=len(ledger.invitations),
    )


def _identities(cluster: str) -> list[Identity]:
    """What this user may be; what has expired or is damaged is said on stderr instead."""
    from seamline.identity.kept import load, names

    good = []
    for name in names(cluster):
        try:
            good.append(load(cluster, name))
        except IdentityError as exc:
            _say(f"not `{name}`: {exc.message}")
    return good
