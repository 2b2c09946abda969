"""Flags of `seamline simulate` about the scene; `simulate_scene.py` reads it from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from seamline.cli.shared.options import EnergyScopeOption, SeedOption
from seamline.cli.shared.planning_options import MOST_LOSSY_BY_DEFAULT, CodecsOption, PowersOption, SlowdownsOption

DEFAULT_FPS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateFlags:
    """The scene that policies are put through, as it is given."""

    profile: Annotated[
        tuple[str, ...],
        typer.Option("--profile", metavar="NODE=FILE", help="What the model costs on a node; the first is the origin."),
    ] = ()
    slowdown: SlowdownsOption = ()
    power: PowersOption = ()
    trace: Annotated[
        tuple[str, ...],
        typer.Option(
            "--trace",
            metavar="A:B=FILE",
            help="A link's rates: CSV, mahimahi, real:NAME (real:? lists them), or KIND:SEED:SECONDS.",
        ),
    ] = ()
    link: Annotated[
        tuple[str, ...],
        typer.Option(
            "--link",
            metavar="A:B=RATE[,DELAY]",
            help="A steady link, or with a trace its one-way delay: edge:fog=20mbps,2ms, or bare Mbit/s and ms.",
        ),
    ] = ()
    testbed: Annotated[
        Path | None, typer.Option("--testbed", metavar="FILE", help="Take links, changes and loads from a testbed.")
    ] = None
    objective: Annotated[str, typer.Option("--objective", metavar="WHAT", help="latency, throughput or energy.")] = (
        "latency"
    )
    energy_scope: EnergyScopeOption = "all"
    private: Annotated[
        int, typer.Option("--private", metavar="N", min=0, help="0 lets raw frames leave the origin, 1 does not.")
    ] = 0
    codecs: CodecsOption = MOST_LOSSY_BY_DEFAULT
    fps: Annotated[float, typer.Option("--fps", metavar="F", min=0.01, max=1e6, help="Frames per second.")] = (
        DEFAULT_FPS
    )
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="S", min=1.0, help="Length; the longest trace's if not given.")
    ] = None
    noise: Annotated[
        float, typer.Option("--noise", metavar="R", min=0.0, max=1.0, help="Relative scatter of compute times.")
    ] = 0.03
    seed: SeedOption = 0
