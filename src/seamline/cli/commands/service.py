"""`seamline service print`: a systemd unit that keeps a node running, for whoever installs it to read first."""

from __future__ import annotations

import getpass
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import typer

from seamline.cli.shared.options import JsonFlag
from seamline.cli.shared.output import print_json, progress_console
from seamline.core.vocabulary.documented import key_docs

SYSTEM_UNIT, USER_UNIT = "/etc/systemd/system/seamline.service", "~/.config/systemd/user/seamline.service"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSummary:
    """What `seamline service print --json` prints."""

    path: Annotated[str, "where the unit belongs"]
    command: Annotated[tuple[str, ...], "what it runs"]
    unit: Annotated[str, "the unit"]


JSON_KEYS = {"service print": partial(key_docs, ServiceSummary)}


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Nodes that start with their machine.", no_args_is_help=True)
    group.command("print", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(print_unit)
    app.add_typer(group, name="service")


def print_unit(
    context: typer.Context,
    user: Annotated[bool, typer.Option("--user", help="A unit of this user, which needs no root.")] = False,
    json: JsonFlag = False,
) -> None:
    """Print a systemd unit for `seamline node`; flags of `seamline node` behind it are checked, and kept in the unit.

    Nothing is installed: write what is printed where stderr says.
    """
    root: Any = context.find_root().command
    node = root.commands["node"]
    node.invoke(node.make_context("node", [*context.args, "--check"], parent=context.find_root()))
    command = (sys.executable, "-m", "seamline", "node", *context.args)
    unit = unit_of(command, None if user else getpass.getuser())
    path = USER_UNIT if user else SYSTEM_UNIT
    if json:
        print_json(ServiceSummary(path=path, command=command, unit=unit))
        return
    sys.stdout.write(unit)
    how = "systemctl --user" if user else "sudo systemctl"
    progress_console().print(
        f"write it to {path}, then: {how} daemon-reload && {how} enable --now seamline", soft_wrap=True
    )


def unit_of(command: Sequence[str], user: str | None) -> str:
    """A unit that runs `command` as `user`; as whoever's units these are when None."""
    own = "" if user is None else f"User={_escaped(user)}\n"
    environment = "%E/seamline/node.env" if user is None else "/etc/seamline/node.env"
    hardened = "" if user is None else "PrivateTmp=yes\nProtectSystem=strict\n"  # user managers may not do that
    target = "default.target" if user is None else "multi-user.target"
    return f"""\
[Unit]
Description=Seamline node
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
{own}ExecStart={" ".join(map(_escaped, command))}
# what varies by machine, a line each: SEAMLINE_NAME=, SEAMLINE_LISTEN=, SEAMLINE_CONNECT=, SEAMLINE_POWER= ...
EnvironmentFile=-{environment}
Environment=SEAMLINE_CACHE=%C/seamline SEAMLINE_DATA=%S/seamline
CacheDirectory=seamline
StateDirectory=seamline
StateDirectoryMode=0700
Restart=on-failure
RestartSec=2
# a node that was asked to end leaves with these
SuccessExitStatus=130 143
TimeoutStopSec=15
# a node follows these limits: threads and memory that it offers become fewer
#CPUQuota=200%
#MemoryMax=2G
NoNewPrivileges=yes
{hardened}
[Install]
WantedBy={target}
"""


def _escaped(word: str) -> str:
    """`word` as one word of a unit: specifiers and variables are not expanded, blanks and quotes do not end it."""
    plain = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[\w@%+=:,./$\[\]-]+", plain):
        return plain
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
