"""`seamline profile`: what a model costs on this machine, block by block, and how far that predicts any segment."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.shared.options import (
    JsonFlag,
    LayoutOption,
    MeanOption,
    ModelArgument,
    SeedOption,
    ShapeOption,
    SizeOption,
    StdOption,
    ThreadsOption,
    ValueOption,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seamline.core.vocabulary.profiles import Profile
    from seamline.meters.profile_check import SegmentCheck
    from seamline.model.store.models import StoredModel

N_CHECKED = 20

JSON_KEYS = {
    "profile": {
        "model": "the model",
        "model.name": "its name",
        "model.id": "content id",
        "device": "what was measured",
        "device.cpu": "processor",
        "device.engine": "engine and version",
        "device.threads": "threads of a run",
        "device.slowdown": "what the engine's times were multiplied with",
        "clock": "`cpu` (one thread: processor time) or `wall` (several)",
        "budget_s": "seconds meant to be spent on measuring segments",
        "elapsed_s": "seconds spent, codecs included",
        "whole_s": "time of the whole model",
        "whole_s.median": "its median",
        "whole_s.p90": "its 90th percentile",
        "blocks": "between neighbouring candidate cuts, in order; their medians add up to the whole's",
        "blocks[].from_cut": "cut it begins at",
        "blocks[].to_cut": "cut it ends at",
        "blocks[].median_s": "median time",
        "blocks[].p90_s": "90th percentile of the time",
        "boundaries": "what cutting adds where it adds anything",
        "boundaries[].cut": "number of the cut",
        "boundaries[].overhead_s": "seconds it adds, half of them to either side",
        "output": "the file written, null when none was asked for",
        "check": "predicted against measured times of random segments, null without --check",
        "check.n": "segments checked",
        "check.median_error_ratio": "median of the errors' size, relative to the measured time",
        "check.p90_error_ratio": "90th percentile of the same",
        "check.drift_ratio": "how much slower the machine was than when profiled (median); divided out of the errors",
        "check.segments": "each of them",
        "check.segments[].start": "cut it begins at",
        "check.segments[].stop": "cut it ends at",
        "check.segments[].predicted_s": "what the profile says",
        "check.segments[].measured_s": "what it took, drift divided out",
        "check.segments[].error_ratio": "predicted over measured, minus 1",
    }
}


def register(app: typer.Typer) -> None:
    """Add `profile` to `app`."""
    app.command(name="profile")(profile)


def profile(
    model: ModelArgument,
    shape: ShapeOption = None,
    value: ValueOption = None,
    size: SizeOption = None,
    layout: LayoutOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    threads: ThreadsOption = None,
    slowdown: Annotated[
        float, typer.Option("--slowdown", metavar="X", min=1.0, help="Profile a machine that takes X times as long.")
    ] = 1.0,
    budget: Annotated[
        float | None,
        typer.Option("--budget", metavar="S", min=0.0, help="Seconds to spend; as good results need when not given."),
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
    from seamline.cli.shared.models import load_model, parse_frame
    from seamline.cli.shared.output import data_console, print_json, progress_bar, require_writable, track
    from seamline.cli.shared.tables import profile_report
    from seamline.core.vocabulary.nodes import node_id
    from seamline.meters.device import n_cores
    from seamline.meters.profile_file import write_profile
    from seamline.model.engine.ort import OrtEngine
    from seamline.runtime.node.profiling import Profiler

    frame = parse_frame(size, layout, mean, std)
    if output is not None:
        require_writable(output, "--output")
    store, stored = load_model(model, shapes=shape or (), values=value or (), frame=frame)
    n_threads = threads or n_cores()
    profiler = Profiler(OrtEngine(store, n_threads), node_id("this"), n_threads, slowdown=slowdown)
    started_s = time.monotonic()
    with progress_bar(f"profiling {stored.name}") as on_progress:
        budget_s = profiler.usual_budget_s(stored) if budget is None else budget
        measured = profiler.measure(stored, budget_s, on_progress)
    elapsed_s = time.monotonic() - started_s
    if output is not None:
        write_profile(measured, output)
    found = profiler.check(stored, measured, N_CHECKED, seed) if check else iter(())
    checks = list(track(found, N_CHECKED if check else 0, f"checking {stored.name}"))
    if as_json:
        summary = _summary(stored, measured, slowdown, checks)
        spent = {"budget_s": budget_s, "elapsed_s": elapsed_s, "clock": "cpu" if n_threads == 1 else "wall"}
        print_json({**summary, **spent, "output": None if output is None else str(output)})
    else:
        data_console().print(profile_report(measured, checks, elapsed_s))


def _summary(
    stored: StoredModel, measured: Profile, slowdown: float, checks: Sequence[SegmentCheck]
) -> dict[str, object]:
    device = measured.device
    return {
        "model": {"name": stored.name, "id": stored.model_id},
        "device": {"cpu": device.cpu, "engine": device.engine, "threads": device.threads, "slowdown": slowdown},
        "whole_s": {"median": measured.whole_s.median, "p90": measured.whole_s.p90},
        "blocks": [
            {
                "from_cut": block.from_cut,
                "to_cut": block.to_cut,
                "median_s": block.compute_s.median,
                "p90_s": block.compute_s.p90,
            }
            for block in measured.blocks
        ],
        "boundaries": [{"cut": each.cut, "overhead_s": each.overhead_s} for each in measured.boundaries],
        "check": _check_summary(checks) if checks else None,
    }


def _check_summary(checks: Sequence[SegmentCheck]) -> dict[str, object]:
    import statistics

    from seamline.meters.profile_check import error_quantiles

    median, p90 = error_quantiles(checks)
    return {
        "n": len(checks),
        "median_error_ratio": median,
        "p90_error_ratio": p90,
        "drift_ratio": statistics.median(each.drift_ratio for each in checks),
        "segments": [
            {
                "start": each.segment.start,
                "stop": each.segment.stop,
                "predicted_s": each.predicted_s,
                "measured_s": each.measured_s,
                "error_ratio": each.error_ratio,
            }
            for each in checks
        ],
    }
