"""A belief about one positive quantity that mostly stands still, sometimes jumps, and is measured with noise.

Used for the speed of a node (`estimator.py`); what a link carries has a model of its own, `goodput.py`. Works on
logarithms: being wrong by a factor is what matters, and half as fast is as far as twice as fast.

Theory of operation. A sample within the expected scatter is averaged in, weighted by how much it can know (a scalar
Kalman filter). A sample beyond it changes nothing yet, it becomes a suspect. The next sample decides: back to normal
dismisses it as an outlier; one that agrees with it confirms a change point, and the belief starts anew from those that
agree. A belief that hardly knows anything (its first sample was mostly noise) yields to the first good sample. The
scatter is learnt too, so a jittery link needs a larger jump to be believed.
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
_SUSPICIOUS_SIGMAS = 2.0
_CLIPPED_SIGMAS = 2.5
_AGREEING_SIGMAS = 3.0
_MOST_SUSPECTS = 8
_N_SETTLED = 6
HARDLY_KNOWN = 0.5**2
"""A belief with more variance is replaced by the first sample that knows much better, not averaged with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When a jump is believed. n_agreeing: samples in a row on one side; sum_sigmas: how far out they are together.

    least_step: logarithm of the smallest factor called a jump; less is tracked by averaging.
    """

    n_agreeing: int
    sum_sigmas: float
    least_step: float


@dataclass(frozen=True, slots=True)
class Suspect:
    """A sample outside the scatter: logarithm, variance of its own noise, distance in standard deviations (signed)."""

    log_value: float
    variance: float
    sigmas: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """log_value +- sqrt(variance); scatter: variance of single samples around it beyond their own noise.

    n_samples: behind it, since changed_at_s. at_s: of the newest sample. suspects: not yet believed.
    settled_scatter: the scatter before the first of `suspects`; a change restores it, for it is no scatter. But what
    jumps again before it has settled is rough: then the scatter that was learnt stays.
    """

    log_value: float
    variance: float
    scatter: float = _FIRST_SCATTER
    n_samples: int = 1
    at_s: float
    changed_at_s: float
    suspects: tuple[Suspect, ...] = ()
    settled_scatter: float = _FIRST_SCATTER

    @property
    def value(self) -> float:
        return math.exp(self.log_value)

    def std_ratio(self, now_s: float) -> float:
        """One standard deviation, relative to the value, grown by the age of the newest sample."""
        return math.sqrt(self.variance + DRIFT_PER_S * max(0.0, now_s - self.at_s))


def first_belief(value: float, noise_ratio: float, at_s: float) -> Belief:
    """What one sample alone tells. value: > 0."""
    return Belief(log_value=math.log(value), variance=noise_ratio**2 + _FIRST_SCATTER, at_s=at_s, changed_at_s=at_s)


def observe(belief: Belief, value: float, noise_ratio: float, at_s: float, rules: Rules) -> Belief:
    """`belief` after one more sample `value` > 0 with its own relative noise."""
    variance = belief.variance + DRIFT_PER_S * max(0.0, at_s - belief.at_s)
    own = noise_ratio**2
    if variance > HARDLY_KNOWN and own < variance / 4:
        return replace(first_belief(value, noise_ratio, at_s), n_samples=belief.n_samples + 1)
    step = math.log(value) - belief.log_value
    sigma = math.sqrt(variance + own + belief.scatter)
    clipped = min(step**2, (_CLIPPED_SIGMAS * sigma) ** 2)
    learnt = belief.scatter + _SCATTER_MEMORY * (clipped - own - variance - belief.scatter)
    settled = belief.settled_scatter if belief.suspects else belief.scatter
    scatter = max(learnt, _LEAST_SCATTER)
    if abs(step) >= max(_SUSPICIOUS_SIGMAS * sigma, rules.least_step):
        belief = replace(belief, at_s=at_s, variance=variance, scatter=scatter, settled_scatter=settled)
        return _suspect(belief, Suspect(math.log(value), own + scatter, step / sigma), rules)
    gain = max(variance / sigma**2, _LEAST_GAIN * scatter / (own + scatter))
    return Belief(  # written out: with every frame on every node, and `replace` is slower
        log_value=belief.log_value + gain * step,
        variance=(1.0 - gain) * variance,
        scatter=scatter,
        n_samples=belief.n_samples + 1,
        at_s=at_s,
        changed_at_s=belief.changed_at_s,
        settled_scatter=settled,
    )


def _suspect(belief: Belief, newest: Suspect, rules: Rules) -> Belief:
    run = (*(suspect for suspect in belief.suspects if suspect.sigmas * newest.sigmas > 0), newest)
    agreeing = [suspect for suspect in run if _agree(suspect, newest)]
    if len(agreeing) < rules.n_agreeing or sum(abs(suspect.sigmas) for suspect in agreeing) < rules.sum_sigmas:
        return replace(belief, suspects=run[-_MOST_SUSPECTS:])
    return _start_anew(belief, agreeing)


def _agree(one: Suspect, other: Suspect) -> bool:
    """Whether both can be samples of one value; a sample that straddled the jump agrees with none."""
    return abs(one.log_value - other.log_value) <= _AGREEING_SIGMAS * math.sqrt(one.variance + other.variance)


def _start_anew(belief: Belief, agreeing: list[Suspect]) -> Belief:
    weights = [1.0 / suspect.variance for suspect in agreeing]
    mean = sum(w * suspect.log_value for w, suspect in zip(weights, agreeing, strict=True)) / sum(weights)
    return replace(
        belief,
        log_value=mean,
        variance=1.0 / sum(weights),
        scatter=belief.settled_scatter if belief.n_samples >= _N_SETTLED else belief.scatter,
        n_samples=len(agreeing),
        changed_at_s=belief.at_s,
        suspects=(),
    )
