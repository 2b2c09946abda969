"""`sweep`: every cut of a model between two nodes, per link, as JSON, as figures and as a table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from seamline.cli.reference import undocumented_keys
from seamline.cli.reporting.costs import cuts_parts
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec
from seamline.runtime.lab.offline import parse_link, profiles_of
from seamline.runtime.lab.sweep import chosen_cuts
from seamline.runtime.lab.sweep_figure import sweep_figure
from seamline.runtime.lab.sweep_summary import MeasuredTimes, median_error_ratio, predicted_summary

EDGE, CLOUD = NodeId("edge"), NodeId("cloud")
ELEMENTS = (150_528, 200_000, 5_000, 10_000, 1_000)
BLOCKS_S = {"edge": [0.04, 0.08, 0.08, 0.2], "cloud": [0.004, 0.008, 0.008, 0.02]}


@pytest.fixture
def nodes(tmp_path: Path) -> list[str]:
    flags = []
    for node, block_s in BLOCKS_S.items():
        document = {
            "schema": "seamline.profile/1",
            "model": {"name": "toy<b>"},
            "device": {"name": node},
            "cuts": [{"index": at, "after": f"l{at}", "bytes": 4 * n} for at, n in enumerate(ELEMENTS)],
            "blocks": [{"from_cut": at, "to_cut": at + 1, "compute_s": {"median": s}} for at, s in enumerate(block_s)],
            "whole_s": {"median": sum(block_s)},
        }
        path = tmp_path / f"{node}.json"
        path.write_text(json.dumps(document))
        flags += ["--profile", f"{node}={path}"]
    return flags


def test_every_cut_is_split_into_edge_transfer_and_cloud(seamline, nodes):
    links = ("--link", "edge:cloud=20mbps,20ms", "--link", "edge:cloud=200mbps,1ms")
    data = seamline("sweep", *nodes, *links, "--json").json
    assert undocumented_keys("sweep", data) == set()
    slow, fast = data["links"]
    at_two = slow["cuts"][2]
    assert at_two["origin_s"] == pytest.approx(0.12)
    assert at_two["transfer_s"] == pytest.approx((20_000 + 4_000) * 8 / 20e6 + 0.04)
    assert at_two["target_s"] == pytest.approx(0.028)
    assert slow["cuts"][4]["transfer_s"] == 0.0
    assert slow["cuts"][4]["latency_s"] == pytest.approx(0.4)
    for link in (slow, fast):
        latencies = [each["latency_s"] for each in link["cuts"]]
        assert latencies[link["best_cut"]] == min(latencies)
    assert (slow["best_cut"], fast["best_cut"]) == (2, 0)


def test_the_best_cut_is_the_one_that_plan_finds(seamline, nodes):
    link = ("--link", "edge:cloud=20mbps,20ms")
    swept = seamline("sweep", *nodes, *link, "--codec", "f16", "--json").json["links"][0]
    planned = seamline("plan", *nodes, *link, "--codecs", "f16", "--json").json
    assert swept["best_plan"] == planned["plan"]["text"]
    assert swept["cuts"][swept["best_cut"]]["latency_s"] == pytest.approx(planned["latency_s"])


def test_figures_and_numbers_are_written_side_by_side(seamline, nodes, tmp_path):
    folder = tmp_path / "out"
    outcome = seamline("sweep", *nodes, "--link", "edge:cloud=20mbps,20ms", "-o", str(folder))
    assert outcome.exit_code == 0, outcome.stderr
    assert (folder / "sweep.cuts-cloud.csv").read_text().count("edge:cloud") == 5
    page = (folder / "sweep.html").read_text()
    assert "<svg" in page
    assert "<b>" not in page  # names come from files and are escaped
    assert "src=" not in page
    assert json.loads((folder / "sweep.json").read_text())["links"][0]["best_cut"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no --link was given"),
        (("--link", "edge:cloud=1mbps", "--measure"), "--measure runs a model on nodes that profile it"),
        (("--link", "edge:fog=1mbps"), "`fog`, which has no profile"),
        (("--link", "edge:cloud=1mbps", "--link", "cloud:edge=1mbps"), "between other nodes than the first"),
        (("--link", "edge:cloud=1mbps", "--codec", "jpeg"), "not a codec for tensors"),
    ],
)
def test_wrong_use_is_said_with_a_hint(seamline, nodes, arguments, said):
    outcome = seamline("sweep", *nodes, *arguments)
    assert outcome.exit_code == 2
    assert said in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--link", "edge>cloud=1mbps"), "has one direction only"),
        (("--link", "edge:cloud=0mbps"), "or is down"),
        (("--link", "edge:cloud=1mbps", "--slowdown", "edge=8"), "`cloud` is to be measured and has no slowdown"),
        (("--link", "edge:cloud=1mbps", "--slowdown", "edge=0.5", "--slowdown", "cloud=1"), "`edge` is to be measured"),
    ],
)
def test_what_no_testbed_can_be_is_not_measured(seamline, model_path, arguments, said):
    outcome = seamline("sweep", str(model_path), "--measure", *arguments)
    assert outcome.exit_code == 2
    assert said in outcome.stderr


@pytest.mark.parametrize(
    ("n_wanted", "best", "chosen"),
    [
        (None, 3, [0, 1, 2, 3, 4, 5, 6]),
        (3, 1, [0, 1, 3, 6]),
        (3, 3, [0, 3, 6]),
        (2, 6, [0, 6]),
        (99, 0, list(range(7))),
    ],
)
def test_measured_cuts_are_spread_evenly_and_include_the_best(n_wanted, best, chosen):
    assert chosen_cuts(7, n_wanted, best) == chosen


def test_measured_points_are_drawn_and_their_error_is_told(nodes):
    given = [("edge:cloud=20mbps,20ms", parse_link("edge:cloud=20mbps,20ms"))]
    swept = predicted_summary(profiles_of(None, nodes[1::2], ()), (EDGE, CLOUD), given, Codec.RAW)
    (link,) = swept.links
    assert median_error_ratio(link.cuts) is None
    cuts = list(link.cuts)
    for cut, factor in ((0, 0.5), (2, 1.0), (4, 2.0)):
        median = cuts[cut].latency_s * factor
        times = MeasuredTimes(median=median, min=0.9 * median, max=1.2 * median, n=5)
        cuts[cut] = replace(cuts[cut], measured_s=times)
    assert median_error_ratio(cuts) == pytest.approx(0.5)  # of 1.0, 0.0 and 0.5
    measured = replace(swept, links=(replace(link, cuts=tuple(cuts)),))
    (latencies, _) = sweep_figure(measured).axes
    assert "measured (n 5)" in [text.get_text() for text in latencies.get_legend().get_texts()]
    (drawn,) = cuts_parts(measured)
    assert sum(row[-1] is not None for row in drawn.numbers.rows) == 3
