"""Estimates of other nodes' links: all that decisions read gets across, times as ages."""

import math
from dataclasses import fields, replace

import pytest

from seamline.core.link.report import LinkReport, estimate_of, report_of
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId

KNOWN = LinkEstimate(
    source=NodeId("fog"), target=NodeId("cloud"), rtt_s=0.02, goodput_bps=2e7, goodput_std_ratio=0.1,
    measured_at_s=99.0, n_samples=7, overhead_s=0.001, average_bps=1e7, average_std_ratio=0.3,
    oscillating_until_s=104.0,
)  # fmt: skip


def test_all_of_an_estimate_gets_across_and_times_are_those_of_the_receivers_clock():
    heard = estimate_of(NodeId("fog"), report_of(KNOWN, 100.0), 5000.0)
    assert heard == replace(KNOWN, measured_at_s=4999.0, oscillating_until_s=5004.0)
    assert {one.name for one in fields(KNOWN)} - {one.name for one in fields(LinkReport)} == {
        "source",
        "measured_at_s",  # age_s
        "oscillating_until_s",  # oscillating_for_s
        "is_silent",  # of own links alone
    }


@pytest.mark.parametrize("until_s", [-math.inf, 99.5])
def test_a_link_that_does_not_oscillate_any_more_is_reported_as_one_that_does_not(until_s: float):
    report = report_of(replace(KNOWN, oscillating_until_s=until_s), 100.0)
    assert report.oscillating_for_s == 0.0
    assert estimate_of(NodeId("fog"), report, 5000.0).oscillating_until_s == -math.inf


def test_a_sample_from_the_future_was_taken_now():
    assert report_of(KNOWN, 98.0).age_s == 0.0
