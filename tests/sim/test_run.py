"""One stream in virtual time: what it accepts, answers, measures and switches."""

import math
from dataclasses import replace

import numpy as np
import pytest

from seamline.config import Trace
from seamline.core.adaptation.policy import Adaptive, Fixed, Local, Static
from seamline.core.cost.formulas import breakdown
from seamline.core.speed import reprofiling as recheck
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.sim import alternating, play
from seamline.sim.policy_adapters import CorePolicyAdapter, Scheduled
from seamline.sim.run import SCHEDULE_MARGIN_S
from seamline.sim.stage_work import HEADER_BYTES, problem_of_scene

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
STEADY = Trace(times_s=(0.0,), rates_bps=(20e6,), length_s=float("inf"))
FELL = Trace(times_s=(0.0, 20.0), rates_bps=(20e6, 2e6), length_s=1e4)
SILENT = Trace(times_s=(0.0, 20.0, 26.0), rates_bps=(20e6, 0.0, 20e6), length_s=1e4)
LONGER = Trace(times_s=(0.0, 20.0), rates_bps=(20e6, 20e6), length_s=1e4, delays_s=(0.002, 0.2))
SPLIT = Plan.parse("edge[0:3]u8 > cloud[3:20]")


def test_a_quiet_run_takes_what_the_cost_formulas_say(make_scene):
    scene = make_scene(STEADY, noise_ratio=0.0, jitter_s=0.0)
    links = {
        (a, b): LinkEstimate(source=a, target=b, rtt_s=rtt_s, goodput_bps=20e6)
        for a, b, rtt_s in ((EDGE, CLOUD, 0.014), (CLOUD, EDGE, 0.014))
    }
    expected_s = breakdown(SPLIT, problem_of_scene(scene, links)).latency_s
    run = play(scene, CorePolicyAdapter(Fixed(SPLIT)))
    # headers are the simulation's, 0.13 ms each way at 20 Mbit/s
    headers_s = 2 * 8 * HEADER_BYTES / 20e6
    assert run.latency_s == pytest.approx(np.full(120, expected_s + headers_s), abs=1e-4)


def test_the_same_seed_gives_the_same_run_and_another_one_does_not(make_scene):
    runs = [play(make_scene(FELL, seed=seed), CorePolicyAdapter(Adaptive())) for seed in (1, 1, 2)]
    assert np.array_equal(runs[0].latency_s, runs[1].latency_s)
    assert runs[0].switches == runs[1].switches
    assert not np.array_equal(runs[0].latency_s, runs[2].latency_s)


def test_a_source_faster_than_the_plan_loses_frames_before_acceptance_only(make_scene):
    run = play(make_scene(STEADY, fps=10.0), CorePolicyAdapter(Local()))
    assert run.n_offered == 600
    assert run.n_accepted < 200  # 0.44 s each
    assert len(run.latency_s) == run.n_accepted
    assert run.wait_s.mean() > run.latency_s.mean()


def test_a_link_that_falls_is_noticed_within_two_seconds_and_the_reason_says_so(make_scene):
    run = play(make_scene(FELL), CorePolicyAdapter(Adaptive()))
    assert 20.0 < run.switches[0].at_s < 22.0
    assert "fell from" in run.switches[0].reason
    held = play(make_scene(FELL), CorePolicyAdapter(Static()))
    assert run.latency_s[50:].mean() < 0.8 * held.latency_s[50:].mean()


def test_a_link_whose_delay_grows_is_left_and_the_reason_says_so(make_scene):
    run = play(make_scene(LONGER), CorePolicyAdapter(Adaptive()))
    assert not run.plans[0][1].is_local
    assert run.plans[-1][1].is_local
    # a delay that grew shows in the frames' transfers first; once the shortest round trip of 10 s is long, it is named
    reasons = [switch.reason for switch in run.switches]
    assert any("edge->cloud fell from" in reason or "round trip edge->cloud rose" in reason for reason in reasons)
    assert 20.0 < run.switches[0].at_s < 32.0
    assert len(run.latency_s) == run.n_accepted


@pytest.mark.parametrize("policy", [Adaptive(), Static()])
def test_in_an_outage_every_accepted_frame_is_answered_at_home_and_the_split_returns(make_scene, policy):
    run = play(make_scene(SILENT), CorePolicyAdapter(policy))
    assert len(run.latency_s) == run.n_accepted
    assert run.latency_s.max() < 3.0  # the outage lasts 6 s
    assert [switch.to_plan.is_local for switch in run.switches][:1] == [True]
    assert not run.plans[-1][1].is_local
    returned_s = next(at_s for at_s, plan in run.plans if at_s > 20.0 and not plan.is_local)
    assert 26.0 < returned_s < 30.0


class Estimated(CorePolicyAdapter):
    """Holds a plan and has its links measured, as a real stream that holds one does."""

    knows_true_links = False


@pytest.mark.parametrize("trace", [FELL, alternating(20e6, 5e6, 2.0)])
def test_a_held_plan_that_is_told_of_its_links_takes_what_it_would_if_they_were_measured(make_scene, trace):
    told, measured = (play(make_scene(trace, fps=10.0), kind(Fixed(SPLIT))) for kind in (CorePolicyAdapter, Estimated))
    assert told.latency_s.mean() == pytest.approx(measured.latency_s.mean(), rel=0.01)
    assert told.wait_s.mean() == pytest.approx(measured.wait_s.mean(), rel=0.02)


