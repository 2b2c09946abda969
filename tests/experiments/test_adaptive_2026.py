"""The adaptive-2026 experiment: its constants are the published ones, its days are fair, its report says what it is."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # experiments are not part of the package

from experiments.adaptive_2026 import emulated, simulated  # noqa: E402 # needs the path above
from experiments.adaptive_2026.devices import (  # noqa: E402 # needs the path above
    CLOUD,
    EDGE,
    ENGINE_TIMES,
    FOG,
    profiles,
)
from experiments.adaptive_2026.experiment import reaches, remarks  # noqa: E402 # needs the path above
from experiments.adaptive_2026.published import WHOLE_S  # noqa: E402 # needs the path above
from experiments.adaptive_2026.report import table  # noqa: E402 # needs the path above
from experiments.adaptive_2026.scenario import PHASES, day  # noqa: E402 # needs the path above

from seamline.core.values import Objective  # noqa: E402 # follows the others

SECONDS = 60.0


@pytest.mark.parametrize("model", WHOLE_S)
def test_every_machine_takes_the_published_time_for_the_whole_network(model: str) -> None:
    made = profiles(model)
    for node, seconds in ((EDGE, WHOLE_S[model].edge_s), (FOG, WHOLE_S[model].fog_s), (CLOUD, WHOLE_S[model].cloud_s)):
        assert made[node].whole_s.median == pytest.approx(seconds)
        assert sum(block.compute_s.median for block in made[node].blocks) == pytest.approx(seconds, rel=0.01)


def test_a_network_without_published_times_is_stretched_like_vgg16() -> None:
    for model in ("alexnet", ENGINE_TIMES):
        made, vgg = profiles(model), profiles("vgg16")
        ratio = made[FOG].whole_s.median / made[EDGE].whole_s.median
        assert ratio == pytest.approx(vgg[FOG].whole_s.median / vgg[EDGE].whole_s.median)


def test_a_day_is_the_same_for_every_policy_and_another_for_every_seed() -> None:
    assert day(3) == day(3)
    assert day(3) != day(4)
    drawn = day(3)
    assert drawn.starts_s[0] == 0.0
    assert list(drawn.starts_s) == sorted(drawn.starts_s)
    assert len(drawn.starts_s) == len(PHASES)
    assert sum(phase.share for phase in PHASES) == pytest.approx(1.0)


def test_the_day_begins_and_ends_quietly_so_that_the_start_is_a_good_moment() -> None:
    for phase in (PHASES[0], PHASES[-1]):
        assert (phase.wifi_mbps, phase.fog_load, phase.cloud_load) == (40.0, 1.0, 1.0)
        assert phase.uplink_mbps == 50.0


@pytest.fixture(scope="module")
def outcomes() -> list[simulated.Outcome]:
    return simulated.play(("alexnet",), 2, lambda what: None, SECONDS)


def test_every_policy_goes_through_the_same_frames(outcomes: list[simulated.Outcome]) -> None:
    for outcome in outcomes:
        offered = {outcome.run(policy).n_offered for policy in simulated.POLICIES}
        answered = [len(outcome.run(policy).latency_s) for policy in simulated.POLICIES]
        assert offered == {round(simulated.FPS["alexnet"] * SECONDS)}
        assert min(answered) >= 0.9 * max(answered), "a policy that drops frames in bad phases would look better"


def test_a_reduction_compares_the_means_of_one_day(outcomes: list[simulated.Outcome]) -> None:
    outcome = next(each for each in outcomes if each.objective is Objective.ENERGY and each.is_plain)
    runs = outcome.comparison.runs
    adaptive_j, start_j = (runs[name].energy_j_per_frame for name in ("adaptive", "static_at_start"))
    assert outcome.reduction("static_at_start", of="energy") == pytest.approx(1 - adaptive_j / start_j)


def test_the_figures_hold_medians_spreads_and_kinds(outcomes: list[simulated.Outcome]) -> None:
    entry = simulated.figures(outcomes, "alexnet")
    assert (entry["kind"], entry["n_runs"]) == ("simulated", 2)
    for what in ("latency", "energy"):
        for than in ("start", "best", "local", "offload"):
            low, high = entry[f"{what}_reduction_vs_{than}_spread"]
            assert low <= entry[f"{what}_reduction_vs_{than}"] <= high < 1.0
    assert entry["policies_for_energy"]["adaptive"]["energy_source"] == "modelled"
    assert entry["with_codecs"]["policies_for_latency"]["adaptive"]["first_plan"] != ""
    assert set(reaches(entry)) == {"energy", "latency"}


def test_where_a_network_has_nothing_to_adapt_the_remarks_say_why() -> None:
    outcomes = simulated.play(("mobilenetv2",), 1, lambda what: None, SECONDS, (simulated.PLAIN,))
    entry = simulated.figures(outcomes, "mobilenetv2")
    assert entry["energy_reduction_vs_start"] == 0.0
    assert not reaches(entry)["energy"]
    assert any("nothing to adapt" in remark for remark in remarks("mobilenetv2", entry))


def test_the_emulated_machines_are_only_slower_than_this_one() -> None:
    bed = emulated.testbed()
    assert [node.name for node in bed.nodes] == ["edge", "fog", "cloud"]
    assert all(node.slowdown >= 1.0 and node.power_spec is not None for node in bed.nodes)
    assert bed.changes[-1].rate_bps == bed.links[0].rate_bps, "the link comes back"


def test_what_is_printed_into_the_page_cannot_change_it() -> None:
    assert "<script>" not in table(("<script>",), [("<script>",)])
