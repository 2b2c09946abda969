"""Streams over a node in another process: counted, documented, and whole when that node dies, hangs or returns."""

from __future__ import annotations

import os
import signal

import pytest

from seamline.cli.reference import undocumented_keys

SPLIT = "edge[0:4]u8 > fog[4:15]"
N_FRAMES = 30


def test_a_split_stream_answers_every_frame_and_a_node_without_the_model_fetches_it(system, port, tmp_path):
    fog = system.node("fog", port, cache=tmp_path / "empty")
    first = system.run("--frames", str(N_FRAMES), "--plan", SPLIT, over="edge,fog", port=port)
    assert first.wait() == 0, first.stderr
    frames = first.json["frames"]
    assert frames["accepted"] + frames["dropped_before_acceptance"] == N_FRAMES
    assert frames["answered"] == frames["accepted"] > 0
    assert (frames["lost"], frames["duplicated"], frames["out_of_order"], frames["failed"]) == (0, 0, 0, 0)
    assert first.json["plan_timeline"][0]["plan"] == SPLIT
    assert undocumented_keys("run", first.json) == set()

    listed = system.start("nodes", "--connect", f"tcp/127.0.0.1:{port}", "--cluster", system.cluster, "--json")
    assert listed.wait() == 0, listed.stderr
    assert undocumented_keys("nodes", listed.json) == set()
    (node,) = listed.json["nodes"]
    assert (node["name"], node["tier"], node["threads"]) == ("fog", "fog", 1)
    assert len(node["models"]) == 1

    second = system.run("--frames", "10", "--plan", SPLIT, over="edge,fog", port=port)
    assert second.wait() == 0, second.stderr
    assert second.json["frames"]["lost"] == 0
    assert second.json["plan_timeline"][0]["plan"] == SPLIT
    assert fog.popen.poll() is None
    assert (first.stderr, listed.stderr, second.stderr, fog.stderr) == ("", "", "", "")


def test_no_frame_is_lost_when_a_node_is_killed_and_it_is_used_again_when_it_returns(system, port):
    fog = system.node("fog", port)
    run = system.run("--events", "--seconds", "60", "--plan", SPLIT, over="edge,fog", port=port)
    seen = run.wait_plan("fog")
    os.killpg(fog.popen.pid, signal.SIGKILL)
    seen = run.wait_plan("edge[0:15]", after=seen)
    system.node("fog", port)
    seen = run.wait_plan("fog", after=seen)
    run.wait_until(lambda run: len(run.events) > seen + 2)
    assert run.events[-1]["n_answered"] > run.events[seen]["n_answered"]
    run.popen.send_signal(signal.SIGINT)
    assert run.wait() == 130
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGSTOP])
def test_every_accepted_frame_is_answered_when_a_node_dies_or_hangs(system, port, signal_number):
    fog = system.node("fog", port)
    run = system.run("--frames", "100", "--events", "--plan", SPLIT, over="edge,fog", port=port)
    run.wait_plan("fog")
    os.killpg(fog.popen.pid, signal_number)
    assert run.wait() == 0, run.stderr
    summary = run.events[-1]
    assert summary["event"] == "summary"
    frames = summary["frames"]
    assert frames["answered"] == frames["accepted"] > 0
    assert (frames["lost"], frames["duplicated"], frames["out_of_order"], frames["failed"]) == (0, 0, 0, 0)
    assert [entry["plan"] for entry in summary["plan_timeline"]] == [SPLIT, "edge[0:15]"]
    (switch,) = summary["switches"]
    assert "`fog` is not there" in switch["reason"]
    assert run.stderr == ""


def test_a_node_that_hung_is_used_again_when_it_goes_on(system, port):
    fog = system.node("fog", port)
    run = system.run("--events", "--seconds", "60", "--plan", SPLIT, over="edge,fog", port=port)
    seen = run.wait_plan("fog")
    os.killpg(fog.popen.pid, signal.SIGSTOP)
    seen = run.wait_plan("edge[0:15]", after=seen)
    os.killpg(fog.popen.pid, signal.SIGCONT)
    run.wait_plan("fog", after=seen)
