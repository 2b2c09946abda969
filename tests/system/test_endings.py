"""How processes end: SIGTERM, Ctrl-C twice, a parent that is gone; no traceback, and nothing left running.

One Ctrl-C ends the nodes and runs of the other files here: with 0 and with 130.
"""

from __future__ import annotations

import signal
import sys

import pytest


def test_a_node_that_is_asked_to_end_leaves_with_143_and_says_nothing(system, port):
    fog = system.node("fog", port)
    fog.popen.send_signal(signal.SIGTERM)
    assert fog.wait() == 143
    assert fog.stderr == ""


def test_a_run_that_is_asked_to_end_answers_what_it_accepted_and_says_so(system):
    run = system.run("--events")
    run.wait_until(lambda run: any(event.get("n_answered", 0) > 0 for event in run.events))
    run.popen.send_signal(signal.SIGTERM)
    assert run.wait() == 143
    summary = run.events[-1]
    assert summary["event"] == "summary"
    assert summary["frames"]["answered"] == summary["frames"]["accepted"] > 0
    latencies_s = [event["latency_s"] for event in run.events if event["event"] == "answer"]
    assert len(latencies_s) == summary["frames"]["answered"], "each is told as it comes"
    assert sum(latencies_s) / len(latencies_s) == pytest.approx(summary["latency_s"]["mean"])
    assert run.stderr == ""


def test_a_second_ctrl_c_does_not_break_the_ending(system):
    run = system.run("--events")
    run.wait_plan("edge")
    for _ in range(2):
        run.popen.send_signal(signal.SIGINT)
    assert run.wait() == 130
    assert "Traceback" not in run.stderr
    assert "terminate" not in run.stderr


def test_a_node_leaves_when_its_parent_is_killed(system, tmp_path, port, wait_gone):
    script = (
        "import os, subprocess, sys, time\n"
        "node = subprocess.Popen([*sys.argv[1:], '--parent-pid', str(os.getpid())], start_new_session=True)\n"
        "print(node.pid, file=open('pid', 'w'), flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = system.start(
        "node", "--json", "--name", "fog", "--cluster", system.cluster, "--listen", f"tcp/127.0.0.1:{port}",
        parent=(sys.executable, "-c", script),
    )  # fmt: skip
    parent.wait_until(lambda parent: bool(parent.events))
    node_pid = int((tmp_path / "pid").read_text())
    parent.popen.kill()
    parent.popen.wait()
    wait_gone(node_pid)
