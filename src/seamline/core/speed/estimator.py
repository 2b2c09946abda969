"""Compute speed estimator: measured over profiled time of a node, with its uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass

from seamline.core.speed.kalman import ChangePointRule, KalmanEstimate, first_estimate, observe

_COMPUTE_RULE = ChangePointRule(n_consistent=3, sum_sigmas=6.0, least_step=math.log(1.15))


_COMPUTE_NOISE_S = 0.3e-3


_LEAST_PREDICTED_S = 0.2e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeState:
    """Estimator state of one node: the ratio of measured to profiled time; begin with `ComputeState()`."""

    ratio: KalmanEstimate | None = None


def observe_compute(state: ComputeState, measured_s: float, profiled_s: float, now_s: float) -> ComputeState:
    """`state` after a frame's segment took `measured_s` where the profile says `profiled_s` (before any ratio).

    Three frames in a row confirm a jump, one slow frame is an outlier. Segments under 0.2 ms are ignored.
    """
    if profiled_s < _LEAST_PREDICTED_S or measured_s <= 0.0:
        return state
    ratio, noise_ratio = measured_s / profiled_s, _COMPUTE_NOISE_S / profiled_s
    if state.ratio is None:
        # the profile itself is a measurement: start from it, so that one odd first frame is an outlier too
        state = ComputeState(ratio=first_estimate(1.0, noise_ratio, now_s))
    assert state.ratio is not None
    return ComputeState(ratio=observe(state.ratio, ratio, noise_ratio, now_s, _COMPUTE_RULE))


def compute_ratio(state: ComputeState) -> float:
    """Measured over profiled compute time; 1.0 before the first frame."""
    return 1.0 if state.ratio is None else state.ratio.value


def compute_std_ratio(state: ComputeState, now_s: float) -> float:
    """One standard deviation of `compute_ratio`, relative."""
    return 0.1 if state.ratio is None else state.ratio.std_ratio(now_s)
