"""Scalar Kalman filter on the logarithm of one positive quantity, with outlier rejection and change-point detection.

For a quantity that is mostly constant, sometimes jumps, and is measured with noise: the speed of a node
(`estimator.py`). What a link carries has a model of its own, `core.link.goodput`. The filter works on logarithms,
because errors are factors: half as fast is as far away as twice as fast.

Theory of operation. A sample within the expected scatter is averaged in, weighted by its own noise. A sample beyond the
scatter changes nothing yet and becomes an outlier candidate. The next sample decides: one within the scatter dismisses
the candidate; enough samples that are consistent with each other confirm a change point, and the filter is reset to
them. An estimate with a large variance (its first sample was mostly noise) is replaced by the first good sample. The
scatter is learnt too, so the noisier the samples, the larger a jump has to be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

DRIFT_PER_S = 0.02**2
"""Variance of the logarithm that a second without samples adds: 2 % after 1 s, 20 % after 100 s."""

_FIRST_SCATTER = 0.1**2
_LEAST_SCATTER = 0.03**2
_SCATTER_MEMORY = 0.1
_LEAST_GAIN = 0.1
_OUTLIER_SIGMAS = 2.0
_CLIPPED_SIGMAS = 2.5
_CONSISTENT_SIGMAS = 3.0
_MOST_CANDIDATES = 8
UNINFORMATIVE_VARIANCE = 0.5**2
"""An estimate with more variance is replaced by the first sample that is much better, not averaged with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePointRule:
    """Threshold of change-point detection, on candidates in a row to one side of the estimate.

    n_consistent: how many must be consistent. sum_sigmas: how far out they are together, in standard deviations.
    least_step: logarithm of the smallest factor called a jump; less is tracked by averaging.
    """

    n_consistent: int
    sum_sigmas: float
    least_step: float


@dataclass(frozen=True, slots=True)
class OutlierCandidate:
    """A sample outside the scatter: logarithm, variance of its own noise, distance in standard deviations (signed)."""

    log_value: float
    variance: float
    sigmas: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KalmanEstimate:
    """State of the filter: log_value +- sqrt(variance).

    scatter: variance of single samples around the value beyond their own noise. n_samples: behind the estimate, since
    changed_at_s. at_s: of the newest sample. candidates: samples beyond the scatter, undecided.
    """

    log_value: float
    variance: float
    scatter: float = _FIRST_SCATTER
    n_samples: int = 1
    at_s: float
    changed_at_s: float
    candidates: tuple[OutlierCandidate, ...] = ()

    @property
    def value(self) -> float:
        return math.exp(self.log_value)

    def std_ratio(self, now_s: float) -> float:
        """One standard deviation, relative to the value, grown by the age of the newest sample."""
        return math.sqrt(self.variance + DRIFT_PER_S * max(0.0, now_s - self.at_s))


def first_estimate(value: float, noise_ratio: float, at_s: float) -> KalmanEstimate:
    """Estimate from one sample alone. value: > 0."""
    return KalmanEstimate(
        log_value=math.log(value), variance=noise_ratio**2 + _FIRST_SCATTER, at_s=at_s, changed_at_s=at_s
    )


def observe(
    estimate: KalmanEstimate, value: float, noise_ratio: float, at_s: float, rule: ChangePointRule
) -> KalmanEstimate:
    """`estimate` after one more sample `value` > 0 with its own relative noise."""
    variance = estimate.variance + DRIFT_PER_S * max(0.0, at_s - estimate.at_s)
    own = noise_ratio**2
    if variance > UNINFORMATIVE_VARIANCE and own < variance / 4:
        return replace(first_estimate(value, noise_ratio, at_s), n_samples=estimate.n_samples + 1)
    step = math.log(value) - estimate.log_value
    sigma = math.sqrt(variance + own + estimate.scatter)
    clipped = min(step**2, (_CLIPPED_SIGMAS * sigma) ** 2)
    learnt = estimate.scatter + _SCATTER_MEMORY * (clipped - own - variance - estimate.scatter)
    scatter = max(learnt, _LEAST_SCATTER)
    if abs(step) >= max(_OUTLIER_SIGMAS * sigma, rule.least_step):
        estimate = replace(estimate, at_s=at_s, variance=variance, scatter=scatter)
        return _with_candidate(estimate, OutlierCandidate(math.log(value), own + scatter, step / sigma), rule)
    gain = max(variance / sigma**2, _LEAST_GAIN * scatter / (own + scatter))
    return KalmanEstimate(  # written out: with every frame on every node, and `replace` is slower
        log_value=estimate.log_value + gain * step,
        variance=(1.0 - gain) * variance,
        scatter=scatter,
        n_samples=estimate.n_samples + 1,
        at_s=at_s,
        changed_at_s=estimate.changed_at_s,
    )


def _with_candidate(estimate: KalmanEstimate, newest: OutlierCandidate, rule: ChangePointRule) -> KalmanEstimate:
    run = (*(candidate for candidate in estimate.candidates if candidate.sigmas * newest.sigmas > 0), newest)
    consistent = [candidate for candidate in run if _are_consistent(candidate, newest)]
    sum_sigmas = sum(abs(candidate.sigmas) for candidate in consistent)
    if len(consistent) < rule.n_consistent or sum_sigmas < rule.sum_sigmas:
        return replace(estimate, candidates=run[-_MOST_CANDIDATES:])
    return _reset(estimate, consistent)


def _are_consistent(one: OutlierCandidate, other: OutlierCandidate) -> bool:
    """Whether both can be samples of one value; a sample that straddled the jump is consistent with none."""
    return abs(one.log_value - other.log_value) <= _CONSISTENT_SIGMAS * math.sqrt(one.variance + other.variance)


def _reset(estimate: KalmanEstimate, consistent: list[OutlierCandidate]) -> KalmanEstimate:
    """Change point: the estimate rests on the `consistent` samples alone, weighted by their inverse variance."""
    weights = [1.0 / candidate.variance for candidate in consistent]
    mean = sum(w * candidate.log_value for w, candidate in zip(weights, consistent, strict=True)) / sum(weights)
    return replace(
        estimate,
        log_value=mean,
        variance=1.0 / sum(weights),
        n_samples=len(consistent),
        changed_at_s=estimate.at_s,
        candidates=(),
    )
