"""What the reproduction makes of measured cells; the measuring itself needs processes and minutes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # experiments are not part of the package

from experiments.neukonfig_2021 import agenda, limits, running  # noqa: E402 # needs the path above
from experiments.neukonfig_2021.__main__ import FULL_CELLS_S, run_cells  # noqa: E402 # needs the path above
from experiments.neukonfig_2021.conditions import Cell, turn  # noqa: E402 # needs the path above
from experiments.neukonfig_2021.figures import points_of, quantiles, quick_json  # noqa: E402 # needs the path above
from experiments.neukonfig_2021.memory import memory_of  # noqa: E402 # needs the path above
from experiments.neukonfig_2021.report import report  # noqa: E402 # needs the path above

from seamline.core.switching import STRATEGIES  # noqa: E402 # stands with the others
from seamline.report.html import to_html  # noqa: E402

TERMS = (
    "t_update_s", "t_initialisation_s", "t_exec_s", "t_switch_s", "downtime_s", "prepare_s", "edge_gap_s",
    "answer_gap_s", "degraded_s", "latency_before_s", "latency_during_s", "latency_after_s",
)  # fmt: skip
LIVE = Cell(strategy="live", model="mobilenetv2", fps=20.0, n_switches=3)
MACHINE = {"cpu": "a & b", "n_cores": 2, "memory_bytes": 8_000_000_000, "load_1min": 1.0, "date": "2026-11-21"}


def switches(downtime_s: float) -> list[dict]:
    """Three, each with a little more downtime than the one before; the second to the fast link."""
    switch = {**dict.fromkeys(TERMS, 0.001), "n_dropped": 2, "n_late": 1, "sent_bytes": 216, "is_wrong_guess": False}
    rates = (5.0, 20.0, 5.0)
    factors = (1.0, 1.1, 1.3)
    return [
        {**switch, "downtime_s": downtime_s * factor, "to_mbps": rate}
        for factor, rate in zip(factors, rates, strict=True)
    ]


def cell(strategy: str, downtime_s: float, **what) -> dict:
    """A measured cell of three switches."""
    return {
        "cell": asdict(replace(LIVE, strategy=strategy, **what)),
        "limits": "no limit",
        "container": None,
        "switches": switches(downtime_s),
        "refused": [],
        "frames": {"lost": 0, "duplicated": 0, "out_of_order": 0},
        "memory": {
            when: {
                "pss_bytes": pss,
                "anonymous_bytes": pss // 2,
                "edge_pss_bytes": 40_000_000,
                "edge_anonymous_bytes": 20_000_000,
            }
            for when, pss in (("before", 100_000_000), ("peak", 110_000_000), ("after", 101_000_000))
        },
    }


def page_of(cells: list[dict], failed: list[dict], **more) -> str:
    cut = {"cut": 0, "after": "input", "sent_bytes": 10, "edge_s": 0.1, "transfer_s": 0.2, "cloud_s": 0.3}
    sweeps = [
        {"model": "mobilenetv2", "codec": codec, "mbps": mbps, "cpu_ratio": cpu_ratio, "memory_ratio": 1.0,
         "best_cut": best, "best_after": "input", "best_latency_s": 0.6, "edge_ratio": 2.0,
         "best_split": best, "best_split_after": "pool", "best_split_latency_s": 0.7,
         "how": "no limit" if cpu_ratio == 1.0 else "measured", "cuts": [cut]}
        for codec, mbps, cpu_ratio, best in (
            ("raw", 20.0, 1.0, 0), ("raw", 5.0, 1.0, 9), ("raw", 5.0, 0.25, 9), ("u8", 20.0, 1.0, 4),
            ("u8", 5.0, 1.0, 4), ("u8", 20.0, 0.25, 4), ("u8", 5.0, 0.25, 2), ("raw", 20.0, 0.25, 0),
        )
    ]  # fmt: skip
    starting = [{"model": "mobilenetv2", "container": "podman rootfs", "n": 5, "python_s": 0.02, "libraries_s": 0.42,
                 "container_s": 0.22, "load_s": 0.1, "whole_s": 0.9}]  # fmt: skip
    data = {"cells": cells, "failed": failed, "sweeps": sweeps, "starting": starting, "machine": MACHINE,
            "is_quick": True, "left_out": [], "took_s": 120.0}  # fmt: skip
    return to_html(report({**data, **more})).replace(" class=number", "")


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


def test_limits_and_wrong_guesses_do_not_mix_into_the_summary():
    others = [
        cell("live", 9.0, n_plans=3), cell("live", 9.0, cpu_ratio=0.25), cell("live", 9.0, memory_ratio=0.25),
        cell("live", 9.0, is_grid=True),
    ]  # fmt: skip
    made = quick_json([cell("live", 1e-5), *others])
    assert made["strategies"]["live"]["downtime_s"]["max"] < 1.0


def test_tails_are_nearest_ranks():
    assert quantiles([float(value) for value in range(1, 21)]) == {"median": 10.5, "p95": 19.0, "max": 20.0}
    assert quantiles([3.0]) == {"median": 3.0, "p95": 3.0, "max": 3.0}


def test_the_report_stands_alone_and_puts_the_papers_values_beside_ours():
    failed = [{"cell": cell("spawn", 1.0)["cell"], "error": "no <memory>"}]
    page = page_of([cell("live", 1e-5), cell("pause-resume", 0.2)], failed)
    assert "http" not in page  # nothing is fetched
    assert "a &amp; b" in page
    assert "no &lt;memory&gt;" in page
    assert "<td>6000</td>" in page  # the paper's pause-resume, in ms
    assert "20,000 times" in page


def test_the_report_says_what_moves_the_best_cut():
    page = page_of([cell("live", 1e-5)], [])
    assert "raw: the best cut that uses both moves with the network; CPU stress does not" in page
    assert "CPU stress does not, memory stress" not in page  # that was not tried
    assert "u8: the best cut that uses both does not move with the network; CPU stress moves it too" in page


def test_a_container_slower_than_pausing_is_explained_by_its_measured_steps():
    page = page_of([cell("pause-resume", 0.2), cell("spawn-container", 1.5)], [])
    assert "take 0.62 s by themselves" in page  # 0.22 for container and Python, 0.40 for the libraries
    page = page_of([cell("pause-resume", 2.0), cell("spawn-container", 1.5)], [])
    assert "by themselves" not in page


def test_memory_is_told_apart_by_edge_and_cloud():
    page = page_of([cell("live", 1e-5)], [])
    assert "<td>40 + 60</td><td>40 + 70</td><td>40 + 61</td>" in page


def test_what_a_process_holds_counts_for_its_node():
    held = memory_of((os.getpid(), os.getppid()))
    alone = memory_of((os.getpid(),))
    assert 0 < held.edge_pss_bytes < held.pss_bytes
    assert alone.edge_pss_bytes == alone.pss_bytes
    assert 0 < alone.edge_anonymous_bytes <= alone.edge_pss_bytes


def test_right_and_wrong_guesses_are_reported_apart():
    guessed = cell("standby", 1e-5, n_plans=3)
    guessed["switches"][2] |= {"is_wrong_guess": True, "downtime_s": 0.25}
    page = page_of([guessed], [])
    assert "<td>right</td><td>0.0105</td>" in page
    assert "<td>wrong</td><td>250</td>" in page


def test_a_grid_is_told_apart_into_its_points_and_a_refused_point_is_named():
    measured = cell("spawn", 0.5, is_grid=True, fps=5.0)
    points = [
        {"cpu_ratio": 1.0, "memory_ratio": 1.0, "limits": "none", "switches": switches(0.5), "refused": [],
         "frames": {}, "memory": measured["memory"]},
        {"cpu_ratio": 0.25, "memory_ratio": 1.0, "limits": "CPU", "switches": switches(1.0), "refused": [],
         "frames": {}, "memory": measured["memory"]},
        {"cpu_ratio": 1.0, "memory_ratio": 0.25, "limits": "memory", "switches": [],
         "refused": [{"plan": "p", "reason": "no memory"}], "frames": {}, "memory": measured["memory"]},
    ]  # fmt: skip
    cells, failed = points_of([{**measured, "points": points}])
    assert [(one["cell"]["cpu_ratio"], one["cell"]["memory_ratio"]) for one in cells] == [(1.0, 1.0), (0.25, 1.0)]
    assert [one["error"] for one in failed] == ["every switch was refused: no memory"]
    page = page_of([cell("live", 1e-5), *cells], failed)
    assert "<td>575 / 550 (max 650, n 3)</td>" in page  # to 5 and to 20 Mbit/s
    assert "at 25% CPU the median is 2.0 times" in page
    assert "<td>refused</td>" in page


def test_a_processor_slowed_without_control_groups_stands_in_the_same_table():
    slowed = [cell("spawn", 0.5, cpu_ratio=ratio, fps=5.0) for ratio in (0.5, 0.25)]
    page = page_of([cell("live", 1e-5), *slowed], [])
    assert "<td>memory 100%</td><td>not measured</td><td>not measured</td><td>575 / 550 (max 650, n 3)</td>" in page


def test_every_strategy_is_measured_in_both_runs():
    assert {one.strategy for one in agenda.quick()} == set(STRATEGIES)
    assert {one.strategy for one in agenda.table_one()} == set(STRATEGIES)
    for has_groups in (True, False):
        cells = agenda.full(has_groups=has_groups)
        assert len({one.key for one in cells}) == len(cells)
    assert not any(one.is_grid or one.memory_ratio < 1.0 for one in cells)  # nothing that takes control groups


def test_the_full_run_is_expected_to_end_within_fifty_minutes():
    for has_groups in (True, False):
        assert sum(map(agenda.expected_s, agenda.full(has_groups=has_groups))) < 50 * 60
    assert all(one.n_switches >= 20 for one in (*agenda.table_one(), *agenda.frame_rates(), *agenda.grid()))


def test_three_plans_are_visited_from_the_first_and_back():
    assert [turn(number, 3) for number in range(6)] == [1, 0, 2, 0, 1, 0]
    assert [turn(number, 2) for number in range(4)] == [1, 0, 1, 0]


def ended(code: int, *, said: str = "", is_out_of_memory: bool = False):
    """A stand-in for the process of a cell."""

    def run(cell: Cell, work: Path):
        out = json.dumps({"cell": asdict(cell), "switches": [1], "refused": []})
        return code, out, said, is_out_of_memory

    return run


def test_a_run_that_was_stopped_measures_only_what_is_left(tmp_path):
    cells = [LIVE, replace(LIVE, strategy="spawn"), replace(LIVE, strategy="standby")]
    asked = []

    def measure(cell: Cell, folder: Path, work: Path):
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(cell.strategy)
        return running.measured(cell, folder, work, run=ended(0))

    began_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_cells(cells, tmp_path, tmp_path, began_s=began_s, is_quick=False, measure=measure)
    assert asked == ["live", "spawn"]
    asked.clear()
    results, left_out = run_cells(cells, tmp_path, tmp_path, began_s=began_s, is_quick=False, measure=measure)
    assert asked == ["standby"]
    assert [one["cell"]["strategy"] for one in results] == ["live", "spawn", "standby"]
    assert not left_out


def test_a_cell_that_fails_does_not_end_the_run_and_is_tried_again(tmp_path):
    def run(run):
        return lambda cell, folder, work: running.measured(cell, folder, work, run=run)

    began_s, failing = time.monotonic(), run(ended(1, said="Traceback\nOSError: no such node"))
    cells = [LIVE, replace(LIVE, strategy="spawn")]
    results, _ = run_cells(cells, tmp_path, tmp_path, began_s=began_s, is_quick=False, measure=failing)
    assert [one["error"] for one in results] == ["OSError: no such node"] * 2
    results, _ = run_cells(cells, tmp_path, tmp_path, began_s=began_s, is_quick=False, measure=run(ended(0)))
    assert not any("error" in one for one in results)


def test_running_out_of_memory_is_a_result_and_not_measured_again(tmp_path):
    killed = ended(-signal.SIGKILL, is_out_of_memory=True)
    assert running.measured(LIVE, tmp_path, tmp_path, run=killed)["error"] == running.OUT_OF_MEMORY
    assert running.kept(LIVE, tmp_path)["error"] == running.OUT_OF_MEMORY
    spawned = replace(LIVE, strategy="spawn")
    assert "error" in running.measured(spawned, tmp_path, tmp_path, run=ended(-signal.SIGKILL))
    assert running.kept(spawned, tmp_path) is None  # killed by somebody, which says nothing about the limit


def test_cells_for_which_there_is_no_time_are_named(tmp_path):
    began_s = time.monotonic() - FULL_CELLS_S - 1.0
    results, left_out = run_cells([LIVE], tmp_path, tmp_path, began_s=began_s, is_quick=False)
    assert (results, left_out) == ([], [LIVE])
    assert "mobilenetv2, live, 20 frames/s" in page_of([cell("live", 1e-5)], [], left_out=[LIVE.words])


@pytest.mark.root
@pytest.mark.needs("control groups")
def test_a_process_over_its_memory_limit_is_told_from_one_that_was_killed():
    program = (
        "from experiments.neukonfig_2021.limits import limited\n"
        "with limited() as limits:\n"
        "    print(limits.set(0.5, 64 << 20), flush=True)\n"
        "    held = bytearray(b'x' * (256 << 20))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=60)
    assert "memory limit 67 MB" in out
    assert process.returncode == -signal.SIGKILL
    assert limits.leave(process.pid)
    assert not limits.leave(os.getpid())  # this process has no groups


@pytest.mark.root
@pytest.mark.needs("control groups", "containers")
def test_a_container_is_held_to_the_limits_of_its_node(tmp_path):
    program = (
        "import os, subprocess\n"
        "from pathlib import Path\n"
        "from experiments.neukonfig_2021.limits import limited\n"
        "from seamline.runtime.segments.containers import container_command, container_kind\n"
        "kind = container_kind()\n"
        "with limited() as limits:\n"
        "    limits.set(0.9, 1 << 30)\n"
        f"    words = container_command(kind, Path({str(tmp_path)!r}))\n"
        "    print(os.getpid())\n"
        "    print(subprocess.run([*words, '-c', 'print(open(\"/proc/self/cgroup\").read())'],"
        " capture_output=True, text=True).stdout)\n"
    )
    made = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    pid, *lines = made.stdout.splitlines()
    groups = {line.split(":")[1]: line.split(":")[2] for line in lines if line}
    assert groups["memory"].startswith("/seamline-cell-")
    assert groups["cpu"] == groups["memory"]
    assert not list(limits.ROOT.glob(f"*/seamline-cell-{pid}"))  # nothing is left behind
