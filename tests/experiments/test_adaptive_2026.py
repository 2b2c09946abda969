"""The adaptive-2026 experiment: its constants are the published ones, its days are fair, its report says what it is."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # experiments are not part of the package

from experiments.adaptive_2026 import bed, emulated, pool, simulated  # noqa: E402 # needs the path above
from experiments.adaptive_2026.cases import (  # noqa: E402 # needs the path above
    BOTH,
    MAIN,
    MODELS,
    N_NEEDED,
    SENSITIVITY,
    VARIANTS,
    Case,
    agenda,
)
from experiments.adaptive_2026.devices import (  # noqa: E402 # needs the path above
    CLOUD,
    EDGE,
    ENGINE_TIMES,
    FOG,
    profiles,
)
from experiments.adaptive_2026.experiment import main  # noqa: E402 # needs the path above
from experiments.adaptive_2026.figures import figures  # noqa: E402 # needs the path above
from experiments.adaptive_2026.judging import reaches, why  # noqa: E402 # needs the path above
from experiments.adaptive_2026.moments import energy_moments  # noqa: E402 # needs the path above
from experiments.adaptive_2026.published import WHOLE_S  # noqa: E402 # needs the path above
from experiments.adaptive_2026.report import simulated_plot  # noqa: E402 # needs the path above
from experiments.adaptive_2026.report_emulated import emulated as emulated_section  # noqa: E402 # needs the path above
from experiments.adaptive_2026.scenario import PHASES, day, phases  # noqa: E402 # needs the path above
from experiments.adaptive_2026.simulated import POLICIES  # noqa: E402 # needs the path above

from seamline.core.vocabulary.errors import SeamlineError  # noqa: E402 # follows the others
from seamline.core.vocabulary.objectives import Objective  # noqa: E402 # follows the others
from seamline.report.document import Document, Plot  # noqa: E402
from seamline.report.html import to_html  # noqa: E402
from seamline.sim import compare  # noqa: E402 # follows the others

SECONDS = 40.0


def case(model: str = "alexnet", objective: str = "energy", seed: int = 0, variant: str = "main") -> Case:
    return Case(model=model, objective=objective, seed=seed, duration_s=SECONDS, variant=variant)


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
        assert (phase.wifi_mbps, phase.uplink_mbps) == (40.0, 50.0)
        assert (phase.edge_load, phase.fog_load, phase.cloud_load) == (1.0, 1.0, 1.0)


def test_half_of_a_change_is_the_square_root_of_its_factor() -> None:
    for whole, half in zip(PHASES, phases(0.5), strict=True):
        assert half.wifi_mbps == pytest.approx((40.0 * whole.wifi_mbps) ** 0.5)
        assert half.fog_load == pytest.approx(whole.fog_load**0.5)
    assert phases() == PHASES
    assert {each.edge_load for each in phases(is_pi_loaded=False)} == {1.0}


def test_what_the_paper_is_compared_with_is_played_first() -> None:
    cases = agenda(3, 600.0)
    assert {(each.model, each.objective, each.seed, each.variant) for each in cases[:N_NEEDED]} == {
        (model, str(objective), 0, "main") for model in MODELS for objective in BOTH
    }
    assert {each.variant for each in cases[: 3 * N_NEEDED]} == {"main"}
    assert len({each.name for each in cases}) == len(cases), "outcomes are kept under these names"
    assert {each.variant for each in cases} == set(VARIANTS)


@pytest.fixture(scope="module")
def outcomes() -> list[simulated.Outcome]:
    days = ((MAIN.name, 0), (MAIN.name, 1), ("codecs", 0))
    cases = [case(objective=str(objective), seed=seed, variant=name) for objective in BOTH for name, seed in days]
    return [simulated.play(each) for each in (*cases, case(variant="origin"))]


def test_every_policy_goes_through_the_same_frames(outcomes: list[simulated.Outcome]) -> None:
    for outcome in outcomes:
        answered = [outcome.runs[policy].n_answered for policy in simulated.POLICIES]
        assert {run.n_offered for run in outcome.runs.values()} == {round(simulated.FPS["alexnet"] * SECONDS)}
        assert min(answered) >= 0.9 * max(answered), "a policy that drops frames in bad phases would look better"


def test_an_outcome_is_kept_as_it_was(outcomes: list[simulated.Outcome]) -> None:
    for outcome in outcomes:
        assert simulated.Outcome.from_json(outcome.to_json()) == outcome
    assert any(outcome.runs["adaptive"].latencies_s for outcome in outcomes), "one is plotted"


def test_a_reduction_compares_the_means_of_one_day(outcomes: list[simulated.Outcome]) -> None:
    outcome = next(each for each in outcomes if each.case == case())
    mine, other = outcome.runs["adaptive"], outcome.runs["static_at_start"]
    assert outcome.reduction("static_at_start", of="energy") == pytest.approx(1 - mine.energy_j / other.energy_j)


def test_the_figures_hold_medians_spreads_and_kinds(outcomes: list[simulated.Outcome]) -> None:
    entry = figures(outcomes, "alexnet")
    assert (entry["kind"], entry["n_runs"]) == ("simulated", 2)
    for what in ("latency", "energy"):
        for than in ("start", "best", "local", "offload"):
            low, high = entry[f"{what}_reduction_vs_{than}_spread"]
            assert low <= entry[f"{what}_reduction_vs_{than}"] <= high < 1.0
    assert entry["policies_for_energy"]["adaptive"]["energy_source"] == "modelled"
    assert entry["with_codecs"]["policies_for_latency"]["adaptive"]["first_plan"] != ""
    assert set(entry["variants"]) == {"origin"}
    assert "latency_reduction_vs_start" not in entry["variants"]["origin"], "it was played for energy alone"
    assert set(reaches(entry)) == {"energy", "latency"}


def test_joules_of_the_pi_alone_are_fewer_than_of_all_machines(outcomes: list[simulated.Outcome]) -> None:
    every, origin = (next(each for each in outcomes if each.case == case(variant=name)) for name in ("main", "origin"))
    assert origin.runs["offload"].energy_j < every.runs["offload"].energy_j
    assert origin.runs["local"].energy_j == pytest.approx(every.runs["local"].energy_j)


def test_why_a_network_misses_the_published_figure_is_said_in_joules() -> None:
    moments = energy_moments("mobilenetv2", 600.0)
    assert sum(each["share"] for each in moments) == pytest.approx(1.0)
    loaded = next(each for each in moments if each["what"] == "the Pi runs another program")
    assert loaded["split"] < loaded["local"]
    assert all(each["local"] < each["split"] for each in moments if each is not loaded)
    assert all(each["start"] == pytest.approx(each["local"]) for each in moments), "it starts on the Pi"
    model = {"energy_reduction_vs_start": 0.08, "latency_reduction_vs_start": 0.3}
    said = why(model, moments)
    assert said["latency"] is None, "it is reached"
    assert "8.0% less than the start's plan, published are 27.09% to 35.82%" in said["energy"]
    assert "All on the Pi (2.22 J a frame) is the least in" in said["energy"]
    assert "cheaper only while: the Pi runs another program (5.55 J alone," in said["energy"]
    least_j, start_j = 2.22 + loaded["share"] * (loaded["split"] - 2.22), 2.22 + loaded["share"] * 3.33
    assert f"{1 - least_j / start_j:.1%} less is all that can be saved" in said["energy"]


def test_kept_outcomes_are_not_played_again_and_what_is_late_is_named(tmp_path: Path) -> None:
    cases = [case(), case(objective="latency")]
    told: list[str] = []
    first, left_out = pool.play_all(cases[:1], tmp_path, told.append, budget_s=0.0, n_needed=1)
    assert (len(first), left_out) == (1, []), "it cannot be done without, and is not late"
    again, left_out = pool.play_all(cases, tmp_path, told.append, budget_s=0.0)
    assert again == first
    assert left_out == cases[1:]
    assert told[-1] == "1 of 2 cases were played before"


def test_an_outcome_that_was_cut_off_is_played_again(tmp_path: Path) -> None:
    kept = tmp_path / "cases" / pool.fingerprint()
    kept.mkdir(parents=True)
    (kept / f"{case().name}.json").write_text("{", encoding="utf-8")
    (kept / f"{case(seed=1).name}.json").write_text("[]", encoding="utf-8")
    assert pool.play_all([case(), case(seed=1)], tmp_path, lambda what: None, budget_s=0.0)[0] == []


def test_a_worker_that_fails_is_an_error_and_no_empty_report(tmp_path: Path) -> None:
    with pytest.raises(SeamlineError, match="could not be played"):
        pool.play_all([replace(case(), model="none")], tmp_path, lambda what: None, budget_s=600.0)


def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_is_played(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SeamlineError, match="cannot be written to"):
        main(quick=True, out=tmp_path / "file")


def test_every_variant_differs_from_the_scenario_in_one_thing() -> None:
    for variant in SENSITIVITY:
        same = replace(variant, name=MAIN.name, words=MAIN.words, objectives=MAIN.objectives)
        assert same != MAIN
        n_different = sum(
            getattr(same, name) != getattr(MAIN, name)
            for name in ("is_plain", "change_ratio", "is_pi_loaded", "scope", "radio")
        )
        assert n_different == 1


@pytest.mark.parametrize("is_short", [True, False])
def test_the_testbed_tells_the_scenarios_story(is_short: bool) -> None:
    phases = bed.story(is_short=is_short)
    made = bed.testbed(phases)
    assert [node.name for node in made.nodes] == ["edge", "fog", "cloud"]
    assert all(node.slowdown >= 1.0 and node.power_spec is not None for node in made.nodes)
    usual = {link.between: link.rate_bps for link in made.links} | {node.name: node.slowdown for node in made.nodes}
    for phase, at_ratio in zip(phases, bed.starts(phases), strict=True):
        now = usual | {change.between: change.rate_bps for change in made.changes if change.at_ratio <= at_ratio}
        now |= {load.node: load.slowdown for load in made.loads if load.at_ratio <= at_ratio}
        assert (now[bed.WIFI], now[bed.UPLINK]) == pytest.approx((1e6 * phase.wifi_mbps, 1e6 * phase.uplink_mbps))
        for node, load in (("edge", phase.edge_load), ("fog", phase.fog_load), ("cloud", phase.cloud_load)):
            assert now[node] == pytest.approx(usual[node] * load, abs=0.02)
    assert now == usual, "all is quiet again in the end"
    if not is_short:
        assert phases == PHASES, "nothing is left out"


@pytest.fixture(scope="module")
def emulated_figures() -> dict[str, Any]:
    """Two rounds that were not measured, beside what the simulator really says."""
    made = bed.testbed(bed.story(is_short=True))
    simulated = compare(bed.scene(made, profiles(bed.MODEL), 20.0, Objective.LATENCY), POLICIES).runs
    summary = {
        "energy": {"source": "modelled:x"},
        "switches": [{"at_s": 3.0, "reason": "a < b"}],
        "frames": {"completed_elsewhere": 1, "lost": 0},
        "plan_timeline": [{"plan": "edge[0:152]"}],
    }

    def played(latency_s: float) -> emulated.Played:
        answers = tuple(
            emulated.Answer(at_s=at, latency_s=latency_s, energy_j=2.0, plan=f"plan {at // 5}") for at in range(3, 15)
        )
        return emulated.Played(summary=summary, answers=answers)

    rounds = [{name: played(latency_s if name == "adaptive" else 0.4) for name in POLICIES} for latency_s in (0.2, 0.3)]
    return emulated.figures(rounds, simulated, (0.0, 10.0, 18.0))


def test_emulated_policies_are_compared_within_their_round_and_with_the_simulator(
    emulated_figures: dict[str, Any],
) -> None:
    for name in ("start", "best", "local", "offload"):
        assert emulated_figures[f"latency_reduction_vs_{name}"] == pytest.approx(0.375)
        assert emulated_figures[f"latency_reduction_vs_{name}_spread"] == pytest.approx([0.25, 0.5])
        assert emulated_figures[f"energy_reduction_vs_{name}"] == 0.0
    mine = emulated_figures["policies"]["adaptive"]
    assert mine["latency_apart_ratio"] == pytest.approx(mine["simulated_latency_s"] / 0.25 - 1.0)
    assert mine["latency_s_by_phase"] == [pytest.approx(0.25), pytest.approx(0.25), None]
    assert mine["frames_counted"] == 24
    assert len(emulated_figures["timelines"]["local"]) == 12


def test_the_report_draws_the_emulated_rounds_with_what_changed_and_the_plans(emulated_figures: dict[str, Any]) -> None:
    found = {
        "model": bed.MODEL, "fps": 1.0, "seconds": 20.0, "codecs": "lossless",
        "phases": [{"what": what, "at_s": at_s} for what, at_s in (("quiet", 0.0), ("<b>", 10.0), ("end", 18.0))],
        "changes": [{"at_s": 10.0, "what": "link <i>"}],
        "objectives": {"latency": emulated_figures},
    }  # fmt: skip
    parts = emulated_section(found)
    (drawn,) = [part for part in parts if isinstance(part, Plot)]
    latency, strip = drawn.figure.axes
    assert len(latency.get_legend().get_texts()) == len(POLICIES)
    assert len(strip.patches) == 3, "adaptive's plans, one after the other"
    assert " link <i>" in [each.get_text() for each in latency.texts]
    page = to_html(Document("emulated", parts))
    assert "37.5% [25%, 50%]" in page
    assert "<b>" not in page
    assert "a &lt; b" in page


def test_a_simulated_day_is_drawn_without_plans(outcomes: list[simulated.Outcome]) -> None:
    plotted = next(each for each in outcomes if each.runs["adaptive"].latencies_s)
    _, drawn = simulated_plot(plotted, SECONDS)
    assert isinstance(drawn, Plot)
    (latency,) = drawn.figure.axes
    assert len(latency.get_legend().get_texts()) == len(POLICIES)
    assert len(latency.texts) == len(PHASES)
