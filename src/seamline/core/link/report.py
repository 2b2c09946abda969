"""Link reports: the estimates that a node sends of its own links. No clock is shared, so times travel as ages.

    estimate of the sender -> `report_of` -> wire -> `estimate_of` -> estimate of the receiver

Every sender and receiver (real or simulated) goes through here, so nothing is known of another node's link that a
report does not carry. Bounds on values from outside are the wire's, `fabric.messages`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkReport:
    """Report of a node's estimate of its link to `target`, as `LinkEstimate`, at the moment it was sent.

    age_s: since the newest sample. oscillating_for_s: for how long the link still counts as oscillating; 0.0 when it
    does not.
    """

    target: str
    rtt_s: float
    goodput_bps: float
    goodput_std_ratio: float
    n_samples: int
    age_s: float
    overhead_s: float = 0.0
    average_bps: float = 0.0
    average_std_ratio: float = 0.0
    oscillating_for_s: float = 0.0


def report_of(estimate: LinkEstimate, now_s: float) -> LinkReport:
    """Report of `estimate` at `now_s` of its node's clock."""
    return LinkReport(
        target=estimate.target,
        rtt_s=estimate.rtt_s,
        goodput_bps=estimate.goodput_bps,
        goodput_std_ratio=estimate.goodput_std_ratio,
        n_samples=estimate.n_samples,
        age_s=max(0.0, now_s - estimate.measured_at_s),
        overhead_s=estimate.overhead_s,
        average_bps=estimate.average_bps,
        average_std_ratio=estimate.average_std_ratio,
        oscillating_for_s=max(0.0, estimate.oscillating_until_s - now_s),
    )


class Reported(Protocol):
    """Report as it comes from the wire: the fields of `LinkReport`."""

    @property
    def target(self) -> str: ...
    @property
    def rtt_s(self) -> float: ...
    @property
    def goodput_bps(self) -> float: ...
    @property
    def goodput_std_ratio(self) -> float: ...
    @property
    def n_samples(self) -> int: ...
    @property
    def age_s(self) -> float: ...
    @property
    def overhead_s(self) -> float: ...
    @property
    def average_bps(self) -> float: ...
    @property
    def average_std_ratio(self) -> float: ...
    @property
    def oscillating_for_s(self) -> float: ...


def report_from(heard: Reported) -> LinkReport:
    """Report as a value of the core, from the one that the wire carried."""
    return LinkReport(
        target=heard.target,
        rtt_s=heard.rtt_s,
        goodput_bps=heard.goodput_bps,
        goodput_std_ratio=heard.goodput_std_ratio,
        n_samples=heard.n_samples,
        age_s=heard.age_s,
        overhead_s=heard.overhead_s,
        average_bps=heard.average_bps,
        average_std_ratio=heard.average_std_ratio,
        oscillating_for_s=heard.oscillating_for_s,
    )


def estimate_of(source: NodeId, report: LinkReport, now_s: float) -> LinkEstimate:
    """Estimate from a report of `source` received at `now_s` of our clock; its time on the way is not accounted for."""
    return LinkEstimate(
        source=source,
        target=NodeId(report.target),
        rtt_s=report.rtt_s,
        goodput_bps=report.goodput_bps,
        goodput_std_ratio=report.goodput_std_ratio,
        measured_at_s=now_s - report.age_s,
        n_samples=report.n_samples,
        overhead_s=report.overhead_s,
        average_bps=report.average_bps,
        average_std_ratio=report.average_std_ratio,
        oscillating_until_s=now_s + report.oscillating_for_s if report.oscillating_for_s > 0.0 else -math.inf,
    )
