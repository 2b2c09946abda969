"""What the reproduction makes of measured cells; the measuring itself needs processes and minutes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # experiments are not part of the package

from experiments.neukonfig_2021 import agenda  # noqa: E402 # needs the path above
from experiments.neukonfig_2021.figures import quantiles, quick_json  # noqa: E402 # needs the path above
from experiments.neukonfig_2021.report import report  # noqa: E402 # needs the path above

from seamline.core.switching import STRATEGIES  # noqa: E402 # stands with the others

TERMS = (
    "t_update_s", "t_initialisation_s", "t_exec_s", "t_switch_s", "downtime_s", "prepare_s", "edge_gap_s",
    "answer_gap_s", "degraded_s", "latency_before_s", "latency_during_s", "latency_after_s",
)  # fmt: skip


def cell(strategy: str, downtime_s: float, *, fps: float = 20.0) -> dict:
    """A measured cell of three switches, each with a little more downtime."""
    switch = {**dict.fromkeys(TERMS, 0.001), "n_dropped": 2, "n_late": 1, "sent_bytes": 216, "is_wrong_guess": False}
    return {
        "cell": {"strategy": strategy, "model": "mobilenetv2", "fps": fps, "cpu_ratio": 1.0, "memory_ratio": 1.0},
        "limits": "no limit",
        "container": None,
        "switches": [{**switch, "downtime_s": downtime_s * factor} for factor in (1.0, 1.1, 1.3)],
        "frames": {"lost": 0, "duplicated": 0, "out_of_order": 0},
        "memory": {
            when: {"pss_bytes": pss, "anonymous_bytes": pss // 2}
            for when, pss in (("before", 100_000_000), ("peak", 110_000_000), ("after", 101_000_000))
        },
    }


def test_the_summary_has_the_keys_that_the_issue_names():
    made = quick_json([cell("live", 1e-5), cell("pause-resume", 0.2), cell("spawn", 9.0, fps=5.0)])
    assert made.keys() == {"strategies", "fps", "model"}
    assert made["strategies"].keys() == {"live", "pause-resume"}  # cells under other conditions do not mix in
    live = made["strategies"]["live"]
    assert live.keys() == {
        "downtime_s", "frames_dropped", "frames_lost", "memory_ratio_peak", "memory_ratio_steady", "t_switch_s",
        "prepare_s",
    }  # fmt: skip
    assert live["frames_dropped"] == 6
    assert live["memory_ratio_peak"] == pytest.approx(1.10)
    assert live["memory_ratio_steady"] == pytest.approx(1.01)
    assert live["downtime_s"]["median"] == pytest.approx(1.1e-5)


def test_tails_are_nearest_ranks():
    assert quantiles([float(value) for value in range(1, 21)]) == {"median": 10.5, "p95": 19.0, "max": 20.0}
    assert quantiles([3.0]) == {"median": 3.0, "p95": 3.0, "max": 3.0}


def test_the_report_stands_alone_and_puts_the_papers_values_beside_ours():
    machine = {"cpu": "a & b", "n_cores": 2, "memory_bytes": 8_000_000_000, "load_1min": 1.0, "date": "2026-11-21"}
    failed = [{"cell": cell("spawn", 1.0)["cell"], "error": "no <memory>"}]
    cut = {"cut": 0, "after": "input", "sent_bytes": 10, "edge_s": 0.1, "transfer_s": 0.2, "cloud_s": 0.3}
    sweep = {"model": "mobilenetv2", "codec": "raw", "mbps": 20.0, "cpu_ratio": 1.0, "best_cut": 0,
             "best_after": "input", "best_latency_s": 0.6, "cuts": [cut]}  # fmt: skip
    data = {
        "cells": [cell("live", 1e-5), cell("pause-resume", 0.2)],
        "failed": failed,
        "sweeps": [sweep],
        "machine": machine,
        "is_quick": True,
    }
    page = report(data)
    assert "http" not in page  # nothing is fetched
    assert "a &amp; b" in page
    assert "no &lt;memory&gt;" in page
    assert "<td>6000</td>" in page  # the paper's pause-resume, in ms
    assert "20,000 times" in page


def test_every_strategy_is_measured_in_both_runs():
    assert {one.strategy for one in agenda.quick()} == set(STRATEGIES)
    assert {one.strategy for one in agenda.table_one()} == set(STRATEGIES)
    assert len({one.key for one in agenda.full()}) == len(agenda.full())
