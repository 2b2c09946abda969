"""What a running stream and its end look like; text only, so that every claim holds without colour."""

from __future__ import annotations

import io
import logging
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from seamline.cli.running.watching import LiveView
from seamline.cli.shared import output
from seamline.cli.shared.logs import StderrOfNow
from seamline.cli.shared.output import key_paths, print_json
from seamline.cli.shared.render import (
    LiveState,
    NodeRow,
    latency_split,
    live_line,
    live_panel,
    nodes_table,
    switches_table,
)
from seamline.cli.shared.tables import add_row, cut_table, new_table
from seamline.core.vocabulary.profiles import Cut, TensorSpec
from seamline.core.vocabulary.quantities import bytes_text, macs_text, rate_text, ratio_text, seconds_text
from seamline.runtime.api.snapshot import LinkSnapshot, StreamSnapshot, SwitchSnapshot
from seamline.runtime.origin.record import LatencyPart, NodeEnergy

SWITCH = SwitchSnapshot(
    at_s=8.2,
    from_plan="edge[0:31]f16 > cloud[31:45]",
    to_plan="edge[0:45]",
    reason="edge->fog fell from 19.6 to 5.1 Mbit/s",
    prepare_s=0.067,
    switch_s=0.0004,
    gap_s=0.0,
)
STREAM = StreamSnapshot(
    at_s=12.3,
    plan="edge[0:31]f16 > fog[31:45]",
    generation=2,
    frame_rate_fps=7.4,
    latency_s=0.212,
    predicted_s=0.200,
    parts=(
        LatencyPart(name="edge", duration_s=0.1),
        LatencyPart(name="edge>fog", duration_s=0.08, is_transfer=True),
        LatencyPart(name="fog", duration_s=0.02),
    ),
    links=(
        LinkSnapshot(source="edge", target="fog", goodput_bps=5.1e6, rtt_s=0.0201),
        LinkSnapshot(source="fog", target="cloud", goodput_bps=0.0, rtt_s=0.01),
    ),
    switches=(SWITCH,),
    n_answered=88,
    n_dropped=3,
)
STATE = LiveState(
    title="vgg19 over edge, fog, cloud",
    stream=STREAM,
    duration_s=60.0,
    label="tabby cat",
    score_ratio=0.83,
)


def text_of(renderable: RenderableType, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width, no_color=True, highlight=False)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (seconds_text(0.0412), "41.2 ms"),
        (seconds_text(0.3), "300 ms"),
        (seconds_text(12.34), "12.3 s"),
        (seconds_text(None), "-"),
        (seconds_text(float("inf")), "never"),
        (bytes_text(602112), "602.1 kB"),
        (bytes_text(999), "999 B"),
        (bytes_text(999_999), "1.0 MB"),
        (rate_text(19.6e6), "19.6 Mbit/s"),
        (rate_text(0.0), "down"),
        (macs_text(19_632_062_464), "19.6 G"),
        (macs_text(0), "0"),
        (ratio_text(0.0), "0"),
        (ratio_text(3.14e-7), "3.1e-07"),
    ],
)
def test_quantities_read_as_people_write_them(text, expected):
    assert text == expected


def test_the_live_view_shows_everything_that_matters():
    text = text_of(live_panel(STATE))
    for fact in (
        "7.4 frames/s", "edge[0:31]f16 > fog[31:45]", "212 ms measured", "200 ms predicted (+6%)",
        "edge>fog 5.1 Mbit/s", "fog>cloud down", "tabby cat (83%)",
        "fell from 19.6 to 5.1 Mbit/s", "prepare 67.0 ms", "88 answered", "3 dropped",
    ):  # fmt: skip
        assert fact in text, fact


def test_the_links_of_three_nodes_fit_eighty_columns():
    names = ("edge", "fog", "cloud")
    links = tuple(
        LinkSnapshot(source=source, target=target, goodput_bps=210.4e6, rtt_s=0.0201)
        for source in names
        for target in names
        if source != target
    )
    lines = text_of(live_panel(replace(STATE, stream=replace(STREAM, links=links))), width=80).splitlines()
    shown = [line for line in lines if "Mbit/s rtt" in line]
    assert len(shown) == 3, lines
    assert all(line.count("210.4 Mbit/s rtt 20.1 ms") == 2 for line in shown)


def test_the_live_view_fits_a_narrow_terminal():
    assert max(len(line) for line in text_of(live_panel(STATE), width=40).splitlines()) <= 40


def test_an_empty_stream_can_be_shown():
    assert "- frames/s" in text_of(live_panel(state_at(0.0)))
    assert "edge[0:5]" in live_line(state_at(0.0))


def test_the_bar_is_divided_as_the_latency_is():
    bar = latency_split(STREAM.parts, width=20).plain.splitlines()[0].strip()
    assert [bar.count(shade) for shade in "█▓▒"] == [10, 8, 2]


def test_switches_are_listed_with_reason_and_cost():
    text = text_of(switches_table([SWITCH]), width=200)
    assert "edge[0:31]f16 > cloud[31:45] -> edge[0:45]" in text
    assert "8.2 s" in text
    assert "67.0 ms" in text
    assert "0.4 ms" in text


def test_nodes_are_listed_with_what_they_have_free():
    row = NodeRow(
        name="fog", tier="fog", engine="onnxruntime 1.31.1", threads=1, n_cores=2,
        provider="cpu", gpu=None,
        memory_bytes=8_000_000_000, free_memory_bytes=2_500_000_000, queue_s=0.012, models=("a", "b"),
        rtt_s=None, goodput_bps=None, version="0.1.0",
        streams=(), energy=None,
    )  # fmt: skip
    text = text_of(nodes_table([row]))
    for fact in ("fog", "1 of 2", "2.5 GB of 8.0 GB", "12.0 ms"):
        assert fact in text


