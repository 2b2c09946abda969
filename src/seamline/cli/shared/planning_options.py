"""Options of every command that plans: objective, constraints, codecs, and profiles and links where no node runs.

Their words are read here, in `core.vocabulary.constraints` and `core.vocabulary.objectives`, which Python callers use
as they are, and in `runtime.lab.offline`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from seamline.core.vocabulary.calibration import CALIBRATED, limits_named
from seamline.core.vocabulary.errors import PlanError, UsageError
from seamline.core.vocabulary.objectives import Goal, Objective, Within, goal_named, weights_named
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.quantities import parse_size

ObjectiveOption = Annotated[
    str, typer.Option("--objective", metavar="WHAT", help="latency, throughput or energy; see also --slo and --weigh.")
]
PrivateOption = Annotated[
    int, typer.Option("--private", metavar="N", min=0, help="The input and the first N-1 cuts never leave here.")
]
SloOption = Annotated[
    float | None,
    typer.Option("--slo", metavar="S", min=0.0, help="The plan with the least energy that answers within S seconds."),
]
WeighOption = Annotated[
    str | None,
    typer.Option("--weigh", metavar="SUM", help="The least sum, e.g. latency=1,throughput=0.5,energy=0.2 per s, s, J."),
]
MemoryOption = Annotated[
    list[str] | None,
    typer.Option("--memory", metavar="NODE=SIZE", help="What a node may use, e.g. edge=512MB. Repeatable."),
]
PinOption = Annotated[
    list[str] | None,
    typer.Option("--pin", metavar="LAYER=NODE", help="Run what stands before the cut after LAYER (or number) there."),
]
ForbidOption = Annotated[
    list[str] | None,
    typer.Option("--forbid", metavar="WHAT", help="NODE, NODE:CODEC, or a link NODE>NODE is not used. Repeatable."),
]
TrustOption = Annotated[
    list[str] | None,
    typer.Option("--trust", metavar="NODE", help="A node that may receive what --private keeps. Repeatable."),
]

CodecsOption = Annotated[
    str,
    typer.Option(
        "--codecs",
        metavar="MOST",
        help="Tensors lose at most what this codec takes: lossless, f16 or u8 (8 bits); calibrated: no bit, but where "
        "`seamline accuracy` found answers to change by at most 1 % (calibrated=0.02: 2 %).",
    ),
]
MOST_LOSSY_BY_DEFAULT = CALIBRATED
ProfileOption = Annotated[
    list[str] | None,
    typer.Option("--profile", metavar="NODE=FILE", help="What the model costs on a node: `seamline profile -o FILE`."),
]
SlowdownsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--slowdown", metavar="NODE=X", help="A node X times as slow as this machine, profiled here. Needs MODEL."
    ),
]
PowersOption = Annotated[
    list[str] | None,
    typer.Option(
        "--power",
        metavar="NODE=POWER",
        help="What a node draws, as for `seamline node --power`: edge=raspberry-pi-4+wifi, or fog=idle=12,busy=34.",
    ),
]
LinkOption = Annotated[
    list[str] | None,
    typer.Option(
        "--link",
        metavar="A:B=RATE,DELAY",
        help="Rate and one-way delay both ways, e.g. edge:cloud=20mbps,20ms; `edge>cloud` for one direction.",
    ),
]


def goal_of(objective: str, slo_s: float | None, weigh: str | None) -> Goal:
    """What --objective, --slo and --weigh say together. Raises `UsageError` when they say two things."""
    if sum((objective != Objective.LATENCY, slo_s is not None, weigh is not None)) > 1:
        raise UsageError("--objective, --slo and --weigh each say what counts", hint="give one of them")
    if slo_s is not None:
        return Within(slo_s=slo_s)
    return goal_named(objective) if weigh is None else weights_named(weigh)


def sizes_by_node(texts: Sequence[str]) -> dict[str, int]:
    """``["edge=512MB"]`` as bytes by node. Raises `UsageError`."""
    from seamline.runtime.lab.offline import by_node

    return {str(node): parse_size(text) for node, text in by_node(texts, "--memory").items()}


def pins_by_layer(texts: Sequence[str]) -> dict[str, str]:
    """``["conv3=edge"]`` as nodes by layer. Raises `UsageError`."""
    pins: dict[str, str] = {}
    for text in texts:
        layer, equals, node = text.rpartition("=")
        if not equals or not layer or layer in pins:
            raise UsageError(f"`--pin {text}` names no layer, or one twice", hint="write --pin LAYER=NODE")
        pins[layer] = node
    return pins


def checked_codecs(text: str) -> str:
    """What `--codecs` says, as it was typed. Raises `UsageError` naming the limits there are."""
    limits_named(text)
    return text


def plan_named(text: str) -> Plan:
    """The plan that a user typed. Raises `UsageError` when it is none."""
    try:
        return Plan.parse(text)
    except PlanError as error:
        raise as_usage(error) from error


def as_usage(error: PlanError) -> UsageError:
    """A plan that a user typed and that cannot be one is wrong use, not a failure of the world."""
    return UsageError(str(error).removesuffix(f"; hint: {error.hint}"), hint=error.hint)
