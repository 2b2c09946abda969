"""`seamline set`: change what a running stream is judged by, from any machine of its cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from seamline.cli.node import USUAL_ENDPOINT, ClusterOption
from seamline.cli.options import JsonFlag
from seamline.cli.output import data_console, print_json
from seamline.core.errors import PeerLost, UsageError
from seamline.core.values import Objective

TIMEOUT_S = 10.0

JSON_KEYS = {
    "set": {
        "stream": "name of the stream",
        "objective": "what its plans are judged by from now on",
        "before": "what they were judged by",
    }
}


def register(app: typer.Typer) -> None:
    """Add `set` to `app`."""
    app.command("set")(set_)


def set_(
    setting: Annotated[
        str, typer.Argument(metavar="KEY=VALUE", help=f"objective={'|'.join(Objective)}", show_default=False)
    ],
    stream: Annotated[
        str, typer.Option("--stream", metavar="STREAM", help="The stream, as `seamline nodes` shows it.")
    ],
    connect: Annotated[
        list[str] | None,
        typer.Option("--connect", metavar="ENDPOINT", help=f"Where a node listens; {USUAL_ENDPOINT} if not given."),
    ] = None,
    cluster: ClusterOption = "default",
    json: JsonFlag = False,
) -> None:
    """Change a running stream: `objective=energy` when the machine goes on battery, `objective=latency` back again."""
    import secrets

    import seamline
    from seamline.core.values import node_id

    objective = _objective(setting)
    origin, dash, _ = stream.rpartition("-")
    if not dash:
        raise UsageError(f"`{stream}` is not a stream's name", hint="`seamline nodes` shows them")
    name = f"visitor-{secrets.token_hex(4)}"
    with seamline.connect(
        *(connect or [USUAL_ENDPOINT]), name=name, tier="visitor", cluster=cluster, n_threads=1
    ) as here:
        here.wait_nodes([origin])
        answer = here.node.set_objective(node_id(origin), stream, objective)
        try:
            before = answer.result(timeout=TIMEOUT_S)
        except TimeoutError:
            raise PeerLost(f"`{origin}` did not answer within {TIMEOUT_S:.0f} s") from None
    if json:
        print_json({"stream": stream, "objective": str(objective), "before": before})
    else:
        data_console().print(f"{stream}: judged by {objective}, before by {before}", markup=False, soft_wrap=True)


def _objective(setting: str) -> Objective:
    key, equals, value = setting.partition("=")
    if key != "objective" or not equals:
        raise UsageError(f"`{setting}` is not a setting", hint=f"write objective={'|'.join(Objective)}")
    try:
        return Objective(value)
    except ValueError:
        raise UsageError(f"`{value}` is not an objective", hint=f"one of {', '.join(Objective)}") from None
