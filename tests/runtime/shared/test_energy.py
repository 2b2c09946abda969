"""Joules of frames and nodes: charged by stage, added up by meter, always with their source."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from seamline.config.power import parse_power
from seamline.core.cost.problem import EnergyScope
from seamline.core.session.frame_counts import FrameCounts
from seamline.core.vocabulary.documented import to_json
from seamline.core.vocabulary.errors import MeterError, UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.ports import EnergyMeter
from seamline.fabric.messages import EnergyReport, StageReport
from seamline.runtime.origin.record import Recorder
from seamline.runtime.origin.results import Result
from seamline.runtime.origin.summary import run_summary
from seamline.runtime.shared import energy
from seamline.runtime.shared.energy import EnergyAccount, joint_source


class _Meter:
    source = "measured:rapl"
    scope = "processor packages"

    def __init__(self) -> None:
        self.joules = 100.0
        self.has_failed = False

    def energy_j(self) -> float:
        if self.has_failed:
            raise MeterError("the sensor is gone")
        return self.joules

    def close(self) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The account's clock, moved by hand."""
    clock = SimpleNamespace(time_s=50.0)
    monkeypatch.setattr(energy, "now_s", lambda: clock.time_s)
    monkeypatch.setattr(energy, "MONOTONIC", SimpleNamespace(now_s=lambda: clock.time_s))
    return clock


def test_a_modelled_stage_draws_what_busy_is_above_idle_and_its_bytes(clock: SimpleNamespace):
    account = EnergyAccount(parse_power("idle=2,busy=6,tx=3,rx=1"))
    clock.time_s += 10.0
    with account.stage() as stage:
        clock.time_s += 0.5
        assert stage.drawn_j(n_sent=100_000, n_received=200_000) == pytest.approx(4 * 0.5 + 0.3 + 0.2)
    account.sent(100_000)
    reading = account.reading()
    assert reading.energy_j == pytest.approx(2 * 10.5 + 4 * 0.5 + 0.3)
    assert reading.source == "modelled:given"


def test_a_measured_stage_draws_what_the_meter_counted_less_idling(clock: SimpleNamespace):
    meter: EnergyMeter = _Meter()
    for power, drawn_j in ((None, 4.0), (parse_power("idle=2,busy=6,tx=3,rx=3"), 3.0)):
        account = EnergyAccount(power, meter)
        with account.stage() as stage:
            clock.time_s += 0.5
            meter.joules += 4.0
            assert stage.drawn_j(n_sent=10**6) == pytest.approx(drawn_j)
        assert account.source == "measured:rapl"


def test_a_meter_that_fails_gives_no_joules_and_says_so_once(caplog: pytest.LogCaptureFixture):
    meter = _Meter()
    account = EnergyAccount(None, meter)
    meter.has_failed = True
    assert account.reading() is None
    with account.stage() as stage:
        assert stage.drawn_j() is None
    assert caplog.text.count("the sensor is gone") == 1


def test_a_stage_that_fails_does_not_stay_busy(clock: SimpleNamespace):
    account = EnergyAccount(parse_power("idle=0,busy=1"))

    def fail() -> None:
        with account.stage():
            clock.time_s += 1.0
            raise RuntimeError("no memory")

    with pytest.raises(RuntimeError):
        fail()
    clock.time_s += 5.0
    assert account.busy_s() == pytest.approx(1.0)


def test_work_beside_the_frames_counts_for_the_node_and_no_frame(clock: SimpleNamespace):
    account = EnergyAccount(parse_power("idle=0,busy=6"))
    account.worked(0.5)
    with account.stage() as stage:
        clock.time_s += 0.25
        assert stage.drawn_j() == pytest.approx(6 * 0.25)
    assert account.reading().energy_j == pytest.approx(6 * 0.75)


def _report(node: str, joules: float | None, source: str = "modelled:laptop") -> StageReport:
    return StageReport(
        node=node, queue_s=0.0, decode_s=0.0, compute_s=0.1, encode_s=0.0, sent_bytes=1,
        energy_j=joules, energy_source=source,
    )  # fmt: skip


def test_a_frame_costs_its_stages_the_answers_bytes_and_the_origins_idling():
    account = EnergyAccount(parse_power("idle=2,busy=6,tx=3,rx=1"))
    reports = [_report("edge", 0.5), _report("fog", 1.5)]
    frame = partial(account.frame, origin=NodeId("edge"))
    found = frame(reports, 0.25, 100_000)
    assert found.energy_j == pytest.approx(2.0 + 2 * 0.25 + 0.1)
    assert found.source == "modelled:given+laptop"
    assert frame([*reports, _report("cloud", None)], 0.25, 0) is None
    assert EnergyAccount().frame(reports, 0.25, 0, origin=NodeId("edge")) is None


