"""`seamline top`: one screen of 80x24, plain text elsewhere, and keys that ask the stream's origin."""

from __future__ import annotations

import os
import pty
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from seamline.cli.observing.keys import DOWN, UP, reading_keys
from seamline.cli.observing.screen import Screen
from seamline.cli.observing.top_view import TopState, summary_of, top_view
from seamline.core.vocabulary.errors import UsageError
from seamline.fabric.messages import Status
from seamline.runtime.api.snapshot import LinkSnapshot, StreamSnapshot, SwitchSnapshot
from seamline.runtime.api.stream_state import Change, Costs, Decision, NodeState, Rival, StreamBrief, StreamState
from seamline.runtime.origin.record import LatencyPart

PLAN = "edge[0:4]f16 > cloud[4:15]"
HEIGHT = 24


def status(tier: str) -> Status:
    return Status(
        tier=tier, incarnation="1", version="1", engine="onnxruntime 1.24 CPU, a name that is long", threads=2,
        n_cores=2, memory_bytes=8 * 10**9, free_memory_bytes=3 * 10**9, queue_s=0.02, models=(), links=(),
    )  # fmt: skip


def brief(name: str) -> StreamBrief:
    return StreamBrief(
        name=name, title="yolov8n: street.mp4", at_s=30.0, plan=PLAN, generation=3, frame_rate_fps=4.2,
        latency_s=0.231, parts={"edge": 0.1}, n_answered=99, n_dropped=3, objective="latency", is_pinned=True,
        n_events=2,
    )  # fmt: skip


def whole(name: str) -> StreamState:
    parts = (LatencyPart(name="edge", duration_s=0.1), LatencyPart(name="transfer", duration_s=0.131, is_transfer=True))
    switch = SwitchSnapshot(
        at_s=12.0, from_plan="edge[0:15]", to_plan=PLAN, reason="edge>cloud carries 20.1 Mbit/s, before 3.0; " * 3,
        prepare_s=0.2, switch_s=0.001,
    )  # fmt: skip
    rivals = tuple(
        Rival(kind=kind, plan=plan, latency_s=0.3, throughput_fps=3.0, energy_j=None, refusal=refusal)
        for kind, plan, refusal in (
            ("local", "edge[0:15]", None), ("offload", "edge[0:0]jpeg > cloud[0:15]", "private"), ("split", PLAN, None)
        )
    )  # fmt: skip
    links = tuple(
        LinkSnapshot(source=one, target=other, goodput_bps=2e7, rtt_s=0.02)
        for one in ("edge", "fog", "cloud") for other in ("edge", "fog", "cloud") if one != other
    )  # fmt: skip
    return StreamState(
        name=name, title="yolov8n: street.mp4", model="yolov8n", n_cuts=15,
        snapshot=StreamSnapshot(at_s=30.0, plan=PLAN, latency_s=0.231, parts=parts, links=links, decision="kept: best"),
        boundaries=(4,), nodes=(NodeState(name="fog", is_here=False, is_origin=False),), avoided=(),
        costs=Costs(rivals=rivals), decisions=(Decision(number=1, switch=switch, rivals=()),),
        changes=(Change(at_s=20.0, by="in seamline top by `observer-1a2b3c4d-fog`", what=f"pinned {PLAN}"),),
    )  # fmt: skip


def state(n_nodes: int = 3, n_streams: int = 2) -> TopState:
    names = [f"edge-{number:08x}" for number in range(n_streams)]
    return TopState(
        statuses={f"node-{number}": status("cloud") for number in range(n_nodes)},
        briefs={name: brief(name) for name in names},
        states={name: whole(name) for name in names[:1]},
        chosen=names[0] if names else "",
        message="pinned",
    )