def plain_console() -> Console:
    return Console(file=io.StringIO(), width=100, force_terminal=False, highlight=False)


def lines_of(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_live_view_says_what_nodes_drew_alone_and_together_and_by_whose_word():
    edge = NodeEnergy(node="edge", energy_j=352.6, source="modelled:raspberry-pi-4")
    fog = NodeEnergy(node="fog", energy_j=1586.2, source="measured:rapl")
    text = text_of(live_panel(drawn_by(edge, fog)))
    assert "edge 352.60 J (modelled:raspberry-pi-4), fog 1586.20 J (measured:rapl)" in text
    assert "together 1938.80 J, idling included" in text
    assert "together" not in text_of(live_panel(drawn_by(edge)))


def drawn_by(*nodes: NodeEnergy) -> LiveState:
    return replace(STATE, stream=replace(STREAM, energy_nodes=nodes))


def test_joules_come_with_whose_word_they_are_and_whose_they_are_where_not_all_count():
    stream = replace(STREAM, energy_j_per_frame=0.212, energy_source="modelled:laptop")
    for energy_scope, words in (("all", "modelled:laptop"), ("origin", "modelled:laptop; origin counts")):
        state = replace(STATE, stream=replace(stream, energy_scope=energy_scope))
        assert f"energy  212 mJ a frame, {words}\n" in text_of(live_panel(state))
        assert f"212 mJ a frame ({words})" in live_line(state)


def state_at(at_s: float, *switches: SwitchSnapshot) -> LiveState:
    return LiveState(title="x", stream=StreamSnapshot(at_s=at_s, plan="edge[0:5]", switches=switches))


def test_off_a_terminal_there_is_one_line_a_second_and_one_for_each_switch():
    console = plain_console()
    with LiveView(console) as view:
        for tick in range(25):  # 2.4 s of stream time
            view.update(state_at(tick / 10, *([SWITCH] if tick >= 12 else [])))
    lines = lines_of(console)
    assert len([line for line in lines if SWITCH.reason in line]) == 1
    assert len(lines) == 4  # at 0, 1 and 2 s, and the switch
    assert "\x1b" not in "".join(lines)


def test_a_long_plain_line_is_not_wrapped():
    console = plain_console()
    with LiveView(console) as view:
        view.update(STATE)
    assert len(lines_of(console)) == 2  # the switch and the state


def test_on_a_terminal_the_last_state_stays():
    console = Console(file=io.StringIO(), width=100, force_terminal=True, no_color=True, highlight=False)
    with LiveView(console) as view:
        view.update(state_at(1.0))
        view.update(STATE)
    assert isinstance(console.file, io.StringIO)
    assert "tabby cat" in console.file.getvalue()


def test_a_warning_that_comes_while_the_view_is_drawn_stands_on_lines_of_its_own():
    console = Console(file=io.StringIO(), width=100, force_terminal=True, no_color=True, highlight=False)
    log = logging.Logger("alone")
    log.addHandler(StderrOfNow())
    with LiveView(console) as view:
        view.update(state_at(1.0))
        log.warning("`cam` is lost")
        view.update(STATE)
    assert isinstance(console.file, io.StringIO)
    before, after = console.file.getvalue().split("`cam` is lost")
    assert before.endswith(("\x1b[2K", "\x1b[?25l"))  # the view, if it was drawn yet, was taken off first
    assert after.startswith("\n")


def test_one_of_several_streams_is_shown_in_lines_with_its_name_on_a_terminal_too():
    console = Console(file=io.StringIO(), width=300, force_terminal=True, no_color=True, highlight=False)
    with LiveView(console, name="cam") as view:
        view.update(STATE)
    lines = lines_of(console)
    assert len(lines) == 2
    assert all(line.startswith("cam  ") for line in lines)


def test_text_in_brackets_is_printed_as_it_is():
    """Names may look like rich's markup: `relu[final]` must not be swallowed."""
    console = plain_console()
    with LiveView(console) as view:
        view.update(state_at(0.0))
    assert "edge[0:5]" in lines_of(console)[0]
    cut = Cut(index=1, after="relu[final]", tensors=(TensorSpec(name="y", dtype="int64", shape=()),), payload_bytes=8)
    table = text_of(cut_table("net[bold]", [cut], 5))
    for name in ("relu[final]", "y int64[scalar]", "net[bold]"):
        assert name in table


def test_json_is_one_line_without_infinities(capsys):
    print_json({"a": float("inf"), "b": [1.5, float("nan")], "c": {"d": "ü"}})
    assert capsys.readouterr().out == '{"a": null, "b": [1.5, null], "c": {"d": "ü"}}\n'


def test_key_paths_reach_into_lists_and_objects():
    assert key_paths({"a": [{"b": 1}, {"c": {"d": 2}}], "e": []}) == {"a", "a[].b", "a[].c", "a[].c.d", "e"}


def test_progress_is_said_in_lines_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(output, "LINE_EVERY_S", 0.0)
    assert list(output.track(range(3), 3, "counting")) == [0, 1, 2]
    assert capsys.readouterr().err == "counting: 1 of 3, about 0 s left\ncounting: 2 of 3, about 0 s left\n"


def test_part_of_a_number_is_marked_as_part_of_one():
    table = new_table("scene", "gap", right=("gap",))
    add_row(table, "weak[4G]", "1260 ms")
    console = Console(file=io.StringIO(), width=7, record=True)
    console.print(table)
    assert "…" in console.export_text().splitlines()[-1]
    wide = Console(file=io.StringIO(), width=40, record=True)
    wide.print(table)
    assert wide.export_text().splitlines()[-1].split("  ") == ["weak[4G]", "1260 ms"]
