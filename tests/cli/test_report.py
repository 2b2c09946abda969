"""`seamline report`: recordings and JSON of commands as one file with figures, and their numbers beside it."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from seamline.cli.demo.story import Answer, Scene, scene_figures
from seamline.cli.demo.summary import DemoSummary, MachineFigures, SceneChange
from seamline.cli.reference import undocumented_keys
from seamline.core.cost.problem import EnergyScope
from seamline.core.session.commands import SwitchRecord
from seamline.core.session.frame_counts import FrameCounts
from seamline.core.vocabulary.documented import json_line, to_json
from seamline.core.vocabulary.plans import Plan
from seamline.report.points import front_of
from seamline.runtime.origin.latencies import Latencies
from seamline.runtime.origin.record import History
from seamline.runtime.origin.summary import RunSummary, run_summary

FETCHING = re.compile(r"""(?:src|href)=["'](?!#)|url\((?!#)|@import|https?://""")


@pytest.fixture
def profiles(tmp_path: Path) -> list[str]:
    """--profile for edge, fog and cloud."""
    arguments = []
    for profile in json.loads((Path(__file__).parents[1] / "replay" / "mobilenetv2.profiles.json").read_text()):
        path = tmp_path / f"{profile['device']['name']}.json"
        path.write_text(json.dumps(profile))
        arguments += ["--profile", f"{path.stem}={path}"]
    return arguments


@pytest.fixture
def ran() -> RunSummary:
    """A run with one switch."""
    before, after = Plan.parse("edge[0:3]"), Plan.parse("edge[0:1]raw > cloud[1:3]")
    switch = SwitchRecord(
        at_s=14.0, from_plan=before, to_plan=after, reason="edge->cloud rose", prepare_s=0.2,
        switch_s=1e-5, strategy="live",
    )  # fmt: skip
    latencies = Latencies()
    for at in range(8):
        latencies.add(0.1 + 0.01 * at)
    history = History(
        started_s=10.0,
        latency_s=latencies.figures(),
        latency_percentiles_s=latencies.percentiles(),
        longest_gap_s=1.0,
        n_failed=0,
        n_completed_elsewhere=0,
        plans=((10.0, before), (14.2, after)),
        switches=(switch,),
        gaps_s=(0.2,),
        drawn=(),
        frame_j=None,
        n_frames_j=0,
        frame_sources=frozenset(),
        energy_scope=EnergyScope.ALL,
        codecs={"raw": 4},
    )
    return run_summary(history, FrameCounts())


def demo_of(ran: RunSummary) -> DemoSummary:
    answers = {key: [Answer(at, float(at), 0.1 + at / 50) for at in range(8)] for key in ("adaptive", "offload")}
    scenes = [Scene("a good link", 0.0, 4.0), Scene("<b>weak", 4.0, 8.0)]
    return DemoSummary(
        adaptive=ran,
        testbed="demo",
        model="tiny",
        seconds=8.0,
        fps=1.0,
        private=1,
        allowed_codecs="f16",
        machines={"edge": MachineFigures(machine="raspberry-pi-4", slowdown=2.0, model_s=0.5)},
        baselines={},
        scenes=scene_figures(scenes, answers),
        scene_changes=(SceneChange(at_s=4.0, what="link edge-cloud to 2 Mbit/s"),),
        answers={key: tuple((one.at_s, one.latency_s) for one in given) for key, given in answers.items()},
    )


def page_of(seamline, *files: Path, to: Path) -> str:
    outcome = seamline("report", *map(str, files), "-o", str(to))
    assert outcome.exit_code == 0, outcome.stderr
    page = to.read_text()
    HTMLParser().feed(page)
    assert not FETCHING.search(page), "a report stands alone"
    return page


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_recording_shows_its_time_line_switches_cuts_front_and_machines(seamline, recording, tmp_path):
    page = page_of(seamline, recording, to=tmp_path / "run.html")
    for words in ("Through time", "fell from 20.0 to 1.0 Mbit/s", "Pareto front", "What could be chosen",
                  "Decided again", "all come to the same plan", "Seamline", "whole model"):  # fmt: skip
        assert words in page
    assert page.count("<svg") >= 5
    switches = rows_of(tmp_path / "run.switches.csv")
    assert switches[0]["from"] == "A", "the plan of the strip"
    assert "fell from 20.0 to 1.0 Mbit/s" in switches[1]["reason"]
    frames = [row for row in rows_of(tmp_path / "run.timeline.csv") if row["series"] == "latency"]
    assert [float(row["seconds_or_bits_per_second"]) for row in frames] == pytest.approx([0.2, 0.21, 0.22])
    by_plan = {row["part"]: float(row["seconds"]) for row in rows_of(tmp_path / "run.by-plan.csv")}
    assert by_plan["edge computes"] == pytest.approx(0.05)
    assert sum(by_plan.values()) == pytest.approx(0.21), "nothing of the latency is left out"
    assert {row["cut"] for row in rows_of(tmp_path / "run.cuts-cloud.csv")} >= {"0", "20"}


