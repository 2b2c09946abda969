"""`plan`: the best plan from profiles and links in words alone, what it costs, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seamline.cli.reference import undocumented_keys
from seamline.core.vocabulary.calibration import CutCalibration
from seamline.core.vocabulary.plans import Codec
from seamline.model.store.calibration import default_root, keep_calibration

BLOCKS_S = {"edge": [0.04, 0.08, 0.08, 0.2], "fog": [0.02, 0.04, 0.04, 0.1], "cloud": [0.004, 0.008, 0.008, 0.02]}
ELEMENTS = (150_528, 200_000, 50_000, 10_000, 1_000)
LINKS = ("--link", "edge:fog=20mbps,5ms", "--link", "fog:cloud=100mbps,5ms", "--link", "edge:cloud=18mbps,20ms")


@pytest.fixture
def nodes(tmp_path: Path) -> list[str]:
    """Flags for three nodes whose profiles were written by hand, as published measurements would be."""
    flags = []
    for node, block_s in BLOCKS_S.items():
        document = {
            "schema": "seamline.profile/1",
            "model": {"name": "toy"},
            "device": {"name": "elsewhere", "idle_w": 2.0, "busy_w": 6.0},
            "frame": {"raw_bytes": 150_528, "jpeg_bytes": 25_000},
            "cuts": [
                {"index": at, "after": f"l{at}", "bytes": 4 * n, "weights_before_bytes": 10_000_000 * at}
                for at, n in enumerate(ELEMENTS)
            ],
            "blocks": [{"from_cut": at, "to_cut": at + 1, "compute_s": {"median": s}} for at, s in enumerate(block_s)],
            "whole_s": {"median": sum(block_s)},
        }
        path = tmp_path / f"{node}.json"
        path.write_text(json.dumps(document))
        flags += ["--profile", f"{node}={path}"]
    return flags


def test_the_best_plan_its_parts_and_its_rivals_come_from_profiles_alone(seamline, nodes):
    outcome = seamline("plan", *nodes, *LINKS, "--private", "1", "--json")
    data = outcome.json
    assert outcome.exit_code == 0
    assert undocumented_keys("plan", data) == set()
    assert data["origin"] == "edge"
    stages = data["plan"]["stages"]
    assert (
        " > ".join(f"{s['node']}[{s['start']}:{s['stop']}]{s['codec'] or ''}" for s in stages) == data["plan"]["text"]
    )
    parts = data["parts"]
    spent_s = [part[key] for part in parts["stages"] for key in ("queue_s", "decode_s", "compute_s", "encode_s")]
    on_links_s = [link["transfer_s"] for link in (*parts["links"], parts["answer"])]
    assert sum(spent_s) + sum(on_links_s) == pytest.approx(data["latency_s"])
    alternatives = {alternative["name"]: alternative for alternative in data["alternatives"]}
    assert set(alternatives) == {"local", "offload", "split", "without cloud", "without fog"}
    assert alternatives["local"]["latency_s"] == pytest.approx(0.4)
    assert alternatives["offload"]["refusal"] == "the first 1 cuts may not leave `edge`"
    assert all(
        alternative["plan"] is None or alternative["cost"] >= data["cost"] * (1 - 1e-9)
        for alternative in alternatives.values()
    )
    assert "without cloud would cost" in data["why"]


def test_a_plan_by_hand_is_priced_beside_the_best_one(seamline, nodes):
    data = seamline("plan", *nodes, *LINKS, "--plan", "edge[0:2]u8 > cloud[2:4]", "--json").json
    # 0.12 s on the edge, 50,016 bytes at 18 Mbit/s, 0.028 s in the cloud, 4,000 bytes back, 20 ms each way
    assert data["latency_s"] == pytest.approx(0.12 + 50_016 * 8 / 18e6 + 0.028 + 4_000 * 8 / 18e6 + 0.04)
    assert data["refusal"] is None  # a plan by hand may use any codec
    assert data["best"]["text"] == "edge[0:0]jpeg > cloud[0:4]"
    assert data["best"]["latency_s"] < data["latency_s"]


def test_a_plan_by_hand_that_is_not_allowed_is_priced_and_refused(seamline, nodes):
    arguments = ("--private", "2", "--plan", "edge[0:1]f16 > cloud[1:4]")
    data = seamline("plan", *nodes, *LINKS, *arguments, "--json").json
    assert "cut 1 may not leave `edge`" in data["refusal"]
    assert data["latency_s"] > 0.0
    assert "may not be used" in seamline("plan", *nodes, *LINKS, *arguments).stdout


def test_a_slow_link_makes_the_plan_local(seamline, nodes):
    data = seamline("plan", *nodes, "--link", "edge:cloud=100kbps,20ms", "--json").json
    assert data["plan"]["text"] == "edge[0:4]"
    assert data["parts"]["answer"] is None


def test_it_is_said_from_which_link_speed_on_leaving_the_origin_pays(seamline, nodes):
    pays = {each["node"]: each for each in json.loads(seamline("plan", *nodes, *LINKS, "--json").stdout)["pays"]}
    assert list(pays) == ["fog", "cloud"]
    assert pays["cloud"]["split"].startswith("edge[0:")
    assert 0.0 < pays["cloud"]["whole_bps"] < pays["cloud"]["split_bps"]
    text = seamline("plan", *nodes, *LINKS, "--private", "1").stdout
    assert "splitting with `cloud` pays from" in text
    assert "the frame whole" not in text, "it may not leave"


def test_limits_are_given_in_words(seamline, nodes):
    def best(*arguments: str) -> str:
        return seamline("plan", *nodes, *LINKS, *arguments, "--json").json["plan"]["text"]

    assert best("--forbid", "cloud") == "edge[0:0]jpeg > fog[0:4]"
    assert best("--forbid", "cloud", "--forbid", "edge>fog") == "edge[0:4]"
    assert best("--forbid", "edge:jpeg", "--forbid", "edge:raw").startswith("edge[0:2]lossless")
    assert best("--pin", "l1=edge", "--codecs", "f16").startswith("edge[0:2]f16")
    assert best("--private", "1", "--trust", "fog").startswith("edge[0:0]jpeg > fog[0:")
    assert best("--memory", "cloud=40MB", "--memory", "fog=1MB", "--codecs", "f16").startswith("edge[0:2]f16")


def test_no_tensor_loses_a_bit_unless_that_is_asked_for(seamline, nodes):
    plain = seamline("plan", *nodes, *LINKS, "--private", "1", "--json").json["plan"]["text"]
    assert "f16" not in plain
    assert "u8" not in plain
    assert "u8" in seamline("plan", *nodes, *LINKS, "--private", "1", "--codecs", "u8", "--json").json["plan"]["text"]


def test_fewer_bits_are_used_where_calibrated_answers_agree(seamline, nodes):
    for path in nodes[1::2]:
        file = Path(path.partition("=")[2])
        file.write_text(file.read_text().replace('"name": "toy"', f'"name": "toy", "sha256": "{"ab" * 32}"'))
    folder = default_root() / ("ab" * 32)
    folder.mkdir(parents=True)
    known = [(Codec.Q4, 0.99, 12_000.0), (Codec.Q3, 0.95, 9_000.0)]
    entries = [
        CutCalibration(
            cut=2, codec=codec, n_frames=100, max_change_ratio=0.1, agreement_ratio=share, sent_bytes=n_bytes
        )
        for codec, share, n_bytes in known
    ]
    keep_calibration(folder, entries)

    def best(*arguments: str) -> str:
        return seamline("plan", *nodes, *LINKS, "--private", "1", *arguments, "--json").json["plan"]["text"]

    assert "q" not in best()
    assert "q" not in best("--min-agreement", "0.999")
    assert best("--min-agreement", "0.98").startswith("edge[0:2]q4 > ")
    assert best("--min-agreement", "0.9").startswith("edge[0:2]q3 > ")
    assert "q" not in best("--min-agreement", "0.9", "--codecs", "u8"), "that is the most"


def test_a_deadline_or_a_sum_picks_from_the_plans_that_no_other_beats(seamline, nodes):
    data = seamline("plan", *nodes, *LINKS, "--front", "--json").json
    assert undocumented_keys("plan", data) == set()
    frugal = seamline("plan", *nodes, *LINKS, "--slo", "10", "--json").json
    assert (frugal["objective"], frugal["cost"]) == ("slo=10", frugal["energy_j"])
    assert frugal["energy_j"] == min(each["energy_j"] for each in data["front"])
    quick = seamline("plan", *nodes, *LINKS, "--weigh", "latency=1,energy=0", "--json").json
    assert quick["plan"] == data["plan"]
    outcome = seamline("plan", *nodes, *LINKS, "--slo", "0.001")
    assert outcome.exit_code == 1
    assert "no plan answers within 1 ms" in outcome.stderr


def test_memory_that_cannot_hold_the_model_anywhere_is_named(seamline, nodes):
    arguments = [flag for node in BLOCKS_S for flag in ("--memory", f"{node}=5MB")]
    outcome = seamline("plan", *nodes, *LINKS, *arguments)
    assert outcome.exit_code == 1
    assert "needs 45.8 MB on `cloud`, which may use 5.0; without that `edge[0:0]jpeg > cloud[0:4]`" in outcome.stderr


def test_the_table_reads_without_json(seamline, nodes):
    outcome = seamline("plan", *nodes, *LINKS, "--objective", "throughput")
    assert outcome.exit_code == 0
    assert "without fog" in outcome.stdout
    assert "frames/s" in outcome.stdout


def test_whose_joules_count_decides_which_plan_takes_the_least(seamline, nodes):
    arguments = ("plan", *nodes, *LINKS, "--objective", "energy", "--private", "1", "--json")
    origin, every = (seamline(*arguments, "--energy-scope", scope).json for scope in ("origin", "all"))
    weighed = seamline(*arguments, "--energy-scope", "fog=0,cloud=0").json
    assert (origin["energy_scope"], every["energy_scope"]) == ("origin", "all")
    assert weighed["energy_j"] == pytest.approx(origin["energy_j"])
    assert origin["energy_j"] < every["energy_j"], "other machines' joules count for nothing"


def test_joules_of_a_plan_are_called_modelled(seamline, nodes):
    said = seamline("plan", *nodes, *LINKS).stdout
    assert "J (modelled) a frame" in said


def test_flags_about_pictures_mean_the_same_when_profiling_and_when_planning(seamline, open_model_path, tmp_path):
    """A model that takes pictures of another size, or in another way, is another model, with profiles of its own."""
    flags = ("--preprocess", "unit", "--size", "8x12")
    file = tmp_path / "edge.json"
    outcome = seamline("profile", str(open_model_path), *flags, "--budget", "0.2", "--output", str(file))
    assert outcome.exit_code == 0, outcome.stderr
    profiles = ("--profile", f"edge={file}", "--profile", f"fog={file}", "--link", "edge:fog=20mbps,5ms")
    assert seamline("plan", str(open_model_path), *profiles, *flags).exit_code == 0
    other = seamline("plan", str(open_model_path), *profiles, "--preprocess", "imagenet", "--size", "8x12")
    assert (other.exit_code, "profile this file, with the same flags" in other.stderr) == (2, True)
    swept = seamline("sweep", str(open_model_path), *profiles, *flags, "--json")
    assert swept.exit_code == 0, swept.stderr


def test_a_model_can_be_profiled_here_for_nodes_that_are_slower(seamline, model_path):
    arguments = ("--slowdown", "edge=8", "--slowdown", "cloud=1", "--link", "edge:cloud=20mbps,1ms", "--json")
    data = seamline("plan", str(model_path), *arguments).json
    assert data["model"] == "tiny"
    assert undocumented_keys("plan", data) == set()
    assert data["branches"]["is_prefix"]  # it has no branches
    assert data["branches"]["latency_s"] == pytest.approx(data["branches"]["prefix_latency_s"])
    local = next(alternative for alternative in data["alternatives"] if alternative["name"] == "local")
    assert local["plan"] == "edge[0:5]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no node has a profile"),
        (("--slowdown", "edge=8"), "none is named"),
        (("--link", "edge:mars=20mbps"), "`mars`, which has no profile"),
        (("--link", "edge:cloud=fast"), "`fast` is not a rate"),
        (("--origin", "mars"), "has no profile"),
        (("--objective", "joy"), "is not an objective"),
        (("--energy-scope", "mine"), "says nobody's energy"),
        (("--energy-scope", "fgo=0.5"), "`fgo` is none of the nodes whose energy counts"),
        (("--plan", "edge[0:2]"), "stops at cut 2"),
        (("--plan", "nonsense"), "is not a stage"),
        (("--pin", "nothing=edge"), "no cut after a layer `nothing`"),
        (("--forbid", "mars"), "`mars`, which is not among the nodes"),
        (("--forbid", "edge:zip"), "`zip` is not a codec"),
        (("--memory", "edge=much"), "`much` is not a size"),
        (("--weigh", "joy=1"), "no part of a weighted sum"),
        (("--weigh", "latency=1", "--slo", "1"), "give one of them"),
        (("--objective", "energy", "--slo", "1"), "give one of them"),
        (("--pin", "edge"), "names no layer"),
        (("--slo", "0"), "a deadline of 0 s"),
        (("--power", "mars=laptop"), "`mars`, which has no profile"),
        (("--power", "edge=laptopp"), "is not a power profile"),
    ],
)
def test_wrong_use_is_said_with_a_hint(seamline, nodes, arguments, said):
    given = () if said in ("no node has a profile", "none is named") else nodes
    outcome = seamline("plan", *given, *arguments)
    assert outcome.exit_code == 2
    assert said in outcome.stderr
    assert outcome.stderr.count("hint:") == 1


def test_joules_are_given_by_node_and_marked_and_power_figures_can_be_given_by_hand(seamline, nodes):
    by_hand = ("--power", "edge=raspberry-pi-4", "--power", "cloud=idle=0,busy=1000")
    every, changed = (
        seamline("plan", *nodes, *LINKS, "--private", "1", *more, "--json").json for more in ((), by_hand)
    )
    assert every["energy_source"] == changed["energy_source"] == "modelled"
    assert sum(every["energy_nodes_j"].values()) == pytest.approx(every["energy_j"])
    assert changed["plan"] == every["plan"]
    assert changed["energy_nodes_j"]["cloud"] > 100 * every["energy_nodes_j"]["cloud"]
    shown = seamline("plan", *nodes, *LINKS, "--private", "1", "--energy-scope", "origin").stdout
    assert "drawn (modelled): edge" in shown
    assert "; origin counts" in shown


def test_without_power_figures_energy_is_no_goal_and_the_way_out_is_said(seamline, nodes, tmp_path):
    for node in BLOCKS_S:
        path = tmp_path / f"{node}.json"
        document = json.loads(path.read_text())
        del document["device"]["idle_w"], document["device"]["busy_w"]
        path.write_text(json.dumps(document))
    outcome = seamline("plan", *nodes, *LINKS, "--objective", "energy")
    assert outcome.exit_code == 1
    assert "say what `edge` draws, with --power" in outcome.stderr
    data = seamline("plan", *nodes, *LINKS, "--json").json
    assert data["energy_source"] is None
    assert set(data["energy_nodes_j"].values()) == {None}
    data = seamline("plan", *nodes, *LINKS, "--objective", "energy", "--power", "edge=raspberry-pi-4", "--json").json
    assert data["plan"]["text"] == "edge[0:4]"


def test_profiles_of_different_models_do_not_mix(seamline, nodes, tmp_path):
    other = json.loads((tmp_path / "fog.json").read_text())
    other["cuts"].pop()
    other["blocks"].pop()
    (tmp_path / "fog.json").write_text(json.dumps(other))
    outcome = seamline("plan", *nodes)
    assert outcome.exit_code == 2
    assert "profile the same model on every node" in outcome.stderr


def test_a_profile_of_a_file_and_one_made_here_must_be_of_the_same_model(seamline, nodes, model_path):
    outcome = seamline("plan", str(model_path), *nodes[:2], "--slowdown", "cloud=1", "--link", "edge:cloud=20mbps,1ms")
    assert (outcome.exit_code, "profile the same model on every node" in outcome.stderr) == (2, True)
