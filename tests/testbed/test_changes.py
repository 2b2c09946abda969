"""What happens during a run is known beforehand, happens once each, in order."""

import threading
from pathlib import Path

import pytest

from seamline.config import ChangeSpec, LifeSpec, LinkSpec, LoadSpec, NodeSpec, Testbed
from seamline.core.vocabulary.errors import ConfigError, SeamlineError, UsageError
from seamline.testbed.changes import Change, ChangeRunner, Kill, LinkChange, NodeChange, Restart, apply, due, schedule

NODES = (NodeSpec(name="edge", tier="edge"), NodeSpec(name="fog", tier="fog"))
PAIR = ("edge", "fog")


class Recorder:
    """Links and nodes that write down what was asked of them."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.is_killed = threading.Event()

    def set_link(self, one: str, other: str, **values: float | None) -> None:
        given = (values["rate_mbps"], values["delay_ms"])
        self.calls.append(("set", one, other, *given, *filter(None, [values["loss_ratio"]])))

    def silence(self, one: str, other: str) -> None:
        self.calls.append(("silence", one, other))

    def restore(self, one: str, other: str) -> None:
        self.calls.append(("restore", one, other))

    def kill(self, node: str) -> None:
        if node == "ghost":
            raise SeamlineError("no such process")
        self.calls.append(("kill", node))
        self.is_killed.set()

    def restart(self, node: str) -> None:
        self.calls.append(("restart", node))

    def slow_down(self, node: str, slowdown: float) -> None:
        self.calls.append(("slow", node, slowdown))


def test_ratios_become_seconds_and_everything_is_sorted_by_time() -> None:
    bed = Testbed(
        name="t",
        nodes=NODES,
        links=(LinkSpec(between=PAIR, rate_bps=20e6),),
        changes=(
            ChangeSpec(between=PAIR, at_ratio=0.5, rate_bps=20e6),
            ChangeSpec(between=PAIR, at_ratio=0.25, rate_bps=5e6),
        ),
        loads=(LoadSpec(node="fog", at_ratio=0.3, slowdown=8.0),),
    )
    assert schedule(bed, 40.0, [Kill(at_s=15.0, node="fog")]) == (
        LinkChange(at_s=10.0, between=PAIR, rate_bps=5e6),
        NodeChange(at_s=12.0, node="fog", slowdown=8.0),
        Kill(at_s=15.0, node="fog"),
        LinkChange(at_s=20.0, between=PAIR, rate_bps=20e6),
    )


def test_a_trace_becomes_changes_and_an_outage_is_silence(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("time_s,mbps\n0,4\n1,0\n2,2\n3,2\n")
    bed = Testbed(name="t", nodes=NODES, links=(LinkSpec(between=PAIR, trace=trace),))
    assert schedule(bed, 4.0) == (
        LinkChange(at_s=0.0, between=PAIR, rate_bps=4e6),
        LinkChange(at_s=1.0, between=PAIR, is_silent=True),
        LinkChange(at_s=2.0, between=PAIR, rate_bps=2e6, is_silent=False),
    )


def test_a_traces_delays_and_losses_are_changes_too(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("time_s,mbps,delay_ms,loss_ratio\n0,4,2,0\n1,4,30,0.1\n")
    bed = Testbed(name="t", nodes=NODES, links=(LinkSpec(between=PAIR, trace=trace),))
    changes = schedule(bed, 2.0)
    assert changes[1] == LinkChange(at_s=1.0, between=PAIR, rate_bps=4e6, delay_s=0.03, loss_ratio=0.1)
    assert str(changes[1]) == "link edge-fog to 4 Mbit/s, to 30 ms one way, to 0.1 of its packets lost"
    links = Recorder()
    apply(changes[1], links, links)
    assert links.calls == [("set", "edge", "fog", 4.0, 30.0, 0.1)]


def test_due_takes_the_beginning_and_leaves_the_end() -> None:
    changes = tuple(Kill(at_s=float(at), node="fog") for at in range(4))
    assert due(changes, 1.0, 3.0) == changes[1:3]
    assert due(changes, 0.0, 1.0) + due(changes, 1.0, 2.0) + due(changes, 2.0, 9.0) == changes


def test_killing_a_node_that_is_not_there_is_refused_beforehand() -> None:
    with pytest.raises(ConfigError, match="no node `frog`; hint: did you mean `fog`"):
        schedule(Testbed(name="t", nodes=NODES), 10.0, [Kill(at_s=1.0, node="frog")])


def test_a_kill_is_written_as_node_at_second() -> None:
    assert Kill.parse("fog@10") == Kill(at_s=10.0, node="fog")
    for text in ("fog", "fog@", "@10", "fog@-1", "fog@nan", "fog@soon"):
        with pytest.raises(UsageError, match=f"`{text}` is not a kill; hint: write NODE@SECONDS"):
            Kill.parse(text)


def test_changes_say_what_they_do() -> None:
    assert str(LinkChange(at_s=1.0, between=PAIR, rate_bps=5e6)) == "link edge-fog to 5 Mbit/s"
    assert str(LinkChange(at_s=1.0, between=PAIR, is_silent=True)) == "link edge-fog goes silent"
    assert str(Kill(at_s=1.0, node="fog")) == "node fog is killed"
    assert str(Restart(at_s=1.0, node="fog")) == "node fog starts again"
    assert str(NodeChange(at_s=1.0, node="fog", slowdown=2.5)) == "node fog computes 2.5x as long"
    assert str(NodeChange(at_s=1.0, node="fog", slowdown=50.0, usual=20.0)) == "node fog computes 2.5x as long"


def test_a_node_that_the_file_kills_comes_back() -> None:
    lives = (LifeSpec(node="fog", up=True, at_ratio=0.5), LifeSpec(node="fog", up=False, at_s=1.0))
    changes = schedule(Testbed(name="t", nodes=NODES, lives=lives), 8.0)
    assert changes == (Kill(at_s=1.0, node="fog"), Restart(at_s=4.0, node="fog"))
    recorder = Recorder()
    for change in changes:
        apply(change, recorder, recorder)
    assert recorder.calls == [("kill", "fog"), ("restart", "fog")]


def test_a_runner_makes_every_change_once_in_order_although_one_fails() -> None:
    changes: tuple[Change, ...] = (
        LinkChange(at_s=0.0, between=PAIR, rate_bps=5e6, delay_s=0.02),
        Kill(at_s=0.005, node="ghost"),
        LinkChange(at_s=0.01, between=PAIR, is_silent=True),
        LinkChange(at_s=0.01, between=PAIR, rate_bps=1e6, is_silent=False),
        NodeChange(at_s=0.015, node="fog", slowdown=8.0),
        Kill(at_s=0.02, node="fog"),
    )
    links = Recorder()
    with ChangeRunner(changes, links, links):
        assert links.is_killed.wait(10.0)
    assert links.calls == [
        ("set", "edge", "fog", 5.0, 20.0),
        ("silence", "edge", "fog"),
        ("set", "edge", "fog", 1.0, None),
        ("restore", "edge", "fog"),
        ("slow", "fog", 8.0),
        ("kill", "fog"),
    ]


def test_nothing_happens_after_a_runner_was_stopped() -> None:
    links = Recorder()
    with ChangeRunner((Kill(at_s=3600.0, node="fog"),), links, links):
        pass
    assert links.calls == []