def test_a_frame_is_charged_with_the_joules_that_count():
    account = EnergyAccount(parse_power("idle=2,busy=6"))
    reports = [_report("edge", 0.5), _report("fog", 1.5, "measured:rapl"), _report("cloud", None, "")]
    origin_only = account.frame(reports, 0.25, 0, origin=NodeId("edge"), scope=EnergyScope.ORIGIN)
    assert origin_only.energy_j == pytest.approx(0.5 + 2 * 0.25), "what others draw is not asked for"
    assert origin_only.source == "modelled:given+laptop"
    weighed = account.frame(reports, 0.25, 0, origin=NodeId("edge"), scope=EnergyScope.parse("fog=0.1,cloud=0"))
    assert weighed.energy_j == pytest.approx(0.5 + 0.15 + 0.5)
    assert weighed.source == "mixed (modelled:given, modelled:laptop, measured:rapl)"


def test_joules_of_several_sources_name_them_all():
    assert joint_source(["modelled:a", "modelled:a"]) == "modelled:a"
    assert joint_source(["modelled:a", "modelled:b+wifi"]) == "modelled:a+b+wifi"
    assert joint_source(["measured:rapl", "modelled:b"]) == "mixed (measured:rapl, modelled:b)"
    assert joint_source(["measured:rapl", ""]) is None
    assert joint_source([]) is None


def _result(frame: int, joules: float | None) -> Result:
    return Result(
        frame=frame, outputs={}, latency_s=0.1, accepted_s=float(frame), plan=Plan.parse("edge[0:1]"), generation=1,
        reports=(), n_attempts=1, energy_j=joules, energy_source=None if joules is None else "modelled:laptop",
    )  # fmt: skip


def test_a_summary_has_joules_per_frame_and_what_every_node_drew_since_frames_flow():
    recorder = Recorder(0.0)
    recorder.drew("edge", EnergyReport(source="modelled:a", scope="whole device", energy_j=10.0))
    recorder.drew("edge", EnergyReport(source="modelled:a", scope="whole device", energy_j=15.0))
    recorder.restart(0.0, Plan.parse("edge[0:1]"))
    for number, joules in enumerate((1.0, 3.0, None, None)):
        recorder.answered(_result(number, joules))
    recorder.drew("edge", EnergyReport(source="modelled:a", scope="whole device", energy_j=21.0))
    recorder.drew("fog", EnergyReport(source="measured:rapl", scope="processor packages", energy_j=700.0))
    recorder.drew("fog", EnergyReport(source="measured:rapl", scope="processor packages", energy_j=2.0))
    found = to_json(run_summary(recorder.history(), FrameCounts(accepted=4, answered=4)))["energy"]
    assert found["j_per_frame"] == pytest.approx(2.0)
    assert found["source"] == "modelled:laptop"
    assert found["nodes"]["edge"] == {
        "j": 6.0, "j_per_frame": 1.5, "source": "modelled:a", "scope": "whole device",
    }  # fmt: skip
    assert found["nodes"]["fog"]["j"] == 2.0, "a node that started anew counts from 0"
    assert found["total_j"] == pytest.approx(8.0)
    assert found["total_source"] == "mixed (modelled:a, measured:rapl)"


def test_a_node_that_returns_with_another_meter_keeps_what_it_drew_before():
    recorder = Recorder(0.0)
    for source, joules in (("modelled:a", 1.0), ("modelled:a", 5.0), ("measured:rapl", 7.0), ("measured:rapl", 8.0)):
        recorder.drew("fog", EnergyReport(source=source, scope="whole device", energy_j=joules))
    (drew,) = recorder.drawn()
    assert (drew.node, drew.energy_j, drew.source) == ("fog", 4.0 + 8.0, "mixed (modelled:a, measured:rapl)")
    assert run_summary(recorder.history(), FrameCounts()).energy.total_source == "mixed (modelled:a, measured:rapl)"


def test_without_power_figures_energy_is_absent_and_not_zero():
    recorder = Recorder(0.0)
    recorder.answered(_result(0, None))
    found = to_json(run_summary(recorder.history(), FrameCounts(accepted=1, answered=1)))["energy"]
    assert (found["j_per_frame"], found["total_j"], found["nodes"]) == (None, None, {})


def test_a_stream_reports_modelled_joules_of_frames_and_of_all_its_nodes(bench):
    bench.powers = {"edge": parse_power("raspberry-pi-4+wifi"), "fog": parse_power("laptop")}
    bench.start("edge")
    bench.start("fog")
    bench.link("edge", "fog", 50e6)
    stream = bench.stream(policy="offload")
    frames = [np.zeros((32, 32, 3), np.uint8)] * 6
    results = list(stream.run(frames, fps=4))
    assert [result.plan.is_local for result in results] == [False] * 6
    for result in results:
        assert result.energy_j > 1.6 * result.latency_s
        assert result.energy_source == "modelled:raspberry-pi-4+wifi+laptop"
    found = stream.summary()["energy"]
    assert found["j_per_frame"] == pytest.approx(sum(result.energy_j for result in results) / 6)
    assert set(found["nodes"]) == {"edge", "fog"}
    edge_j, flowing_s = found["nodes"]["edge"]["j"], 5 / 4
    assert edge_j >= 1.6 * flowing_s, "it idles at least while frames come"
    assert stream.snapshot().energy_source == "modelled:raspberry-pi-4+wifi+laptop"
    assert [drew.node for drew in stream.snapshot().energy_nodes] == ["edge", "fog"]
    assert all(drew.energy_j > 0.0 for drew in stream.snapshot().energy_nodes)


