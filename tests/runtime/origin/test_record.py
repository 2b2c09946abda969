"""What a stream remembers of its answers: all that its figures need, in memory that does not grow with it."""

from __future__ import annotations

import random
import statistics

import pytest

from seamline.core.session.commands import SwitchRecord
from seamline.core.session.frame_counts import FrameCounts
from seamline.core.vocabulary.plans import Plan
from seamline.runtime.origin import latencies, record
from seamline.runtime.origin.latencies import Latencies
from seamline.runtime.origin.record import Recorder
from seamline.runtime.origin.results import Result
from seamline.runtime.origin.summary import run_summary

HERE, THERE = Plan.parse("edge[0:4]"), Plan.parse("edge[0:2]raw > fog[2:4]")
INTERVAL_S = 0.1


def answered(recorder: Recorder, at_s: float) -> None:
    recorder.answered(
        Result(
            frame=0,
            outputs={},
            latency_s=0.05,
            accepted_s=at_s - 0.05,
            plan=HERE,
            generation=0,
            reports=(),
            n_attempts=1,
        )
    )


def test_quantiles_of_few_answers_are_exact_and_those_of_many_come_from_a_fair_sample(monkeypatch):
    monkeypatch.setattr(latencies, "N_KEPT", 2000)
    found, drawn = Latencies(), random.Random(3)
    values = [drawn.expovariate(10.0) + (0.2 if at > 15_000 else 0.0) for at in range(20_000)]
    for value in values[:2000]:
        found.add(value)
    assert found.figures().p50 == statistics.median(values[:2000])
    assert found.figures().p95 == sorted(values[:2000])[round(0.95 * 1999)]
    for value in values[2000:]:
        found.add(value)
    figures = found.figures()
    assert figures.n == 20_000
    assert figures.mean == pytest.approx(statistics.fmean(values))
    below = [sum(value < quantile for value in values) / 20_000 for quantile in (figures.p50, figures.p95)]
    assert below == pytest.approx([0.5, 0.95], abs=0.035)  # three standard errors of a sample of 2000


def test_a_stream_without_answers_has_no_figures():
    assert Latencies().figures() == latencies.LatencyFigures(mean=None, p50=None, p95=None, n=0)


def test_the_gap_of_a_switch_outlives_the_times_that_it_was_made_from(monkeypatch):
    monkeypatch.setattr(record, "N_ANSWERS_KEPT", 64)
    monkeypatch.setattr(record, "ANSWERS_KEPT_S", 5.0)
    recorder = Recorder(0.0)
    recorder.restart(0.0, HERE)
    times_s = [at * INTERVAL_S for at in range(1, 3000) if not 50 < at < 58]  # 0.8 s without an answer
    for at_s in times_s:
        answered(recorder, at_s)
        if at_s == 60 * INTERVAL_S:
            recorder.switched(
                SwitchRecord(
                    at_s=5.0, from_plan=HERE, to_plan=THERE, reason="it is quicker", prepare_s=0.5, switch_s=0.0,
                    strategy="live", pause_s=0.0,
                )
            )  # fmt: skip
    assert len(recorder._answered_s) < 200
    summary = run_summary(recorder.history(), FrameCounts(accepted=len(times_s), answered=len(times_s)))
    assert summary.switches[0].gap_s == pytest.approx(0.7)
    assert summary.longest_gap_s == pytest.approx(0.8)
    assert summary.latency_s.n == len(times_s)
