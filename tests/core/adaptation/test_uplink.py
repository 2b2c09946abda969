"""Shared uplink: who falls with whom, whose bottleneck is its own, and what nobody knows."""

import pytest

from seamline.core.adaptation.uplink import FALLEN_S, FRESH_S, Uplink, observe_uplink
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId

EDGE = NodeId("edge")


class Links:
    """Two links of the edge and their uplink, fed with estimates."""

    def __init__(self, **mbps: float) -> None:
        self.now: dict[str, LinkEstimate] = {}
        self.uplink: Uplink | None = None
        for target, rate_mbps in mbps.items():
            self.sample(target, rate_mbps, 0.0)

    def sample(self, target: str, mbps: float, at_s: float) -> None:
        self._estimate(target, mbps, at_s, at_s, n_samples=9)

    def overdue(self, target: str, mbps: float, now_s: float) -> None:
        self._estimate(target, mbps, self.now[target].measured_at_s, now_s, n_samples=0)

    def _estimate(self, target: str, mbps: float, measured_at_s: float, now_s: float, n_samples: int) -> None:
        estimate = LinkEstimate(
            source=EDGE,
            target=NodeId(target),
            rtt_s=0.04,
            goodput_bps=mbps * 1e6,
            measured_at_s=measured_at_s,
            n_samples=n_samples,
        )
        self.uplink = observe_uplink(self.uplink, self.now.get(target), estimate, now_s)
        self.now[target] = estimate

    def mbps(self, target: str) -> float:
        assert self.uplink is not None
        return self.uplink.estimated_bps(self.now[target]) / 1e6


def test_a_drop_is_shared_and_so_is_the_return():
    links = Links(fog=20.0, cloud=20.0)
    links.sample("cloud", 4.0, 5.0)
    assert links.mbps("fog") == 4.0
    links.sample("cloud", 18.0, 9.0)
    assert links.mbps("fog") == 18.0


def test_no_link_is_thought_to_carry_more_than_it_ever_has():
    links = Links(cloud=20.0, fog=20.0)
    links.sample("fog", 500.0, 5.0)
    assert links.mbps("cloud") == 20.0


def test_a_link_at_its_ceiling_says_nothing_of_a_faster_uplink():
    links = Links(cloud=100.0, fog=600.0)
    links.sample("cloud", 99.0, 5.0)
    assert (links.mbps("fog"), links.mbps("cloud")) == (600.0, 99.0 if links.uplink.by[1] == "cloud" else 100.0)


def test_a_link_slow_between_two_fast_samples_of_another_has_a_bottleneck_of_its_own():
    links = Links(cloud=20.0, fog=100.0)
    links.sample("cloud", 4.0, 0.5)
    assert (links.mbps("fog"), links.mbps("cloud")) == (100.0, 4.0)
    links.sample("fog", 98.0, 1.0)
    assert (links.mbps("fog"), links.mbps("cloud")) == (98.0, 4.0)
    links.sample("fog", 60.0, 5.0)
    assert links.mbps("cloud") == 4.0
    links.sample("cloud", 19.0, 5.4)
    assert links.mbps("cloud") == 19.0


def test_a_ceiling_that_fell_is_not_believed_for_long_without_a_sample():
    links = Links(cloud=20.0, fog=100.0)
    links.sample("cloud", 4.0, 0.5)
    links.sample("fog", 98.0, 1.0)
    links.sample("fog", 98.0, 0.4 + FALLEN_S)
    assert links.mbps("cloud") == 4.0
    links.sample("fog", 98.0, 0.6 + FALLEN_S)
    assert links.mbps("cloud") == 20.0


def test_a_drop_that_a_second_sample_confirms_is_shared():
    links = Links(cloud=20.0, fog=100.0)
    links.sample("cloud", 4.0, 0.5)
    links.sample("cloud", 4.0, 0.7)
    assert links.mbps("fog") == 4.0


def test_old_samples_are_no_evidence_for_a_bottleneck_of_its_own():
    links = Links(cloud=20.0, fog=20.0)
    links.sample("cloud", 4.0, 30.0)
    links.sample("fog", 20.0, 30.0 + 2.0 * FRESH_S)
    assert links.mbps("cloud") == 20.0


def test_the_uplink_is_silent_from_an_overdue_transfer_to_the_next_sample():
    links = Links(cloud=20.0, fog=20.0)
    links.overdue("cloud", 5.0, 1.4)
    assert links.uplink.is_silent
    assert links.mbps("fog") == 5.0
    links.overdue("cloud", 2.0, 1.8)
    assert links.mbps("fog") == 2.0
    links.sample("cloud", 1.0, 3.0)
    assert not links.uplink.is_silent


@pytest.mark.parametrize("at_s", [1.0, 60.0])
def test_a_link_that_is_down_says_nothing(at_s: float):
    links = Links(cloud=20.0, fog=20.0)
    before = links.uplink
    links.sample("cloud", 0.0, at_s)
    assert links.uplink is before
    assert links.mbps("cloud") == 0.0


def test_news_of_the_same_sample_changes_nothing():
    links = Links(cloud=20.0, fog=20.0)
    before = links.uplink
    links._estimate("cloud", 20.0, 0.0, 1.0, n_samples=9)
    assert links.uplink is before


def test_a_link_that_shows_itself_fast_again_is_suspected_no_more():
    links = Links(cloud=20.0, fog=20.0)
    links.sample("cloud", 2.0, 0.5)
    links.sample("cloud", 20.0, 0.9)
    links.sample("fog", 20.0, 1.2)
    assert links.mbps("cloud") == 20.0


def test_a_receipt_that_lifts_the_cap_ends_the_silence_though_it_is_no_sample_yet():
    links = Links(cloud=20.0, fog=20.0)
    links.overdue("cloud", 2.0, 1.4)
    links.overdue("cloud", 8.0, 1.9)
    assert not links.uplink.is_silent
    assert links.mbps("fog") == 8.0
