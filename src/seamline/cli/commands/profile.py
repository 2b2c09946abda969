"""`seamline profile`: what a model costs on this machine, block by block, and how far that predicts any segment."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from seamline.cli.shared.flag_groups import with_groups
from seamline.cli.shared.model_flags import ModelArgument, ModelFlags, ModelIdentity
from seamline.cli.shared.options import JsonFlag, ProviderOption, SeedOption, ThreadsOption
from seamline.core.vocabulary.documented import copied, key_docs
from seamline.core.vocabulary.providers import AUTO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seamline.meters.profile_check import SegmentCheck

N_CHECKED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """The machine."""

    cpu: Annotated[str, "processor"]
    engine: Annotated[str, "engine and version"]
    threads: Annotated[int, "threads of a run"]
    slowdown: Annotated[float, "what the engine's times were multiplied with"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeTimes:
    """Seconds of the whole model."""

    median: Annotated[float, "its median"]
    p90: Annotated[float, "its 90th percentile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTimes:
    """Seconds between two neighbouring candidate cuts."""

    from_cut: Annotated[int, "cut it begins at"]
    to_cut: Annotated[int, "cut it ends at"]
    median_s: Annotated[float, "median time"]
    p90_s: Annotated[float, "90th percentile of the time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryOverhead:
    """What cutting adds in one place."""

    cut: Annotated[int, "number of the cut"]
    overhead_s: Annotated[float, "seconds it adds, half of them to either side"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSegment:
    """A random segment, measured beside what the profile predicts."""

    start: Annotated[int, "cut it begins at"]
    stop: Annotated[int, "cut it ends at"]
    predicted_s: Annotated[float, "what the profile says"]
    measured_s: Annotated[float, "what it took, drift divided out"]
    error_ratio: Annotated[float, "predicted over measured, minus 1"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSummary:
    """How well the profile predicts."""

    n: Annotated[int, "segments checked"]
    median_error_ratio: Annotated[float, "median of the errors' size, relative to the measured time"]
    p90_error_ratio: Annotated[float, "90th percentile of the same"]
    drift_ratio: Annotated[
        float, "how much slower the machine was than when profiled (median); divided out of the errors"
    ]
    segments: Annotated[tuple[CheckedSegment, ...], "each of them"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileSummary:
    """What `seamline profile --json` prints."""

    model: Annotated[ModelIdentity, "the model"]
    device: Annotated[Device, "what was measured"]
    clock: Annotated[Literal["cpu", "wall"], "`cpu` (one thread of this process does it all: processor time) or `wall`"]
    budget_s: Annotated[float, "seconds meant to be spent on measuring segments"]
    elapsed_s: Annotated[float, "seconds spent, codecs included"]
    whole_s: Annotated[WholeTimes, "time of the whole model"]
    blocks: Annotated[
        tuple[BlockTimes, ...],
        "between neighbouring candidate cuts, in order; their medians add up to the whole's",
    ]
    boundaries: Annotated[tuple[BoundaryOverhead, ...], "what cutting adds where it adds anything"]
    output: Annotated[str | None, "the file written, null when none was asked for"]
    check: Annotated[CheckSummary | None, "predicted against measured times of random segments, null without --check"]


JSON_KEYS = {"profile": partial(key_docs, ProfileSummary)}


def register(app: typer.Typer) -> None:
    app.command(name="profile")(profile)


@with_groups
def profile(
    model: ModelArgument,
    about: ModelFlags,
    threads: ThreadsOption = None,
    provider: ProviderOption = AUTO,
    slowdown: Annotated[
        float,
        typer.Option("--slowdown", metavar="X", min=1.0, max=1e6, help="Profile a machine that takes X times as long."),
    ] = 1.0,
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget", metavar="S", min=0.0, max=1e6, help="Seconds to spend; as good results need when not given."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the profile as JSON.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help=f"Compare {N_CHECKED} random segments with what the profile predicts.")
    ] = False,
    seed: SeedOption = 0,
    as_json: JsonFlag = False,
) -> None:
    """Measure what MODEL costs on this machine, block by block, and what cutting it adds."""
    from seamline.cli.shared.output import print_result, progress_bar, require_writable, track
    from seamline.cli.shared.tables import profile_report
    from seamline.config.cgroup import n_usable_cores
    from seamline.core.vocabulary.nodes import node_id
    from seamline.meters.profile_file import write_profile
    from seamline.model.engine.providers import open_engine, require
    from seamline.runtime.node.profiling import Profiler

    if output is not None:
        require_writable(output, "--output")
    store, stored = about.load(model)
    n_threads = threads or n_usable_cores()
    engine = open_engine(require(provider), store, n_threads)
    profiler = Profiler(engine, node_id("this"), n_threads, slowdown=slowdown)
    started_s = time.monotonic()
    with progress_bar(f"profiling {stored.name}") as on_progress:
        budget_s = profiler.usual_budget_s(stored) if budget is None else budget
        measured = profiler.measure(stored, budget_s, on_progress)
    elapsed_s = time.monotonic() - started_s
    if output is not None:
        write_profile(measured, output)
    found = profiler.check(stored, measured, N_CHECKED, seed) if check else iter(())
    checks = list(track(found, N_CHECKED if check else 0, f"checking {stored.name}"))
    summary = ProfileSummary(
        model=ModelIdentity(name=stored.name, id=stored.model_id),
        device=copied(Device, measured.device, slowdown=slowdown),
        clock="cpu" if engine.computes_on_caller else "wall",
        budget_s=budget_s,
        elapsed_s=elapsed_s,
        whole_s=copied(WholeTimes, measured.whole_s),
        blocks=tuple(
            copied(BlockTimes, block, median_s=block.compute_s.median, p90_s=block.compute_s.p90)
            for block in measured.blocks
        ),
        boundaries=tuple(copied(BoundaryOverhead, each) for each in measured.boundaries),
        output=None if output is None else str(output),
        check=_check_summary(checks) if checks else None,
    )
    print_result(summary, as_json=as_json, words=lambda: profile_report(measured, checks, elapsed_s))


def _check_summary(checks: Sequence[SegmentCheck]) -> CheckSummary:
    import statistics

    from seamline.meters.profile_check import error_quantiles

    median, p90 = error_quantiles(checks)
    return CheckSummary(
        n=len(checks),
        median_error_ratio=median,
        p90_error_ratio=p90,
        drift_ratio=statistics.median(each.drift_ratio for each in checks),
        segments=tuple(
            copied(CheckedSegment, each, start=each.segment.start, stop=each.segment.stop) for each in checks
        ),
    )