def drawn(state: TopState, height: int | None = HEIGHT, width: int = 80) -> list[str]:
    console = Console(width=width, height=height, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(top_view(state, height=height))
    console.file.close()
    return console.export_text().splitlines()


@pytest.mark.parametrize(("n_nodes", "n_streams"), [(0, 0), (3, 2), (40, 1000)])
@pytest.mark.parametrize("size", [(80, 24), (60, 12), (200, 50)])
def test_everything_fits_the_screen_and_the_keys_are_last(n_nodes, n_streams, size):
    width, height = size
    lines = drawn(state(n_nodes, n_streams), height, width)
    assert len(lines) == height
    assert max(map(len, lines)) <= width
    assert lines[-1].startswith("up,down: stream")
    assert lines[-2].startswith("pinned")


def test_80x24_shows_nodes_streams_links_plans_to_choose_and_decisions_with_their_reasons():
    text = "\n".join(drawn(state()))
    for words in (
        "node-2", "3.0 of 8.0 GB", "> edge-00000000", "4.2    231 ms  edge[0:4]f16 > cloud[4:15] (pinned)",
        "edge>cloud 20.0 Mbit/s rtt 20.0 ms", "gone     fog", "1        local 300 ms  edge[0:15]",
        "2        split 300 ms", "last     kept: best", "12.0 s edge[0:15] -> edge[0:4]f16 > cloud[4:15]: edge>cloud",
        "20.0 s pinned edge[0:4]f16 > cloud[4:15]: in seamline top by",
    ):  # fmt: skip
        assert words in text, words


def test_as_text_every_line_is_whole_and_the_summary_has_it_all():
    lines = drawn(state(), None, 400)
    assert any(line.rstrip().endswith("edge>cloud carries 20.1 Mbit/s, before 3.0;") for line in lines)
    first, second = summary_of(state()).streams
    assert (first.decision, len(first.links), [event.at_s for event in first.events]) == ("kept: best", 6, [12.0, 20.0])
    assert (second.plan, second.decision, second.links) == (PLAN, "", ())


class Origins:
    """Notes what is asked of the origins of two streams, and settles it as told."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answer: Future[Any] = Future()
        self.briefs = {name: brief(name) for name in ("edge-a", "fog-b")}
        self.states = {"edge-a": whole("edge-a")}
        self.troubles: dict[str, str] = {}
        self.node = SimpleNamespace(client=self)

    def statuses(self) -> dict[str, Status]:
        return {}

    def refresh(self, shown, *, with_costs=()) -> None: ...

    def switch_plan(self, *asked: Any, by: str) -> Future[Any]:
        self.asked.append(asked)
        return self.answer

    set_objective = lambda self, *asked: self.switch_plan(*asked[:-1], by=asked[-1])  # noqa: E731


def test_keys_choose_pin_release_and_change_the_objective_of_the_stream_that_is_chosen():
    origins = Origins()
    screen = Screen(origins, "")
    screen.look()
    for key in ("2", "p", "r", "o", DOWN, "r", UP, "k", "o", "9", "x"):
        screen.press(key)
    assert origins.asked == [
        ("edge", "edge-a", PLAN), ("edge", "edge-a", PLAN), ("edge", "edge-a", "auto"),
        ("edge", "edge-a", "throughput"), ("fog", "fog-b", "auto"), ("fog", "fog-b", "throughput"),
    ]  # fmt: skip
    origins.answer.set_exception(UsageError("no such plan"))
    assert screen.state().message == "no such plan"


def test_an_observer_looks_and_asks_for_nothing():
    origins = Origins()
    screen = Screen(origins, "it may look, not change a stream")
    screen.look()
    for key in ("1", "p", "r", "o"):
        screen.press(key)
    assert origins.asked == []
    assert "not change a stream" in screen.state().message


def test_keys_are_read_one_at_a_time_and_the_terminal_is_as_before(monkeypatch):
    import termios

    master, slave = pty.openpty()
    try:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(fileno=lambda: slave))
        before = termios.tcgetattr(slave)
        with reading_keys() as key:
            assert key(0.0) is None
            os.write(master, b"p\x1b[A\x1bOB\x1b[5~q")
            assert [key(1.0) for _ in range(5)] == ["p", UP, DOWN, None, "q"]
        assert termios.tcgetattr(slave) == before
    finally:
        os.close(master)
        os.close(slave)
