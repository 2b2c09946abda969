"""Risk adjustment: a shared uplink, links that oscillate or have no way back, and stages beyond the second."""

from dataclasses import replace

import pytest

from seamline.core.adaptation.events import ExcessMeasured, LinkMeasured, NodeJoined, ProfileKnown, Tick
from seamline.core.adaptation.risk_adjustment import risk_adjusted
from seamline.core.adaptation.view import View, apply, problem_of
from seamline.core.cost.problem import Problem
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.objectives import Within

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")


def sampled(view: View, target: NodeId, mbps: float, measured_at_s: float, n_samples: int = 9) -> View:
    """News of the edge's link to `target`; at the time of its sample, or later when that is old."""
    link = replace(view.links[EDGE, target], goodput_bps=mbps * 1e6, measured_at_s=measured_at_s, n_samples=n_samples)
    return apply(view, LinkMeasured(link, max(view.now_s, measured_at_s)))


@pytest.fixture
def view(three_tiers: Problem) -> View:
    """Both links of the edge were sampled at 20 Mbit/s, at 1 s."""
    view = View(origin=EDGE)
    for node, profile in three_tiers.profiles.items():
        view = apply(apply(view, NodeJoined(node, Tier(node), "a", 0.0)), ProfileKnown(node, profile, 0.0))
    for link in three_tiers.links.values():
        view = apply(view, LinkMeasured(replace(link, measured_at_s=0.5), 0.5))
    return sampled(sampled(sampled(view, FOG, 20.0, 0.9), CLOUD, 20.0, 1.0), FOG, 20.0, 1.0)


def adjusted(view: View) -> dict[NodeId, LinkEstimate]:
    corrected = risk_adjusted(problem_of(view), view, 0.0)
    return {target: corrected.links[EDGE, target] for target in (FOG, CLOUD)}


def test_a_link_that_shares_the_uplink_of_a_silent_one_is_expected_to_have_dropped_too(view: View):
    silent = sampled(view, CLOUD, 5.0, 1.0, n_samples=0)  # no new sample: the transfer is overdue
    assert adjusted(silent)[FOG].goodput_bps == pytest.approx(5e6)
    assert adjusted(silent)[CLOUD].goodput_bps == 5e6


def test_it_stays_so_when_the_drop_is_confirmed_and_ends_with_a_sample_of_its_own(view: View):
    confirmed = sampled(sampled(view, CLOUD, 5.0, 1.0, n_samples=0), CLOUD, 4.0, 2.0)
    assert adjusted(confirmed)[FOG].goodput_bps == pytest.approx(4e6)
    assert adjusted(confirmed)[FOG].goodput_std_ratio > confirmed.links[EDGE, FOG].goodput_std_ratio
    assert adjusted(sampled(confirmed, FOG, 18.0, 2.1))[FOG].goodput_bps == 18e6


def test_links_count_as_slower_by_what_transfers_took_lately_on_average_or_nearly_always_under_a_deadline(view: View):
    for number in range(20):
        view = apply(view, ExcessMeasured(0.5 if number < 2 else 0.0, 0.1, 1.0))
    assert adjusted(view)[FOG].goodput_bps == pytest.approx(20e6 / (1.0 + 1.0 / 3.0))
    assert adjusted(replace(view, objective=Within(slo_s=1.0)))[FOG].goodput_bps == pytest.approx(20e6 / 6.0)
    assert risk_adjusted(problem_of(view), view, 0.0).links[FOG, CLOUD] == view.links[FOG, CLOUD]


def test_links_between_others_blame_nobody(view: View):
    fell = replace(view.links[FOG, CLOUD], goodput_bps=1e6, measured_at_s=2.0)
    assert adjusted(apply(view, LinkMeasured(fell, 2.0)))[CLOUD].goodput_bps == 20e6


def test_only_links_between_other_nodes_carry_the_cost_of_a_further_hop(view: View):
    problem = problem_of(view)
    corrected = risk_adjusted(problem, view, 0.003)
    for link, known in problem.links.items():
        further_s = corrected.links[link].rtt_s - known.rtt_s
        assert further_s == pytest.approx(0.0 if EDGE in link else 0.006)


def test_the_links_of_a_node_with_an_oscillating_link_are_taken_at_the_average_of_their_messages(view: View):
    for target, average_bps in ((FOG, 7e6), (CLOUD, 8e6)):
        averaged = replace(view.links[EDGE, target], average_bps=average_bps, average_std_ratio=0.2, overhead_s=0.004)
        view = apply(view, LinkMeasured(averaged, 3.0))
    assert adjusted(view)[CLOUD].goodput_bps == 20e6  # nothing oscillates: the averages do not matter
    oscillating = apply(view, LinkMeasured(replace(view.links[EDGE, CLOUD], oscillating_until_s=5.0), 3.0))
    assert [adjusted(oscillating)[target].goodput_bps for target in (FOG, CLOUD)] == [7e6, 8e6]
    assert adjusted(oscillating)[FOG].goodput_std_ratio == 0.2
    assert adjusted(oscillating)[FOG].overhead_s == 0.0
    assert adjusted(apply(oscillating, Tick(5.0)))[CLOUD].goodput_bps == 20e6


def test_corrections_rest_on_the_view_and_the_cost_of_a_hop_alone(view: View):
    corrected, later = risk_adjusted(problem_of(view), view, 0.003).links, apply(view, Tick(2.0))
    assert risk_adjusted(problem_of(later), later, 0.003).links == corrected
    assert risk_adjusted(problem_of(view), view, 0.001).links[FOG, CLOUD] != corrected[FOG, CLOUD]
    assert risk_adjusted(problem_of(view), view, 0.003).links == corrected


def test_a_link_is_taken_as_it_is_again_once_time_alone_says_that_it_oscillates_no_more(view: View):
    last = replace(view.links[EDGE, CLOUD], average_bps=8e6, oscillating_until_s=5.0)
    oscillating = apply(view, LinkMeasured(last, 3.0))
    assert adjusted(oscillating)[CLOUD].goodput_bps == 8e6
    assert adjusted(apply(oscillating, Tick(5.5)))[CLOUD].goodput_bps == 20e6


def test_a_link_is_down_as_long_as_its_way_back_is(view: View):
    down = replace(view.links[CLOUD, EDGE], goodput_bps=0.0)
    back = apply(view, LinkMeasured(down, 2.0))
    assert adjusted(back)[CLOUD].goodput_bps == 0.0
    assert adjusted(back)[FOG].goodput_bps == 20e6
    measured = apply(back, LinkMeasured(replace(down, goodput_bps=30e6, measured_at_s=2.5), 2.5))
    assert adjusted(measured)[CLOUD].goodput_bps == 20e6
