"""Tokens on the command line: how long one is good, how it is shown, and how a machine joins by it."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from typing import Annotated

import typer

from seamline.core.vocabulary.errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

AddressOption = Annotated[
    tuple[str, ...],
    typer.Option(
        "--address", metavar="HOST", help="What others reach this machine by, if not its own addresses; repeatable."
    ),
]


def parse_duration(text: str) -> timedelta:
    """``90s``, ``15m``, ``1h`` or ``7d``. Raises `UsageError`."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if match is None or not int(match[1]):
        raise UsageError(f"`{text}` is no length of time", hint="write 90s, 15m, 1h or 7d")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def join_by(text: str, name: str | None) -> str:
    """Join by the token `text`, and say so; the name this machine has from then on."""
    from seamline.cli.shared.output import progress_console
    from seamline.identity.founding import join_once
    from seamline.identity.tokens import from_text

    identity = join_once(from_text(text, is_expired_fine=True), name)
    member = identity.member
    progress_console().print(
        f"member of cluster `{identity.cluster}` as {member.role} `{member.name}` until {member.expires:%Y-%m-%d}",
        markup=False,
        soft_wrap=True,
    )
    return member.name


def begin_cluster(cluster: str, name: str) -> str:
    """Give this machine the authority of `cluster`, and a certificate as node `name`, unless it has both; the name."""
    from seamline.identity.founding import found

    return found(cluster, name)[1].member.name


def token_text(cluster: str, addresses: tuple[str, ...]) -> str:
    """A token for the next node of `cluster`, good for an hour."""
    from seamline.identity.founding import invite
    from seamline.identity.members import Role
    from seamline.identity.tokens import to_text

    return to_text(invite(cluster, role=Role.NODE, name=None, valid=timedelta(hours=1), addresses=addresses)[1])


def show_token(text: str, *, is_printed: bool = False) -> None:
    """Say on stderr how to use the token, and show a code to scan where that is a terminal.

    is_printed: the token itself stands on stdout already.
    """
    from seamline.cli.shared.output import progress_console

    token = "it" if is_printed else text
    words = f"good for one machine: `seamline join` {token} there, or `node --join`, `run --join`"
    progress_console().print(words, markup=False, soft_wrap=True, highlight=False)
    if sys.stderr.isatty():
        import segno

        segno.make(text, error="l", micro=False).terminal(out=sys.stderr, compact=True)
