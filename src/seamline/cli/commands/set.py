"""`seamline set`: change what a running stream is judged by, from any machine of its cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from seamline.cli.commands.node import ClusterOption
from seamline.cli.shared.observer import DoorOption, StreamOption, origin_of, visiting, wait_answer
from seamline.cli.shared.options import JsonFlag
from seamline.cli.shared.output import data_console, print_json
from seamline.core.cost.problem import EnergyScope
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.objectives import Objective, goal_named

TIMEOUT_S = 10.0

JSON_KEYS = {
    "set": {
        "stream": "name of the stream",
        "objective": "what its plans are judged by from now on; null when something else was set",
        "energy_scope": "whose joules count from now on; null when something else was set",
        "before": "what it was before",
    }
}


def register(app: typer.Typer) -> None:
    """Add `set` to `app`."""
    app.command("set")(set_)


def set_(
    setting: Annotated[
        str,
        typer.Argument(
            metavar="KEY=VALUE",
            help=f"objective={'|'.join(Objective)}, a deadline slo=S, a sum objective=latency=1,energy=0.2, or "
            "energy-scope=all|origin|fog=0.5,cloud=0.",
            show_default=False,
        ),
    ],
    stream: StreamOption,
    connect: DoorOption = None,
    cluster: ClusterOption = "default",
    json: JsonFlag = False,
) -> None:
    """Change a running stream: `objective=energy` when the machine goes on battery, `objective=latency` back again."""
    (key, value), origin = _setting(setting), origin_of(stream)
    with visiting(connect, cluster) as here:
        here.wait_nodes([origin])
        ask = here.node.client.set_objective if key == "objective" else here.node.client.set_energy_scope
        before = wait_answer(origin, ask(origin, stream, value), TIMEOUT_S)
    if json:
        known = {"objective": None, "energy_scope": None, key: value}
        print_json({"stream": stream, **known, "before": before})
    else:
        words = "judged by {}, before by {}" if key == "objective" else "joules of {} count, before of {}"
        data_console().print(f"{stream}: {words.format(value, before)}", markup=False, soft_wrap=True)


def _setting(setting: str) -> tuple[str, str]:
    """What is set, as in the JSON, and its value in words."""
    key, equals, value = setting.partition("=")
    if key == "energy-scope" and equals:
        return "energy_scope", str(EnergyScope.parse(value))
    if key == "slo" and equals:  # as `seamline run --slo` says it
        return "objective", str(goal_named(setting))
    if key != "objective" or not equals:
        hint = f"write objective={'|'.join(Objective)}, slo=SECONDS, or energy-scope=all|origin"
        raise UsageError(f"`{setting}` is not a setting", hint=hint)
    return "objective", str(goal_named(value))