def test_another_node_can_change_the_objective_of_a_running_stream(bench, wait_until):
    bench.powers = {"edge": parse_power("idle=0,busy=40"), "fog": parse_power("idle=0,busy=4000")}
    bench.start("edge")
    fog = bench.start("fog")
    bench.link("edge", "fog", 400e6)
    stream = bench.stream()
    assert not stream.plan.is_local, "the fog is ten times as fast"
    assert fog.client.set_objective(NodeId("edge"), stream.name, "energy").result(timeout=5) == "latency"
    wait_until(lambda: stream.plan.is_local)  # the fog draws a hundred times as much
    assert stream.snapshot().objective == "energy"


def test_a_node_that_returns_with_power_figures_counts_with_them(bench, wait_until):
    bench.powers = {"edge": parse_power("idle=0,busy=40")}
    bench.start("edge")
    bench.start("fog")
    bench.link("edge", "fog", 400e6)
    stream = bench.stream()
    stream.set_objective("energy")
    wait_until(lambda: stream.plan.is_local)  # what the fog draws is not known
    bench.kill("fog")
    bench.powers["fog"] = parse_power("idle=0,busy=4")
    bench.start("fog")
    bench.link("edge", "fog", 400e6)
    wait_until(lambda: not stream.plan.is_local)


def test_another_node_can_give_a_running_stream_a_deadline_or_a_sum(bench, wait_until):
    bench.powers = {"edge": parse_power("idle=0,busy=40"), "fog": parse_power("idle=0,busy=4000")}
    bench.start("edge")
    fog = bench.start("fog")
    bench.link("edge", "fog", 400e6)
    stream = bench.stream()
    assert not stream.plan.is_local, "the fog is ten times as fast"

    def ask(text: str) -> str:
        return fog.client.set_objective(NodeId("edge"), stream.name, text).result(timeout=5)

    assert ask("slo=5") == "latency"
    wait_until(lambda: stream.plan.is_local)  # the fog draws a hundred times as much, and there is time
    assert ask("slo=0.000001") == "slo=5"
    wait_until(lambda: not stream.plan.is_local)  # nobody is in time, so the quickest serves
    wait_until(lambda: "no plan answers within 0.001 ms, the quickest takes" in stream.snapshot().decision)
    assert ask("latency=0.001,energy=1") == "slo=1e-06"
    wait_until(lambda: stream.plan.is_local)
    assert stream.snapshot().objective == "latency=0.001,energy=1"


def test_another_node_can_change_whose_joules_count(bench, wait_until):
    bench.powers = {"edge": parse_power("idle=0,busy=40"), "fog": parse_power("idle=0,busy=4000")}
    bench.start("edge")
    fog = bench.start("fog")
    bench.link("edge", "fog", 400e6)
    stream = bench.stream()
    stream.set_objective("energy")
    wait_until(lambda: stream.plan.is_local)  # the fog draws a hundred times as much
    assert fog.client.set_energy_scope(NodeId("edge"), stream.name, "origin").result(timeout=5) == "all"
    wait_until(lambda: not stream.plan.is_local)
    assert stream.snapshot().energy_scope == "origin"
    assert stream.snapshot().objective == "energy"
    list(stream.run([np.zeros((32, 32, 3), np.uint8)] * 3, fps=10))
    assert stream.summary()["energy"]["counted"] == "origin"
    with pytest.raises(UsageError, match="`nobody` says nobody's energy"):
        fog.client.set_energy_scope(NodeId("edge"), stream.name, "nobody").result(timeout=5)


def test_an_objective_that_cannot_be_judged_is_refused_with_its_reason(bench):
    bench.start("edge")
    fog = bench.start("fog")
    bench.link("edge", "fog", 50e6)
    stream = bench.stream()
    for name, objective, reason in (
        (stream.name, "energy", "`edge` has no power figures; hint: start it with --power"),
        (stream.name, "beauty", "`beauty` is not an objective"),
        ("edge-none", "latency", "no stream `edge-none` starts here; hint: .* lists them, here: edge-"),
    ):
        with pytest.raises(UsageError, match=reason) as refusal:
            fog.client.set_objective(NodeId("edge"), name, objective).result(timeout=5)
        assert refusal.value.hint
    with pytest.raises(UsageError, match="`fgo` is none of the nodes whose energy counts; hint: one of edge, fog"):
        fog.client.set_energy_scope(NodeId("edge"), stream.name, "fgo=0.5").result(timeout=5)
    assert stream.snapshot().objective == "latency"
    assert stream.snapshot().energy_scope == "all"
