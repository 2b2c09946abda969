"""Streams over a node in another process: counted, documented, and whole when that node dies, hangs or returns."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from seamline.cli.reference import undocumented_keys
from seamline.model import ModelStore, OrtEngine
from seamline.runtime.inputs.pictures import fitted
from seamline.runtime.sources.opening import open_source

SPLIT = "edge[0:4]u8 > fog[4:15]"
LOCAL = "edge[0:15]"
N_FRAMES = 30
IMPATIENT = ("--lease", "0.4")
"""Silence is what is tested."""


def test_a_split_stream_answers_every_frame_and_a_node_without_the_model_fetches_it(
    system, port, tmp_path, assert_nothing_lost
):
    fog = system.node("fog", port, "--memory", "1GB", cache=tmp_path / "empty")
    first = system.run("--frames", str(N_FRAMES), "--plan", SPLIT, over="edge,fog", port=port)
    assert first.wait() == 0, first.stderr
    frames = first.json["frames"]
    assert frames["accepted"] + frames["dropped_before_acceptance"] == N_FRAMES
    assert_nothing_lost(frames)
    assert first.json["plan_timeline"][0]["plan"] == SPLIT
    assert undocumented_keys("run", first.json) == set()

    listed = system.start("nodes", "--connect", f"tcp/127.0.0.1:{port}", "--cluster", system.cluster, "--json")
    assert listed.wait() == 0, listed.stderr
    assert undocumented_keys("nodes", listed.json) == set()
    (node,) = listed.json["nodes"]
    assert (node["name"], node["tier"], node["threads"]) == ("fog", "fog", 1)
    assert node["memory_bytes"] == 10**9  # what `--memory` says is what it reports
    assert len(node["models"]) == 1
    assert fog.popen.poll() is None
    assert (first.stderr, listed.stderr, fog.stderr) == ("", "", "")
    assert any(words.startswith("edge joined (edge, onnxruntime ") for words in fog.news)
    assert any(words.endswith(f"of edge began: {SPLIT}") for words in fog.news)


@pytest.mark.needs("openvino")
def test_a_stream_over_nodes_of_two_engines_answers_as_one_engine_does(system, port, tmp_path, assert_nothing_lost):
    fog = system.node("fog", port, "--provider", "openvino")
    path = tmp_path / "answers.jsonl"
    plan = "edge[0:4]raw > fog[4:15]"
    options = ("--frames", "3", "--plan", plan, "--provider", "cpu", "--save", str(path))
    run = system.run(*options, over="edge,fog", port=port)
    assert run.wait() == 0, run.stderr
    assert_nothing_lost(run.json["frames"])
    assert run.json["plan_timeline"][0]["plan"] == plan
    assert fog.stderr == "", "OpenVINO was asked for and something else computed"
    first = json.loads(path.read_text().splitlines()[0])
    assert first["frame"] == 0
    scores = whole_scores(system.model, system.video, tmp_path / "store")
    shares = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    best = first["labels"][0]
    assert best["class"] == int(shares.argmax())
    assert best["score"] == pytest.approx(float(shares.max()), rel=1e-4)


def whole_scores(model: Path, video: Path, folder: Path) -> np.ndarray:
    """What ONNX Runtime alone gives for the first picture of `video`."""
    store = ModelStore(folder)
    stored = store.add(model)
    frame = fitted(next(iter(open_source(str(video)).frames())), stored.preprocess)
    return OrtEngine(store, 1).prepare(stored.model_id, stored.whole).run({"frame": frame})["scores"][0]


def test_limits_of_a_run_are_kept_over_real_nodes(system, port):
    system.node("fog", port)
    limits = ("--policy", "offload", "--private", "1", "--trust", "fog", "--forbid", "fog:raw")
    run = system.run("--frames", "5", *limits, over="edge,fog", port=port)
    assert run.wait() == 0, run.stderr
    assert (
        run.json["plan_timeline"][0]["plan"] == "edge[0:0]jpeg > fog[0:15]"
    )  # private frames leave for a trusted node


def test_no_frame_is_lost_when_a_node_is_killed_and_it_is_used_again_when_it_returns(system, port, assert_nothing_lost):
    fog = system.node("fog", port)
    run = system.run("--events", "--seconds", "60", "--plan", SPLIT, over="edge,fog", port=port)
    seen = run.wait_plan("fog")
    os.killpg(fog.popen.pid, signal.SIGKILL)
    seen = run.wait_plan(LOCAL, after=seen)
    system.node("fog", port)
    seen = run.wait_plan("fog", after=seen)
    run.wait_until(lambda run: len(run.events) > seen + 2)
    run.popen.send_signal(signal.SIGINT)
    assert run.wait() == 130
    summary = run.events[-1]
    plans = [entry["plan"] for entry in summary["plan_timeline"]]
    begins = plans.index(SPLIT)  # the origin stands in where a busy node's first report has not come yet
    assert plans[begins : begins + 3] == [SPLIT, LOCAL, SPLIT]  # a busy machine may lose and find it once more
    assert set(plans) == {SPLIT, LOCAL}
    assert_nothing_lost(summary["frames"])
    to_local = next(switch for switch in summary["switches"] if switch["to_plan"] == LOCAL)
    assert "fog" in to_local["reason"]  # it is not there, or the link to it is down: both are true
    assert run.stderr == ""


def test_no_frame_is_lost_when_a_node_hangs_and_it_is_used_again_when_it_goes_on(system, port, assert_nothing_lost):
    fog = system.node("fog", port, *IMPATIENT)
    run = system.run("--events", "--seconds", "60", "--plan", SPLIT, *IMPATIENT, over="edge,fog", port=port)
    seen = run.wait_plan("fog")
    os.killpg(fog.popen.pid, signal.SIGSTOP)
    seen = run.wait_plan(LOCAL, after=seen)
    time.sleep(1.0)  # it is silent first, and lost after a lease
    os.killpg(fog.popen.pid, signal.SIGCONT)
    run.wait_plan("fog", after=seen)
    run.wait_until(lambda run: run.stalls)
    os.killpg(fog.popen.pid, signal.SIGSTOP)
    run.popen.send_signal(signal.SIGINT)  # with frames on their way to a node that will not answer
    assert run.wait() == 130
    assert_nothing_lost(run.events[-1]["frames"])
    assert run.stderr == ""
    stall = run.stalls[0]
    assert re.search(r"`fog` was silent for [\d.]+ s and is back: .* hint: start all nodes with --lease \d+$", stall)


def test_two_sources_are_two_streams_over_the_same_nodes(system, port, assert_nothing_lost):
    system.node("fog", port)
    source = str(system.video)
    run = system.start(
        "run", str(system.model), "--source", source, "--source", source, "--frames", "12", "--every-frame", "--json",
        "--over", "edge,fog", "--plan", SPLIT, "--connect", f"tcp/127.0.0.1:{port}", "--cluster", system.cluster,
        "--threads", "1", "--lease", "2",
    )  # fmt: skip
    assert run.wait() == 0, run.stderr
    assert len(run.events) == 2
    for summary in run.events:
        assert summary["frames"]["answered"] == 12
        assert_nothing_lost(summary["frames"])
        assert summary["plan_timeline"][0]["plan"] == SPLIT
