"""`seamline chaos` with real processes: one short round, and Ctrl-C in the middle of a long run.

The seeds are of rounds that begin with one fault of 0.6 and 0.3 s.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil

from seamline.cli.reference import undocumented_keys

LIMIT_S = 100.0
CHAOS = (sys.executable, "-m", "seamline", "chaos", "--lease", "2")


def test_a_round_of_a_killed_node_loses_nothing_and_says_what_it_was(tmp_path):
    done = subprocess.run(
        [*CHAOS, "--seed", "1", "--minutes", "0", "--only", "kill", "--json"],
        capture_output=True, text=True, timeout=LIMIT_S, check=False, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    summary = json.loads(done.stdout)
    assert summary["complaints"] == []
    assert done.returncode == 0, done.stderr
    assert undocumented_keys("chaos", summary) == set()
    (fault,) = summary["faults"]
    assert (fault["kind"], fault["times"], fault["lost"]) == ("kill", 1, 0)
    assert fault["frames"] > 0
    for stream in summary["streams"]:
        assert stream["frames"]["answered"] == stream["frames"]["accepted"] > 0
        assert stream["largest_deviation"] < 1e-4
    assert re.match(r"kill (fog|cloud) for \d\.\d s: recovered in ", done.stderr)
    assert list(tmp_path.glob("seamline*")) == []


def test_ctrl_c_ends_every_process_and_leaves_no_file(tmp_path):
    with (tmp_path / "said").open("w") as said:
        chaos = subprocess.Popen(
            [*CHAOS, "--seed", "259", "--minutes", "5", "--only", "delay,loss"], stdout=subprocess.DEVNULL, stderr=said,
            env={**os.environ, "TMPDIR": str(tmp_path)}, start_new_session=True,
        )  # fmt: skip
    try:
        end_s = time.monotonic() + LIMIT_S
        while "recovered" not in (tmp_path / "said").read_text():
            assert chaos.poll() is None, (tmp_path / "said").read_text()
            assert time.monotonic() < end_s
            time.sleep(0.05)
        started = psutil.Process(chaos.pid).children(recursive=True)
        assert len(started) >= 3  # two nodes and the relay
        chaos.send_signal(signal.SIGINT)
        assert chaos.wait(LIMIT_S) == 130
        _, left = psutil.wait_procs(started, timeout=LIMIT_S)
        assert left == []
        assert list(tmp_path.glob("seamline*")) == []
    finally:
        if chaos.poll() is None:
            os.killpg(chaos.pid, signal.SIGKILL)
            chaos.wait()
