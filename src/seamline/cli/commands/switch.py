"""`seamline switch`: manual override of a running stream's plan, by the strategy of your choice."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import typer

from seamline.cli.shared.flag_groups import with_groups
from seamline.cli.shared.observer import StreamFlags
from seamline.cli.shared.options import JsonFlag, one_of
from seamline.cli.shared.output import print_result
from seamline.cli.shared.planning_options import plan_named
from seamline.core.switching import STRATEGIES, strategy_named
from seamline.core.vocabulary.documented import key_docs
from seamline.core.vocabulary.quantities import milliseconds

TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchSummary:
    """What `seamline switch --json` prints: the record that the origin made of the switch."""

    at_s: Annotated[float, "when it was asked for, seconds since the stream began"]
    from_plan: Annotated[str, "plan before"]
    to_plan: Annotated[str, "plan after"]
    reason: Annotated[str, "who asked"]
    strategy: Annotated[str, "how it was done"]
    prepare_s: Annotated[float, "from the request to the new plan serving"]
    switch_s: Annotated[float, "how long the swap itself kept frames from being accepted (t_switch)"]
    pause_s: Annotated[float, "how long nothing was accepted before that, by design of the strategy (t_update)"]
    load_s: Annotated[float, "what the slowest node spent on preparing (t_exec, t_initialisation)"]
    sent_bytes: Annotated[int, "bytes of messages to other nodes for the switch"]


JSON_KEYS = {"switch": partial(key_docs, SwitchSummary)}


def register(app: typer.Typer) -> None:
    app.command("switch")(switch)


@with_groups
def switch(
    target: StreamFlags,
    plan: Annotated[
        str,
        typer.Option("--plan", metavar="PLAN", help="'edge[0:14]f16 > cloud[14:45]', held from then on; or `auto`."),
    ],
    strategy: Annotated[
        str,
        typer.Option(
            "--strategy",
            metavar="NAME",
            autocompletion=one_of(*STRATEGIES),
            help=f"{', '.join(STRATEGIES)}; as before if not given.",
        ),
    ] = "",
    json: JsonFlag = False,
) -> None:
    """Move the cut of a running stream to PLAN, and say what that took. `--plan auto` lets its policy decide again."""
    import msgspec

    if strategy:
        strategy_named(strategy)
    if plan != "auto":
        plan_named(plan)
    _, answer = target.ask(lambda client, origin, stream: client.switch_plan(origin, stream, plan, strategy), TIMEOUT_S)
    record = msgspec.json.decode(answer, type=SwitchSummary)
    print_result(record, as_json=json, words=lambda: _words(record))


def _words(record: SwitchSummary) -> str:
    closed = milliseconds(record.pause_s + record.switch_s, 3)
    return (
        f"{record.from_plan}  ->  {record.to_plan} by {record.strategy}: serving after "
        f"{milliseconds(record.prepare_s)}, nothing accepted for {closed}"
    )
