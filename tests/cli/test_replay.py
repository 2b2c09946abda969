"""`seamline replay`: a recorded run's decisions, decided again by the code of today."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seamline.cli.reference import undocumented_keys
from seamline.core.adaptation.policy import Adaptive
from seamline.core.link.report import LinkReport
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.pilot import Pilot
from seamline.core.session.spec import SessionSpec
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Plan
from seamline.meters.profile_file import from_json
from seamline.runtime.origin.recording import Recording

PROFILES = Path(__file__).parents[1] / "replay" / "mobilenetv2.profiles.json"
EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A stream's first plan, and another one when its link falls."""
    profiles = {profile.device.name: profile for profile in map(from_json, json.loads(PROFILES.read_text()))}
    spec = SessionSpec(
        origin=EDGE,
        others=(FOG, CLOUD),
        local=Plan.local(EDGE, len(profiles[EDGE].cuts)),
        objective=Objective.LATENCY,
        constraints=Constraints(n_private_cuts=1),
        policy=Adaptive(),
    )
    path, pilot = tmp_path / "run.jsonl", Pilot(spec)
    with Recording(path, spec) as writer:
        waiting = [*(ev.ProfileKnown(node, profile) for node, profile in profiles.items())]
        waiting += [event for node in (FOG, CLOUD) for event in link_of(node, 20e6)]
        waiting += [ev.Begin(), ev.Tick(), ev.Tick()]
        waiting += [*link_of(CLOUD, 1e6), *link_of(FOG, 1e6), ev.Tick(), ev.Tick()]
        now_s = 100.0
        for event in waiting:
            now_s += 0.5
            told = [event]
            while told:
                outputs = pilot.handle(told[0], now_s)
                writer.heard(told.pop(0), now_s, outputs)
                for output in outputs:
                    if isinstance(output, cmd.Prepare):
                        number = output.generation.number
                        told += [ev.NodePrepared(number, node, 0.1) for node in output.generation.plan.nodes]
                    elif isinstance(output, ev.SetRoute):
                        told.append(ev.Routed(output.route.generation, 1e-5))
    return path


def link_of(node: NodeId, bps: float) -> list[ev.PilotEvent]:
    report = {"rtt_s": 0.004, "goodput_bps": bps, "goodput_std_ratio": 0.05, "n_samples": 5}
    links = tuple(LinkReport(target=target, age_s=0.0, **report) for target in (EDGE, FOG, CLOUD) if target != node)
    return [
        ev.StatusReceived(node=node, tier=Tier(node), incarnation="a", queue_s=0.0, usable_memory_bytes=0, links=links),
        ev.LinkEstimated(LinkEstimate(source=EDGE, target=node, measured_at_s=100.0, **report)),
    ]


def test_a_recording_is_decided_the_same_again_and_every_key_is_documented(seamline, recording):
    outcome = seamline("replay", str(recording), "--json")
    data = outcome.json
    assert outcome.exit_code == 0
    assert undocumented_keys("replay", data) == set()
    assert data["n_different"] == 0
    assert [one["recorded"] for one in data["decisions"]] == [one["today"] for one in data["decisions"]]
    switches = [one for one in data["decisions"] if one["recorded"]["kind"] == "switch"]
    assert len(switches) == 2
    assert "fell from 20.0 to 1.0 Mbit/s" in switches[1]["recorded"]["reason"]


def test_each_decision_is_a_row_with_its_time_plan_and_reason(seamline, recording):
    outcome = seamline("replay", str(recording))
    assert outcome.exit_code == 0
    first, *_ = [line for line in outcome.stdout.splitlines() if "first plan: " in line]
    assert first.split()[:2] == ["4.000", "s"]
    assert first.rstrip().endswith("same")
    assert "serves" in outcome.stdout
    assert outcome.stdout.splitlines()[-1].endswith("all the same today")


def test_where_the_code_of_today_decides_otherwise_it_says_what_and_exits_with_0(seamline, recording):
    lines = recording.read_text().splitlines()
    at = next(at for at, line in enumerate(lines) if '"Decided"' in line)
    line = json.loads(lines[at])
    line["decision"] |= {"plan": "edge[0:20]", "reason": "as an older version said"}
    recording.write_text("\n".join([*lines[:at], json.dumps(line), *lines[at + 1 :]]) + "\n")
    outcome = seamline("replay", str(recording))
    assert outcome.exit_code == 0
    assert "as an older version said" in outcome.stdout
    assert "first plan: " in outcome.stdout
    assert "1 of them otherwise today, the first at 4.000 s" in outcome.stdout


def test_another_process_decides_the_same(seamline, recording):
    """Sets of names are in another order there."""
    other = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    there = subprocess.run(
        [sys.executable, "-m", "seamline", "replay", str(recording), "--json"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": other},
    )  # fmt: skip
    assert there.stdout == seamline("replay", str(recording), "--json").stdout
    assert json.loads(there.stdout)["n_different"] == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no file"),
        ("", "the recording is empty"),
        ("pixels", "line 1 is not JSON"),
        ('{"schema": "seamline.profile/1"}\n', "line 1: `schema` is 'seamline.profile/1'"),
        ("HEADER\n" + '{"at_s": 1.0, "event": {"kind": "Tock"}}\n', "line 2: there is no 'Tock'"),
        ("HEADER\n" + "[]\n", "line 2: neither an event nor a decision"),
    ],
)
def test_a_bad_file_is_wrong_use_with_a_hint(seamline, recording, text, words):
    header = recording.read_text().splitlines()[0]
    if text is None:
        recording.unlink()
    else:
        recording.write_text(text.replace("HEADER", header))
    outcome = seamline("replay", str(recording))
    assert outcome.exit_code == 2
    assert words in outcome.stderr
    assert str(recording) in outcome.stderr
    assert "hint: " in outcome.stderr
    assert outcome.stdout == ""