def test_the_same_report_is_written_in_the_same_bytes(seamline, recording, tmp_path):
    first = page_of(seamline, recording, to=tmp_path / "a.html")
    assert page_of(seamline, recording, to=tmp_path / "b.html") == first


def test_a_run_and_a_demo_are_drawn_from_their_json(seamline, ran, tmp_path):
    (tmp_path / "run.json").write_text(json_line(to_json(ran)))
    page = page_of(seamline, tmp_path / "run.json", to=tmp_path / "run.html")
    assert "edge-&gt;cloud rose" in page
    assert "edge[0:1]raw &gt; cloud[1:3]" in page
    (tmp_path / "demo.json").write_text(json_line(to_json(demo_of(ran))))
    page = page_of(seamline, tmp_path / "demo.json", to=tmp_path / "demo.html")
    assert "JPEG offload (not allowed)" in page
    assert "&lt;b&gt;weak" in page
    assert "<b>" not in page
    assert "link edge-cloud to 2 Mbit/s" in page


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (("sweep", "--link", "edge:cloud=20mbps,5ms"), ("every cut between edge and cloud", "cuts-cloud")),
        (("plan", "--link", "edge:cloud=20mbps,5ms", "--front"), ("Pareto front", "front")),
        (("simulate", "--link", "edge:fog=20mbps,5ms", "--link", "fog:cloud=100mbps,1ms", "--seconds", "20",
          "--fps", "2", "--policy", "adaptive", "--policy", "local"), ("policies side by side", "cdf")),
    ],
)  # fmt: skip
def test_what_commands_print_is_drawn(seamline, profiles, tmp_path, command, shown):
    printed = seamline(command[0], *profiles, *command[1:], "--json").stdout
    (tmp_path / "out.json").write_text(printed)
    words, numbers = shown
    assert words in page_of(seamline, tmp_path / "out.json", to=tmp_path / "report.html")
    assert len(rows_of(tmp_path / f"report.{numbers}.csv")) > 1


def test_a_name_in_a_file_leads_to_no_other_folder(seamline, profiles, tmp_path):
    printed = json.loads(seamline("sweep", *profiles, "--link", "edge:cloud=20mbps,5ms", "--json").stdout)
    (tmp_path / "out.json").write_text(json.dumps({**printed, "target": "../cloud"}))
    page_of(seamline, tmp_path / "out.json", to=tmp_path / "in" / "report.html")
    assert [path.name for path in (tmp_path / "in").glob("*.csv")] == ["report.cuts-.._cloud.csv"]


def test_a_point_is_of_the_front_where_no_other_is_as_low_in_both_and_lower_in_one():
    assert front_of([(1, 3), (2, 2), (2, 3), (3, 2), (1, 3)]) == [True, True, False, False, True]


def test_several_files_are_chapters_behind_a_comparison(seamline, recording, ran, tmp_path):
    (tmp_path / "run.json").write_text(json_line(to_json(ran)))
    (tmp_path / "replay.json").write_text(seamline("replay", str(recording), "--json").stdout)
    files = (recording, tmp_path / "run.json", tmp_path / "replay.json")
    page = page_of(seamline, *files, to=tmp_path / "all.html")
    assert page.index("Latency side by side") < page.index("1. Recorded run") < page.index("2. A stream")
    assert "3. Replay of" in page
    head = (tmp_path / "all.side-by-side.csv").read_text().splitlines()[0]
    assert head == "percentile,1. run_s,2. this run_s"


def test_a_pdf_is_written_with_every_figure_on_a_page(seamline, recording, tmp_path):
    outcome = seamline("report", str(recording), "-o", str(tmp_path / "run.pdf"), "--json")
    assert undocumented_keys("report", outcome.json) == set()
    written = (tmp_path / "run.pdf").read_bytes()
    assert written.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", written)) >= 6
    assert outcome.json["files"][0] == str(tmp_path / "run.pdf")
    assert all(Path(name).stat().st_size for name in outcome.json["files"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no file"),
        ("", "is empty"),
        ("not json", "is neither a recording nor JSON"),
        ('{"hello": 1}', "is nothing that a report is made of"),
        ('{"links": [], "target": 3}', "looks like `seamline sweep --json`, but"),
        ('{"schema": "seamline.session/1", "session": {}}', "`schema` is 'seamline.session/1'"),
    ],
)
def test_a_file_that_is_no_run_is_refused_with_a_hint(seamline, tmp_path, content, said):
    path = tmp_path / "given.json"
    if content is not None:
        path.write_text(content)
    outcome = seamline("report", str(path), "-o", str(tmp_path / "out.html"))
    assert outcome.exit_code != 0
    assert said in outcome.stderr
    assert "hint: " in outcome.stderr
    assert not (tmp_path / "out.html").exists()


def test_another_kind_of_file_is_refused_before_anything_is_read(seamline, tmp_path):
    outcome = seamline("report", str(tmp_path / "none.json"), "-o", str(tmp_path / "out.docx"))
    assert outcome.exit_code == 2
    assert "end it in .html or .pdf" in outcome.stderr
