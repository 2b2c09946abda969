"""`seamline demo`: what it refuses before it starts anything. Demos that run are in tests/system."""

from __future__ import annotations

from dataclasses import replace

import pytest

from seamline.cli.commands import demo
from seamline.cli.demo.story import Answer, Scene, scene_figures
from seamline.cli.demo.summary import DemoSummary, MachineFigures
from seamline.core.session.commands import SwitchRecord
from seamline.core.session.frame_counts import FrameCounts
from seamline.core.vocabulary.plans import Plan
from seamline.runtime.origin.record import Recorder
from seamline.runtime.origin.summary import run_summary
from seamline.testbed import demo_testbed_path

TWO_NODES = """
name = "two"
node = [{ name = "edge", tier = "edge" }, { name = "fog", tier = "fog" }]
link = [{ between = ["edge", "fog"], rate_mbps = 50, delay_ms = 1 }]
"""


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (["--testbed", "nowhere.toml"], "there is no file nowhere.toml"),
        (["--source", "nowhere.mp4"], "no video, folder or camera `nowhere.mp4`"),
        (["--model", "nowhere.onnx"], "there is no model `nowhere.onnx`"),
        (["--objective", "speed"], "`speed` is not an objective"),
        (["--seconds", "1"], "Invalid value for '--seconds'"),
        (["--kill", "fog"], "`fog` is not a kill"),
        (["--kill", "fog@soon"], "`fog@soon` is not a kill"),
        (["--kill", "frog@3"], "testbed `demo` has no node `frog`"),
        (["--kill", "edge@3"], "frames enter at `edge`: without it there is no stream"),
        (["--kill", "fog@99"], "fog@99 comes after the end of a run"),
    ],
)
def test_wrong_use_is_said_before_anything_starts(seamline, model_path, arguments, fact):
    model = () if "--model" in arguments else ("--model", str(model_path))
    outcome = seamline("demo", *model, *arguments)
    assert outcome.exit_code == 2, outcome
    assert outcome.stdout == ""
    error, hint = outcome.stderr.splitlines()
    assert fact in error
    assert hint.startswith("hint: ")


def test_an_unknown_key_of_a_testbed_file_names_the_nearest(seamline, tmp_path):
    path = tmp_path / "bed.toml"
    path.write_text(demo_testbed_path().read_text(encoding="utf-8").replace("machine =", "machin ="))
    outcome = seamline("demo", "--testbed", str(path))
    assert outcome.exit_code == 2
    assert outcome.stderr == f"error: {path}: unknown key `node[0].machin`\nhint: did you mean `machine`?\n"


def test_what_the_edge_cannot_do_is_the_demos_own_error(seamline, tmp_path):
    path, bed = tmp_path / "noise.onnx", tmp_path / "two.toml"
    path.write_bytes(bytes(range(256)) * 20)
    bed.write_text(TWO_NODES, encoding="utf-8")
    outcome = seamline("demo", "--testbed", str(bed), "--model", str(path), "--no-baselines")
    assert outcome.exit_code == 1
    assert outcome.stderr == f"error: `{path}` is not ONNX\nhint: export the model to ONNX first\n"


def test_a_testbed_of_one_node_is_no_demo(seamline, tmp_path):
    path = tmp_path / "bed.toml"
    path.write_text('[[node]]\nname = "edge"\ntier = "edge"\n')
    outcome = seamline("demo", "--testbed", str(path))
    assert outcome.exit_code == 2
    assert outcome.stderr == "error: testbed `bed` has one node only\nhint: add a second [[node]]\n"


def test_the_report_says_what_each_policy_took_and_what_was_lost(capfd):
    before, after = Plan.parse("edge[0:5]"), Plan.parse("edge[0:2]u8 > fog[2:5]")
    record = SwitchRecord(
        at_s=12.5,
        from_plan=before,
        to_plan=after,
        reason="the link rose",
        prepare_s=0.01,
        switch_s=0.0,
        strategy="live",
    )
    history = Recorder(10.0).history()
    ran = run_summary(
        replace(history, switches=(record,), gaps_s=(None,), plans=((10.0, before), (12.5, after))),
        FrameCounts(accepted=7, answered=7),
    )
    answers = {"adaptive": [Answer(0, 1.0, 0.2), Answer(1, 2.0, 0.2)], "static_at_start": [Answer(0, 1.0, 0.4)]}
    summary = DemoSummary(
        adaptive=ran,
        testbed="demo",
        model="tiny",
        seconds=5.0,
        fps=2.0,
        private=1,
        allowed_codecs="f16",
        machines={"edge": MachineFigures(machine=None, slowdown=2.0, model_s=None)},
        baselines={},
        scenes=scene_figures([Scene("all", 0.0, 5.0)], answers),
        scene_changes=(),
    )
    demo._print_report(summary)
    said = capfd.readouterr().out
    assert "200 ms        400 ms" in said
    assert "7 frames accepted, 7 answered, 0 lost" in said
    assert "1 switches" in said
    assert '50 % less time in "all"; it lost no frame.' in said
