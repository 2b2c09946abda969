"""The figures that `live` is judged by: counted alike with and without switches."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # experiments are not part of the package

from experiments.neukonfig_2021.conditions import Cell  # noqa: E402 # needs the path above
from experiments.neukonfig_2021.memory import memory_of  # noqa: E402 # needs the path above
from experiments.neukonfig_2021.targets import Window, own_bytes, summary_of  # noqa: E402 # needs the path above

from seamline.core.session.commands import SwitchRecord  # noqa: E402 # stands with the others
from seamline.core.vocabulary.plans import Plan  # noqa: E402 # stands with the others


def test_a_gap_counts_when_it_is_longer_than_an_interval_with_and_without_a_switch():
    cell = Cell(strategy="live", model="mobilenetv2", fps=20, n_switches=1)
    windows = {
        kind: [Window(extra_gap_s=gap_s, n_dropped=n_dropped, latency_s=None) for gap_s, n_dropped in those]
        for kind, those in {"control": [(0.049, 0), (0.051, 1)], "switching": [(0.0, 0)]}.items()
    }
    plan = Plan.parse("edge[0:2]raw > cloud[2:4]")
    record = SwitchRecord(
        at_s=0.0, from_plan=plan, to_plan=plan, reason="", strategy="live", prepare_s=0.003, switch_s=1e-6,
        pause_s=0.0, load_s=0.002, sent_bytes=1,
    )  # fmt: skip
    found = summary_of(cell, windows, [record], [record])
    assert (found["control"]["n_longer_than_an_interval"], found["control"]["n_dropped"]) == (1, 1)
    assert (found["switching"]["n_longer_than_an_interval"], found["switching"]["n_dropped"]) == (0, 0)
    assert found["prepare_s"]["max"] == 0.003


@pytest.mark.needs("linux")
def test_memory_of_its_own_grows_with_what_a_process_takes_and_leaves_libraries_out():
    n_bytes = 32 << 20
    before = own_bytes([os.getpid()])
    assert 0 < before < memory_of([os.getpid()]).pss_bytes
    taken = ctypes.create_string_buffer(b"x" * n_bytes, n_bytes)
    assert own_bytes([os.getpid()]) - before >= n_bytes
    del taken
