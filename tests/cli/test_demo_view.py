"""The demo's view: what stands on a terminal, and that it fits."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from seamline.cli.demo.playing import Captions, Imitated, Viewer, shipped_captions, shipped_video
from seamline.cli.demo.story import ADAPTIVE, LOCAL, OFFLOAD, STATIC, Answer, Scene, scene_figures
from seamline.cli.demo.view import (
    DemoState,
    columns_of,
    demo_panel,
    place_words,
    scenes_table,
    short_decision,
    sparkline,
)
from seamline.config import NodeSpec, Testbed
from seamline.core.vocabulary.quantities import seconds_text
from seamline.runtime.api.snapshot import LinkSnapshot, StreamSnapshot, SwitchSnapshot
from seamline.runtime.lab.scenario import ScenarioEvent
from seamline.runtime.origin.record import LatencyPart
from seamline.runtime.sources.opening import open_source
from seamline.testbed.changes import Change, Kill

SWITCH = SwitchSnapshot(
    at_s=13.2,
    from_plan="edge[0:16]f16 > cloud[16:143]",
    to_plan="edge[0:50]f16 > cloud[50:143]",
    reason="edge->cloud fell from 27.0 to 2.4 Mbit/s; edge[0:50]f16 > cloud[50:143] saves 300 ms of 700 ms",
    prepare_s=0.01,
    switch_s=0.0,
)
NAMES = ("edge", "fog", "cloud")
LINKS = tuple(
    LinkSnapshot(source=one, target=other, goodput_bps=27.1e6, rtt_s=0.0123)
    for one in NAMES
    for other in NAMES
    if one != other
)
STREAM = StreamSnapshot(
    at_s=30.0,
    plan="edge[0:50]f16 > cloud[50:143]",
    latency_s=0.3,
    parts=(
        LatencyPart(name="edge", duration_s=0.186),
        LatencyPart(name="transfer", duration_s=0.0721, is_transfer=True),
        LatencyPart(name="cloud", duration_s=0.0456),
    ),
    links=LINKS,
    switches=(SWITCH,),
)
STATE = DemoState(
    model="efficientnet-lite0",
    at_s=30.0,
    duration_s=74.0,
    scenes=(Scene("a good link", 0.0, 12.0), Scene("weak 4G", 12.0, 34.0), Scene("the cloud dies", 34.0, 74.0)),
    machines={"edge": "raspberry-pi-4", "fog": "edge-server", "cloud": "workstation"},
    n_cuts=143,
    stream=STREAM,
    answers={
        key: [Answer(n, n * 0.7, 0.2 + 0.01 * n) for n in range(42)] for key in (ADAPTIVE, STATIC, LOCAL, OFFLOAD)
    },
    changes=(12.0, 27.0),
    shows="a cup of espresso",
    label="espresso",
    score_ratio=0.94,
)


def lines_of(state: DemoState, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, record=True)
    console.print(demo_panel(state, width, height))
    return console.export_text().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_the_view_says_everything_and_fits(width: int, height: int):
    lines = lines_of(STATE, width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for fact in (
        "scene 2 of 3: weak 4G", "30 of 74 s", "raspberry-pi-4", "layers 0-50", "186 ms", "72.1 ms", "layers 50-143",
        "cut at 50 of 143", "a cup of espresso   answer: espresso 94 %", "^weak 4G", "adaptive", "static split",
        "13 s: cut at 50, edge to cloud, because edge->cloud fell from", "JPEG offload", "not allowed",
    ):  # fmt: skip
        assert fact in text, fact
    assert sum(line.count("27.1 Mbit/s rtt 12.3 ms") for line in lines) == 6
    assert "the cloud dies" not in text, "what has not happened yet is not told"


def test_a_narrow_terminal_cuts_lines_off_and_breaks_nothing():
    assert max(map(len, lines_of(STATE, 50, 20))) <= 50


def test_the_arrow_passes_a_node_that_idles_between_two_that_do_not():
    fog = next(line for line in lines_of(STATE, 120, 40) if "---->" in line)
    assert fog.count("---->") == 2
    assert "│----------------------│" in fog


def test_a_node_that_nothing_leads_to_is_gone():
    links = tuple(replace(link, goodput_bps=0.0) if link.target == "cloud" else link for link in LINKS)
    state = replace(STATE, stream=replace(STREAM, plan="edge[0:50]f16 > fog[50:143]", links=links))
    assert any("gone" in line for line in lines_of(state, 80, 24))
    assert not any("gone" in line for line in lines_of(STATE, 80, 24))


def test_nothing_is_said_of_the_first_second():
    stream = StreamSnapshot(at_s=0.4, plan="edge[0:143]")
    state = replace(STATE, at_s=0.4, stream=stream, answers={ADAPTIVE: [Answer(0, 0.1, 0.2)]}, shows=None, label=None)
    lines = lines_of(state, 80, 24)
    (line,) = (line for line in lines if line.startswith("adaptive"))
    assert line.split()[-1] == "-"
    assert any("the best plan at the start serves" in each for each in lines)
    assert any("not cut" in each for each in lines)


def test_a_network_without_labels_says_so():
    assert any("this network names no classes" in line for line in lines_of(replace(STATE, label=None), 80, 24))


def test_a_sparkline_leaves_holes_and_ends_at_its_cap():
    assert sparkline([0.5, None, 1.0, 9.0, 0.001], cap=1.0) == ["▄ ██▁"]
    assert sparkline([0.5, 1.0], cap=1.0, n_rows=2) == [" █", "██"]


def test_columns_are_means_and_end_where_answers_end():
    columns = columns_of([Answer(0, 0.1, 1.0), Answer(1, 0.9, 3.0), Answer(2, 2.5, 4.0)], 4.0, 4)
    assert columns == [2.0, 2.0, 4.0, None]


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ("edge[0:143]", "all on edge"),
        ("edge[0:0]jpeg > cloud[0:143]", "frames as jpeg to cloud"),
        ("edge[0:5]f16 > fog[5:9]u8 > cloud[9:143]", "cut at 5 and 9, edge to fog to cloud"),
    ],
)
def test_plans_in_words(plan: str, words: str):
    assert place_words(plan) == words


def test_a_switch_because_of_what_it_saves_says_what_that_is():
    reason = "edge[0:143] saves 230 ms of 801 ms, uncertainty 9.0 ms"
    stream = replace(STREAM, switches=(replace(SWITCH, to_plan="edge[0:143]", reason=reason),))
    assert short_decision(stream) == "13 s: all on edge, because it saves 230 ms of 801 ms"
    assert short_decision(replace(STREAM, switches=())) is None


@pytest.mark.parametrize(("width", "is_narrow"), [(80, False), (40, True)])
def test_the_closing_table_fits_with_a_line_for_each_scene(width: int, is_narrow: bool):
    console = Console(file=io.StringIO(), width=width, record=True)
    figures = scene_figures(STATE.scenes, STATE.answers)
    console.print(scenes_table(figures, is_offload_allowed=False, is_narrow=is_narrow))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    assert ("(not allowed)" in "\n".join(lines)) is not is_narrow
    assert [line.split("  ")[0] for line in lines[-3:]] == ["a good link", "weak 4G", "the cloud dies"]
    for scene, line in zip(figures, lines[-3:], strict=True):
        for key in (ADAPTIVE, STATIC):
            assert f" {seconds_text(scene.mean_s(key))}" in line


def viewer(console: Console, changes: tuple[Change, ...] = ()) -> Viewer:
    bed = Testbed(name="t", nodes=tuple(NodeSpec(name=name, tier=name) for name in NAMES))
    return Viewer(
        console=console,
        model="m",
        duration_s=74.0,
        scenes=tuple(STATE.scenes),
        imitated=Imitated(testbed=bed, seconds={}, n_cuts=143),
        captions=Captions(),
        changes=changes,
        is_offload_allowed=False,
    )


def snapshots(*streams: StreamSnapshot) -> list[tuple[str, ScenarioEvent]]:

    return [
        (
            ADAPTIVE,
            ScenarioEvent(kind="snapshot", data={"label": None, "score_ratio": None, **msgspec.to_builtins(one)}),
        )
        for one in streams
    ]


def test_off_a_terminal_there_is_a_line_for_each_thing_that_happens():
    written = io.StringIO()
    told = snapshots(replace(STREAM, at_s=1.0, switches=()), replace(STREAM, at_s=1.2, switches=()), STREAM, STREAM)
    viewer(Console(file=written), (Kill(at_s=13.0, node="cloud"),)).show(told, {}, {ADAPTIVE: []})
    assert written.getvalue().splitlines() == [
        "  0.0 s  scene 1 of 3: a good link",
        " 12.0 s  scene 2 of 3: weak 4G",
        " 13.0 s  node cloud is killed",
        " 13.2 s  adaptive: cut at 50, edge to cloud, because edge->cloud fell from 27.0 to 2.4 Mbit/s",
    ]


def test_on_a_terminal_the_view_stays_when_the_run_is_over():
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=80, height=24)
    viewer(console).show(snapshots(STREAM), {}, {ADAPTIVE: [Answer(0, 1.0, 0.2)]})
    assert "scene 2 of 3" in written.getvalue()


def test_the_shipped_video_is_as_long_as_its_captions_say():
    captions = shipped_captions()
    assert captions.at(6.0) == "a cup of espresso"
    assert captions.at(captions.length_s + 6.0) == "a cup of espresso"
    assert Path(shipped_video()).is_file()
    source = open_source(str(shipped_video()))
    n_frames = sum(frame is not None for frame in source.read(None, drop=False))
    assert source.fps
    assert n_frames / source.fps == pytest.approx(captions.length_s)
