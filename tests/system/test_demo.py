"""`seamline demo` on a small testbed: three processes, shaped links, all policies, and a node that is killed."""

from __future__ import annotations

import signal

import pytest

from seamline.cli.reference import undocumented_keys

LOCAL = "edge[0:15]"
TESTBED = """\
name = "two"
[[node]]
name = "edge"
tier = "edge"
slowdown = 4000.0
threads = 1
[[node]]
name = "fog"
tier = "fog"
threads = 1
[[link]]
between = ["edge", "fog"]
rate_mbps = 50
delay_ms = 1
"""
CHANGES = """\
[[change]]
at_ratio = 0.5
link = "edge-fog"
rate_mbps = 10
"""
SCENES = """\
[[scene]]
name = "all is well"
at_s = 0
[[scene]]
name = "the fog is away"
at_s = 1
[[change]]
node = "fog"
at_s = 0.5
slowdown = 2.0
[[change]]
node = "fog"
at_s = 1
up = false
[[change]]
node = "fog"
at_s = 1.5
up = true
"""


@pytest.fixture
def testbed(tmp_path):
    path = tmp_path / "two.toml"
    path.write_text(TESTBED + CHANGES, encoding="utf-8")
    return path


def demo(system, testbed, *options: str, **environment: str):
    return system.start(
        "demo", "--testbed", str(testbed), "--model", str(system.model), "--seconds", "2", "--fps", "10", *options,
        **environment,
    )  # fmt: skip


def test_policies_answer_the_same_frames_scene_by_scene_though_a_node_comes_goes_and_is_killed(
    system, testbed, tmp_path, assert_nothing_lost
):
    (tmp_path / "tmp").mkdir()
    testbed.write_text(TESTBED + SCENES, encoding="utf-8")
    run = demo(system, testbed, "--kill", "fog@2.5", "--json", "--seconds", "3", TMPDIR=str(tmp_path / "tmp"))
    assert run.wait() == 0, run.stderr
    data = run.json
    assert undocumented_keys("demo", data) == set()
    allowed = {name: baseline["allowed"] for name, baseline in data["baselines"].items()}
    assert allowed == {"local": True, "static_at_start": True, "offload": False}
    assert [scene["name"] for scene in data["scenes"]] == ["all is well", "the fog is away"]
    for name, run_of in {"adaptive": data, **data["baselines"]}.items():
        assert_nothing_lost(run_of["frames"])
        told = [scene["policies"][name] for scene in data["scenes"]]
        assert sum(policy["answered"] for policy in told) == run_of["frames"]["answered"] > 0
        assert sum(policy["lost"] for policy in told) == 0
    assert {entry["plan"] for entry in data["plan_timeline"]} > {LOCAL}
    for timeline_end in (data["plan_timeline"][-1], *data["baselines"].values()):
        assert timeline_end["plan"] == LOCAL  # the edge is left alone in the end
    assert data["scene_changes"] == [
        {"at_s": 0.5, "what": "node fog computes 2x as long"},
        {"at_s": 1.0, "what": "node fog is killed"},
        {"at_s": 1.5, "what": "node fog starts again"},
        {"at_s": 2.5, "what": "node fog is killed"},
    ]
    assert data["machines"]["edge"] == {"machine": None, "slowdown": 4000.0, "model_s": None}
    assert run.stderr == ""
    assert list((tmp_path / "tmp").glob("seamline*")) == []


def test_ctrl_c_ends_a_demo_with_all_its_processes(system, testbed, tmp_path, descendants, wait_gone):
    (tmp_path / "tmp").mkdir()
    run = demo(system, testbed, TMPDIR=str(tmp_path / "tmp"))
    run.wait_until(lambda run: len(descendants(run.popen.pid)) >= 2)
    started = descendants(run.popen.pid)
    run.popen.send_signal(signal.SIGINT)
    assert run.wait() == 130
    for pid in started:
        wait_gone(pid)
    assert "Traceback" not in run.stderr
    assert list((tmp_path / "tmp").glob("seamline*")) == []


def test_a_demo_off_a_terminal_tells_what_happens_and_ends_with_a_table(system, testbed):
    run = demo(system, testbed, "--no-baselines")
    assert run.wait() == 0, run.stderr
    assert "  0.0 s  scene 1 of 1: two" in run.stderr
    assert "link edge-fog to 10 Mbit/s" in run.stderr
    assert "Adaptive ran alone: it lost no frame." in run.stdout
