"""`seamline set`: change what a running stream is judged by, from any machine of its cluster."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.shared.flag_groups import with_groups
from seamline.cli.shared.observer import StreamFlags
from seamline.cli.shared.options import JsonFlag
from seamline.cli.shared.output import print_result
from seamline.core.cost.problem import EnergyScope
from seamline.core.vocabulary.documented import key_docs
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.nodes import NodeId, node_id
from seamline.core.vocabulary.objectives import Objective, goal_named

if TYPE_CHECKING:
    from seamline.runtime.node.peer_client import PeerClient

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSummary:
    """What `seamline set --json` prints."""

    stream: Annotated[str, "name of the stream"]
    objective: Annotated[str | None, "what its plans are judged by from now on; null when something else was set"]
    energy_scope: Annotated[str | None, "whose joules count from now on; null when something else was set"]
    avoid: Annotated[
        str | None, "nodes that run nothing of it from now on, or `none`; null when something else was set"
    ]
    before: Annotated[str, "what it was before"]


JSON_KEYS = {"set": partial(key_docs, SetSummary)}


def register(app: typer.Typer) -> None:
    app.command("set")(set_)


@with_groups
def set_(
    target: StreamFlags,
    setting: Annotated[
        str,
        typer.Argument(
            metavar="KEY=VALUE",
            help=f"objective={'|'.join(Objective)}, a deadline slo=S, a sum objective=latency=1,energy=0.2, "
            "energy-scope=all|origin|fog=0.5,cloud=0, or avoid=fog,cloud|none.",
            show_default=False,
        ),
    ],
    json: JsonFlag = False,
) -> None:
    """Change a running stream: `objective=energy` when the machine goes on battery, `objective=latency` back again."""
    key, value = _setting(setting)

    def question(client: PeerClient, origin: NodeId, stream: str) -> Future[str]:
        if key == "avoid":
            return client.avoid(origin, stream, _nodes(value))
        ask = client.set_objective if key == "objective" else client.set_energy_scope
        return ask(origin, stream, value)

    stream, before = target.ask(question, TIMEOUT_S)
    chosen = {name: value if name == key else None for name in _WORDS}
    summary = SetSummary(stream=stream, before=before, **chosen)
    print_result(summary, as_json=json, words=lambda: f"{stream}: {_WORDS[key].format(value, before)}")


_WORDS = {
    "objective": "judged by {}, before by {}",
    "energy_scope": "joules of {} count, before of {}",
    "avoid": "nodes that run nothing of it: {}, before: {}",
}


def _nodes(names: str) -> tuple[str, ...]:
    """``fog,cloud`` as names, ``none`` as no node."""
    return () if names == "none" else tuple(node_id(name.strip()) for name in names.split(","))


def _setting(setting: str) -> tuple[str, str]:
    """What is set, as in the JSON, and its value in words."""
    key, equals, value = setting.partition("=")
    if key == "energy-scope" and equals:
        return "energy_scope", str(EnergyScope.parse(value))
    if key == "slo" and equals:  # as `seamline run --slo` says it
        return "objective", str(goal_named(setting))
    if key == "avoid" and equals:
        return "avoid", ",".join(_nodes(value)) or "none"
    if key != "objective" or not equals:
        hint = f"write objective={'|'.join(Objective)}, slo=SECONDS, energy-scope=all|origin, or avoid=NODE"
        raise UsageError(f"`{setting}` is not a setting", hint=hint)
    return "objective", str(goal_named(value))
