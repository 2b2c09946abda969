"""`seamline simulate`: files in, policies side by side out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seamline.cli.reference import undocumented_keys
from seamline.sim import POLICIES

REPLAY = Path(__file__).parents[1] / "replay" / "mobilenetv2.profiles.json"


@pytest.fixture
def profiles(tmp_path: Path) -> list[str]:
    """--profile for edge, fog and cloud."""
    arguments = []
    for profile in json.loads(REPLAY.read_text()):
        name = profile["device"]["name"]
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(profile))
        arguments += ["--profile", f"{name}={path}"]
    return arguments


def test_all_policies_are_compared_and_every_key_is_documented(seamline, profiles: list[str], tmp_path: Path):
    trace = tmp_path / "trace.csv"
    trace.write_text("time_s,mbps\n0,20\n20,2\n40,20\n")
    outcome = seamline(
        "simulate", "mobilenetv2", *profiles, "--trace", f"edge:fog={trace}", "--link", "fog:cloud=100,5",
        "--private", "1", "--fps", "2", "--json",
    )  # fmt: skip
    data = outcome.json
    assert outcome.exit_code == 0
    assert undocumented_keys("simulate", data) == set()
    assert set(data["policies"]) == set(POLICIES)
    assert data["n_frames"] == 120
    assert data["regret_ratio"] < 0.2
    assert data["switches"][0]["at_s"] > 20.0


def test_the_demos_testbed_is_simulated_as_a_table(seamline, profiles: list[str]):
    from seamline.testbed import demo_testbed_path

    outcome = seamline(
        "simulate", *profiles, "--testbed", str(demo_testbed_path()), "--seconds", "20", "--fps", "2",
        "--policy", "adaptive", "--policy", "local",
    )  # fmt: skip
    assert outcome.exit_code == 0
    assert "40 frames in 20 s, modelled" in outcome.stdout
    assert "edge[0:20]" in outcome.stdout


def test_a_testbeds_loads_slow_its_nodes_down(seamline, profiles: list[str], tmp_path: Path):
    text = '[[node]]\nname = "edge"\ntier = "edge"\n[[node]]\nname = "fog"\ntier = "fog"\n'
    text += '[[link]]\nbetween = ["edge", "fog"]\nrate_mbps = 20\n'
    load = '[[change]]\nnode = "edge"\nat_ratio = 0.5\nslowdown = 3\n'
    latency_s = []
    for number, content in enumerate((text, text + load)):
        path = tmp_path / f"{number}.toml"
        path.write_text(content)
        data = seamline(
            "simulate", *profiles[:4], "--testbed", str(path), "--seconds", "20", "--fps", "0.5", "--noise", "0",
            "--policy", "local", "--json",
        ).json  # fmt: skip
        latency_s.append(data["policies"]["local"]["latency_s"]["mean"])
    assert latency_s[1] == pytest.approx(2 * latency_s[0], rel=0.01), "half of the frames take three times as long"


def test_a_generated_trace_is_printed_as_a_file(seamline):
    lines = seamline("simulate", "--generate", "steps:1:100").stdout.splitlines()
    assert lines[0] == "time_s,mbps"
    assert lines[1].startswith("0.000,")
    data = seamline("simulate", "--generate", "steps:1:100", "--json").json
    assert undocumented_keys("simulate", data) == set()
    assert len(data["trace"]["times_s"]) == len(lines) - 1


def test_without_power_figures_of_others_only_the_origins_joules_are_known(seamline, profiles: list[str]):
    arguments = ("simulate", *profiles, "--link", "edge:fog=20,2", "--link", "fog:cloud=100,5", "--fps", "2",
                 "--seconds", "10", "--policy", "local", "--policy", "offload", "--json")  # fmt: skip
    every, origin = (seamline(*arguments, "--energy-scope", scope).json for scope in ("all", "origin"))
    assert every["policies"]["offload"]["energy_j_per_frame"] is None
    assert origin["policies"]["offload"]["energy_j_per_frame"] > 0.0
    assert every["policies"]["local"] == origin["policies"]["local"]


def test_power_figures_can_be_given_by_hand(seamline, profiles: list[str]):
    arguments = ("simulate", *profiles, "--link", "edge:fog=20,2", "--fps", "2", "--seconds", "10", "--policy",
                 "offload", "--power", "fog=laptop", "--json")  # fmt: skip
    data = seamline(*arguments).json
    assert data["energy_source"] == "modelled"
    assert data["policies"]["offload"]["energy_j_per_frame"] > 0.0


def test_a_link_reads_as_for_plan_or_in_bare_mbps_and_ms(seamline, profiles: list[str]):
    arguments = ("simulate", *profiles, "--fps", "2", "--seconds", "5", "--policy", "offload", "--json")
    bare, spelt = (seamline(*arguments, "--link", link).json for link in ("edge:fog=5e-1,2", "edge:fog=500kbps,0.002s"))
    assert bare["policies"] == spelt["policies"]


def test_nodes_without_power_figures_are_named_where_energy_counts(seamline, profiles: list[str]):
    arguments = ("simulate", *profiles, "--link", "edge:fog=20,2", "--fps", "2", "--seconds", "5", "--policy", "local",
                 "--objective", "energy")  # fmt: skip
    said = seamline(*arguments).stderr
    assert "`fog` has no power figures" in said
    assert "`edge`" not in said
    assert seamline(*arguments, "--energy-scope", "origin").stderr == ""


def test_a_narrow_terminal_keeps_the_policies_and_what_matters_most(seamline, profiles, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    outcome = seamline("simulate", *profiles, "--link", "edge:fog=20,2", "--fps", "2", "--seconds", "10")
    assert all(len(line) <= 60 for line in outcome.stdout.splitlines() if "adaptive is" not in line)
    assert all(name in outcome.stdout for name in (*POLICIES, "mean", "p95", "switches"))


def test_a_recorded_trace_is_as_long_as_the_run(seamline, profiles: list[str]):
    arguments = ("--trace", "edge:fog=real:oboe-02", "--fps", "2", "--policy", "local", "--json")
    assert 140.0 < seamline("simulate", *profiles, *arguments).json["seconds"] < 160.0


def test_the_same_scene_gives_the_same_figures_twice(seamline, profiles: list[str]):
    arguments = ("simulate", *profiles, "--trace", "edge:fog=markov:3:60", "--fps", "2", "--json")
    assert seamline(*arguments).stdout == seamline(*arguments).stdout


def test_a_model_can_be_profiled_here_for_nodes_that_are_slower(seamline, model_path):
    arguments = ("--slowdown", "edge=8", "--slowdown", "cloud=1", "--link", "edge:cloud=20,1", "--seconds", "5")
    data = seamline(
        "simulate", str(model_path), *arguments, "--policy", "local", "--policy", "static_best", "--json"
    ).json
    assert data["model"] == "tiny"
    assert data["policies"]["local"]["plan"] == "edge[0:5]"
    assert data["policies"]["static_best"]["frames_answered"] == 50


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no node has a profile"),
        (["--link", "edge:fog=fast"], "`fast` is not a rate"),
        (["--link", "edge:fog=20mbps,soon"], "`soon` is not a time"),
        (["--link", "edge:fog=0mbps"], "carries nothing"),
        (["--link", "edge:fog=-1"], "`-1mbps` is not a rate"),
        (["--link", "edge:mars=10"], "`mars` has no profile"),
        (["--trace", "edge:fog=nowhere.csv"], "there is no file nowhere.csv"),
        (["--trace", "edge:fog=real:?"], "one of fcc-00, "),
        (["--trace", "edge:fog=markov:x:y"], "not a generated trace"),
        (["--trace", "edge:edge=steps:1:60"], "links `edge` to itself"),
        (["--link", "edge:fog=20,2", "--seconds", "1", "--fps", "0.1"], "0.1 frames/s for 1 s are 0 frames"),
        (["--power", "mars=laptop"], "`mars`, which has no profile"),
        (["--policy", "luck"], "`luck` is not a policy"),
        (["--energy-scope", "mars=1"], "`mars` is none of the nodes whose energy counts"),
        (["--fps", "inf"], "Invalid value for '--fps'"),
        (["--seconds", "inf"], "a simulation has an end"),
        (["--objective", "fame"], "`fame` is not an objective"),
        (["--generate", "rain:1:2"], "`rain` is not a kind of trace"),
    ],
)
def test_wrong_use_is_said_and_exits_with_2(seamline, profiles: list[str], arguments: list[str], message: str):
    outcome = seamline("simulate", *(profiles if arguments else []), *arguments)
    assert outcome.exit_code == 2
    assert message in outcome.stderr


def test_profiles_of_different_models_are_refused(seamline, profiles: list[str]):
    outcome = seamline("simulate", "vgg19", *profiles)
    assert outcome.exit_code == 2
    assert "different models: mobilenetv2, vgg19" in outcome.stderr
