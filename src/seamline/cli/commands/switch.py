"""`seamline switch`: move the cut of a running stream by hand, by the strategy of your choice."""

from __future__ import annotations

import json as jsonlib
from typing import Annotated

import typer

from seamline.cli.commands.node import ClusterOption
from seamline.cli.commands.plan import plan_named
from seamline.cli.shared.observer import DoorOption, StreamOption, origin_of, visiting, wait_answer
from seamline.cli.shared.options import JsonFlag
from seamline.cli.shared.output import data_console, print_json
from seamline.core.switching import STRATEGIES, strategy_named

TIMEOUT_S = 90.0

JSON_KEYS = {
    "switch": {
        "at_s": "when it was asked for, seconds since the stream began",
        "from_plan": "plan before",
        "to_plan": "plan after",
        "reason": "who asked",
        "strategy": "how it was done",
        "prepare_s": "from the request to the new plan serving",
        "switch_s": "how long the swap itself kept frames from being accepted (t_switch)",
        "pause_s": "how long nothing was accepted before that, by design of the strategy (t_update)",
        "load_s": "what the slowest node spent on preparing (t_exec, t_initialisation)",
        "sent_bytes": "bytes of messages to other nodes for the switch",
    }
}


def register(app: typer.Typer) -> None:
    app.command("switch")(switch)


def switch(
    stream: StreamOption,
    plan: Annotated[
        str,
        typer.Option("--plan", metavar="PLAN", help="'edge[0:14]f16 > cloud[14:45]', held from then on; or `auto`."),
    ],
    strategy: Annotated[
        str, typer.Option("--strategy", metavar="NAME", help=f"{', '.join(STRATEGIES)}; as before if not given.")
    ] = "",
    connect: DoorOption = None,
    cluster: ClusterOption = "default",
    json: JsonFlag = False,
) -> None:
    """Move the cut of a running stream to PLAN, and say what that took. `--plan auto` lets its policy decide again."""
    if strategy:
        strategy_named(strategy)
    if plan != "auto":
        plan_named(plan)
    origin = origin_of(stream)
    with visiting(connect, cluster) as here:
        here.wait_nodes([origin])
        record = jsonlib.loads(
            wait_answer(origin, here.node.client.switch_plan(origin, stream, plan, strategy), TIMEOUT_S)
        )
    if json:
        print_json(record)
        return
    closed_s = record["pause_s"] + record["switch_s"]
    data_console().print(
        f"{record['from_plan']}  ->  {record['to_plan']} by {record['strategy']}: serving after "
        f"{1e3 * record['prepare_s']:.1f} ms, nothing accepted for {1e3 * closed_s:.3f} ms",
        soft_wrap=True,
        markup=False,
    )
