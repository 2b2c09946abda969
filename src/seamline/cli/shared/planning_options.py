"""Options of every command that plans: objective, limits, codecs, and profiles and links where no node runs.

Their words are read here, in `core.vocabulary.constraints` and `core.vocabulary.objectives`, which Python callers use
as they are, and in `runtime.lab.offline`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypedDict

import typer

from seamline.cli.shared.options import EnergyScopeOption, one_of
from seamline.core.vocabulary.calibration import CALIBRATED, limits_named
from seamline.core.vocabulary.errors import PlanError, UsageError
from seamline.core.vocabulary.objectives import Goal, Objective, Within, goal_named, weights_named
from seamline.core.vocabulary.plans import LOSSINESS, Plan
from seamline.core.vocabulary.quantities import parse_size

CodecsOption = Annotated[
    str,
    typer.Option(
        "--codecs",
        metavar="MOST",
        autocompletion=one_of(*LOSSINESS, CALIBRATED),
        help="Tensors lose at most what this codec takes: lossless, f16, u8 (8 bits), q6 to q2; calibrated: no bit, "
        "but where `seamline accuracy` found answers to change by at most 1 % (calibrated=0.02: 2 %).",
    ),
]
MOST_LOSSY_BY_DEFAULT = CALIBRATED
ProfileOption = Annotated[
    tuple[str, ...],
    typer.Option("--profile", metavar="NODE=FILE", help="What the model costs on a node: `seamline profile -o FILE`."),
]
SlowdownsOption = Annotated[
    tuple[str, ...],
    typer.Option(
        "--slowdown", metavar="NODE=X", help="A node X times as slow as this machine, profiled here. Needs MODEL."
    ),
]
PowersOption = Annotated[
    tuple[str, ...],
    typer.Option(
        "--power",
        metavar="NODE=POWER",
        help="What a node draws, as for `seamline node --power`: edge=raspberry-pi-4+wifi, or fog=idle=12,busy=34.",
    ),
]
LinkOption = Annotated[
    tuple[str, ...],
    typer.Option(
        "--link",
        metavar="A:B=RATE,DELAY",
        help="Rate and one-way delay both ways, e.g. edge:cloud=20mbps,20ms; `edge>cloud` for one direction.",
    ),
]


class Limits(TypedDict):
    """What plans may not do, as `core.vocabulary.constraints.limited` and `Cluster.stream` take it."""

    trust: tuple[str, ...]
    memory_bytes: dict[str, int]
    pins: dict[str, str]
    forbid: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanningFlags:
    """What counts, and what plans may not do."""

    objective: Annotated[
        str,
        typer.Option(
            "--objective",
            metavar="WHAT",
            autocompletion=one_of(*Objective),
            help="latency, throughput or energy; see also --slo and --weigh.",
        ),
    ] = "latency"
    slo: Annotated[
        float | None,
        typer.Option(
            "--slo", metavar="S", min=0.0, help="The plan with the least energy that answers within S seconds."
        ),
    ] = None
    weigh: Annotated[
        str | None,
        typer.Option(
            "--weigh", metavar="SUM", help="The least sum, e.g. latency=1,throughput=0.5,energy=0.2 per s, s, J."
        ),
    ] = None
    energy_scope: EnergyScopeOption = "all"
    private: Annotated[
        int, typer.Option("--private", metavar="N", min=0, help="The input and the first N-1 cuts never leave here.")
    ] = 0
    trust: Annotated[
        tuple[str, ...],
        typer.Option("--trust", metavar="NODE", help="A node that may receive what --private keeps. Repeatable."),
    ] = ()
    memory: Annotated[
        tuple[str, ...],
        typer.Option("--memory", metavar="NODE=SIZE", help="What a node may use, e.g. edge=512MB. Repeatable."),
    ] = ()
    pin: Annotated[
        tuple[str, ...],
        typer.Option(
            "--pin", metavar="LAYER=NODE", help="Run what stands before the cut after LAYER (or number) there."
        ),
    ] = ()
    forbid: Annotated[
        tuple[str, ...],
        typer.Option("--forbid", metavar="WHAT", help="NODE, NODE:CODEC, or a link NODE>NODE is not used. Repeatable."),
    ] = ()
    codecs: CodecsOption = MOST_LOSSY_BY_DEFAULT
    min_agreement: Annotated[
        float | None,
        typer.Option(
            "--min-agreement",
            metavar="SHARE",
            min=0.0,
            max=1.0,
            help="In place of that 1 %: codecs may round where answers agree so often by `seamline calibrate`, e.g. "
            "0.98; one found to agree less often while the stream runs is withdrawn.",
        ),
    ] = None

    def goal(self) -> Goal:
        """What --objective, --slo and --weigh say together. Raises `UsageError` when they say two things."""
        if sum((self.objective != Objective.LATENCY, self.slo is not None, self.weigh is not None)) > 1:
            raise UsageError("--objective, --slo and --weigh each say what counts", hint="give one of them")
        if self.slo is not None:
            return Within(slo_s=self.slo)
        return goal_named(self.objective) if self.weigh is None else weights_named(self.weigh)

    def limits(self) -> Limits:
        """Raises `UsageError` for what does not read so."""
        from seamline.runtime.lab.offline import by_node

        memory_bytes = {str(node): parse_size(text) for node, text in by_node(self.memory, "--memory").items()}
        return Limits(trust=self.trust, memory_bytes=memory_bytes, pins=_pins(self.pin), forbid=self.forbid)


def _pins(texts: Sequence[str]) -> dict[str, str]:
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
    return UsageError(error.message, hint=error.hint)