def test_frames_that_were_late_once_do_not_make_all_after_them_late(make_scene):
    """Three late frames are run again at home, for longer than any that came meanwhile may wait behind them."""
    silent = Trace(times_s=(0.0, 20.0, 21.0), rates_bps=(30e6, 0.0, 30e6), length_s=1e4)
    run = play(make_scene(silent, fps=10.0), CorePolicyAdapter(Fixed(Plan.parse("edge[0:2]u8 > cloud[2:20]"))))
    assert 0 < run.n_late < 10
    assert run.latency_s[-200:].max() < 0.3


def test_a_slowed_node_is_noticed_by_its_frames(make_scene):
    scene = make_scene(STEADY, slowdowns={CLOUD: ((20.0, 12.0),)})
    run = play(scene, CorePolicyAdapter(Adaptive()))
    assert run.switches
    assert "cloud slowed" in run.switches[0].reason
    assert CLOUD not in run.plans[-1][1].nodes


def test_a_node_that_recovers_is_used_again_though_no_frame_went_to_it(make_scene):
    scene = make_scene(STEADY, slowdowns={CLOUD: ((10.0, 12.0), (30.0, 1.0))}, duration_s=90.0)
    run = play(scene, CorePolicyAdapter(Adaptive()))
    left, *_, returned = run.switches
    assert CLOUD not in left.to_plan.nodes
    assert 30.0 < returned.at_s < 30.0 + recheck.MOST_INTERVAL_S
    assert "cloud sped up from" in returned.reason
    assert run.plans[-1][1] == run.plans[0][1]


@pytest.mark.parametrize(
    ("loads", "at_most"),
    [
        (((30.0, 12.0), (60.0, 1.0)), 0.9),  # 158 ms to 191 over 300 s
        (tuple((20.0 * turn, 12.0 if turn % 2 else 1.0) for turn in range(1, 15)), 1.03),  # 195 to 193
    ],
)
def test_measuring_slow_nodes_anew_pays_when_load_ends_and_hardly_costs_when_it_keeps_coming_back(
    make_scene, monkeypatch, loads, at_most
):
    scene = make_scene(STEADY, slowdowns={CLOUD: loads}, duration_s=180.0)
    with_it = play(scene, CorePolicyAdapter(Adaptive()))
    monkeypatch.setattr(recheck, "is_due", lambda *arguments: False)
    without_it = play(scene, CorePolicyAdapter(Adaptive()))
    assert with_it.latency_s.mean() < at_most * without_it.latency_s.mean()


def test_a_schedule_is_followed_to_the_frame(make_scene):
    local = Plan.parse("edge[0:20]")
    scene = make_scene(STEADY)
    run = play(scene, Scheduled(((0.0, SPLIT), (10.0, local), (20.0, SPLIT)), scene.prepare_s + SCHEDULE_MARGIN_S))
    assert [plan for _, plan in run.plans] == [SPLIT, local, SPLIT]
    early_s = np.array((0.0, 10.0, 20.0)) - [at_s for at_s, _ in run.plans]
    assert np.all((early_s >= 0.0) & (early_s <= SCHEDULE_MARGIN_S + 1e-6))  # 40 frame times of 0.5 s


def test_a_schedule_waits_for_a_node_that_is_lost_though_nothing_is_estimated_for_it(make_scene):
    local = Plan.parse("edge[0:20]")
    scene = make_scene(SILENT)
    run = play(scene, Scheduled(((0.0, SPLIT), (10.0, local), (22.0, SPLIT)), scene.prepare_s + SCHEDULE_MARGIN_S))
    assert [plan for _, plan in run.plans] == [SPLIT, local, SPLIT]
    assert 26.0 < run.plans[-1][0] < 28.0  # the outage lasts from 20 to 26 s


def test_energy_is_what_the_origin_draws_where_only_it_has_figures(make_scene):
    run = play(make_scene(STEADY, noise_ratio=0.0, fps=1.0), CorePolicyAdapter(Local()))
    local_s = run.latency_s.mean()
    assert run.energy_j_per_frame == pytest.approx(5.72 * local_s, rel=1e-3)


def test_the_time_of_preparing_is_taken_from_the_nodes(make_scene):
    scene = make_scene(alternating(20e6, 2e6, 10.0))
    costly = replace(scene, prepare_busy_s=0.3)
    quick, slow = (play(one, CorePolicyAdapter(Adaptive())) for one in (scene, costly))
    assert quick.latency_s.mean() < slow.latency_s.mean()


@pytest.mark.parametrize("tunnel_bps", [0.02e6, 0.1e6, 0.5e6])
def test_after_a_tunnel_the_split_is_back(make_scene, tunnel_bps):
    tunnel = Trace(times_s=(0.0, 20.0, 40.0), rates_bps=(20e6, tunnel_bps, 20e6), length_s=math.inf)
    run = play(make_scene(tunnel, duration_s=80.0), CorePolicyAdapter(Adaptive()))
    assert not run.plans[0][1].is_local
    assert run.n_accepted == len(run.latency_s)
    later = [(at_s, plan) for at_s, plan in run.plans if at_s >= 40.0]
    assert later[0][0] < 42.0
    assert not any(plan.is_local for _, plan in later)
