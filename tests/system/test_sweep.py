"""`seamline sweep --measure`: two processes over a shaped link, every chosen cut run, and none left behind."""

from __future__ import annotations

import json
import signal

import pytest

from seamline.cli.reference import undocumented_keys

DELAY_S = 0.02
LINK = ("--link", "edge:cloud=40mbps,20ms")
LAST = 15


@pytest.fixture
def temporary(tmp_path):
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


def sweep(system, temporary, *options: str):
    return system.start(
        "sweep", str(system.model), *LINK, "--slowdown", "edge=4", "--slowdown", "cloud=2", "--measure",
        "--frames", "3", *options, TMPDIR=str(temporary),
    )  # fmt: skip


def test_measured_points_stand_beside_predicted_ones(system, temporary, tmp_path):
    run = sweep(system, temporary, "--cuts", "3", "--json", "-o", str(tmp_path / "out"))
    assert run.wait() == 0, run.stderr
    data = run.json
    assert undocumented_keys("sweep", data) == set()
    (link,) = data["links"]
    assert len(link["cuts"]) == LAST + 1
    measured = {each["cut"]: each["measured_s"] for each in link["cuts"] if each["measured_s"] is not None}
    assert set(measured) == {0, 8, LAST, link["best_cut"]}
    assert link["measured_best_cut"] in measured
    assert link["median_error_ratio"] >= 0.0
    for cut, found in measured.items():
        assert found["n"] == 3
        assert 0.0 < found["min"] <= found["median"] <= found["max"]
        if cut < LAST:  # no frame is back before the link has delayed it there and its answer back
            assert found["min"] >= 2 * DELAY_S
    assert link["rtt_s"] >= 2 * DELAY_S  # measured, not as given
    page = (tmp_path / "out" / "sweep.html").read_text()
    assert page.count("measured (n 3)") == 1
    assert json.loads((tmp_path / "out" / "sweep.json").read_text())["links"] == data["links"]
    assert list(temporary.glob("seamline*")) == []


def test_ctrl_c_ends_a_measured_sweep_with_all_its_processes(system, temporary, descendants, wait_gone):
    run = sweep(system, temporary)
    run.wait_until(lambda run: len(descendants(run.popen.pid)) >= 2)
    started = descendants(run.popen.pid)
    run.popen.send_signal(signal.SIGINT)
    assert run.wait() == 130
    for pid in started:
        wait_gone(pid)
    assert "Traceback" not in run.stderr
    assert list(temporary.glob("seamline*")) == []
