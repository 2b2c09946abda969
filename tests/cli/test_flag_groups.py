"""Groups of flags: one value for a command, single options for whoever types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from seamline.cli.shared.flag_groups import with_groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    private: Annotated[int, typer.Option("--private")] = 1
    trust: Annotated[tuple[str, ...], typer.Option("--trust")] = ()


@with_groups
def plan(
    name: Annotated[str, typer.Argument()],
    limits: Limits,
    links: Annotated[tuple[str, ...], typer.Option("--link")] = (),
) -> None:
    print(name, limits.private, limits.trust, links)


def printed(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(plan)
    return CliRunner().invoke(app, arguments).stdout.strip()


def test_a_group_arrives_as_one_value_made_of_its_options():
    assert printed("a", "--trust", "fog", "--private", "2", "--trust", "cloud") == "a 2 ('fog', 'cloud') ()"


def test_what_is_not_given_has_the_default_of_its_field():
    assert printed("a") == "a 1 () ()"


def test_a_repeatable_option_of_the_command_itself_is_a_tuple_too():
    assert printed("a", "--link", "x", "--link", "y") == "a 1 () ('x', 'y')"
