"""How fast a node computes beside its profile: jumps within a few frames, odd frames passed over, noise averaged."""

from __future__ import annotations

import math
import random

import pytest

from seamline.core.speed.estimator import ComputeState, compute_ratio, compute_std_ratio, observe_compute
from seamline.core.speed.load import observe_job, queue_s


def after_frames(*ratios: float) -> ComputeState:
    state = ComputeState()
    for at, ratio in enumerate(ratios):
        state = observe_compute(state, 0.05 * ratio, 0.05, 0.1 * at)
    return state


def test_a_node_slowed_twofold_is_detected_within_ten_frames():
    assert compute_ratio(after_frames(*[1.0] * 30, *[2.0] * 10)) == pytest.approx(2.0, rel=0.05)
    assert compute_ratio(after_frames(*[2.0] * 30, *[1.0] * 10)) == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("outlier", [0.2, 3.0, 20.0])
def test_a_single_odd_frame_is_not(outlier: float):
    assert compute_ratio(after_frames(*[1.0] * 30, outlier)) == pytest.approx(1.0, rel=0.02)
    assert compute_ratio(after_frames(outlier)) == pytest.approx(1.0, rel=0.02)


def test_a_slow_drift_is_followed():
    drift = [1.0 + 0.005 * at for at in range(200)]
    assert compute_ratio(after_frames(*drift)) == pytest.approx(2.0, rel=0.1)


def test_noise_averages_out():
    noise = random.Random(3)
    state = after_frames(*[noise.lognormvariate(0.0, 0.15) for _ in range(300)])
    assert compute_ratio(state) == pytest.approx(1.0, rel=0.12)
    assert compute_std_ratio(state, 30.0) < 0.1


def test_segments_too_short_to_time_teach_nothing():
    assert observe_compute(ComputeState(), 0.01, 0.0001, 1.0) == ComputeState()
    assert compute_ratio(ComputeState()) == 1.0


def test_a_node_known_only_by_a_segment_too_short_to_tell_yields_to_the_first_long_one():
    state = observe_compute(ComputeState(), 0.4e-3, 0.2e-3, 0.0)  # timed to within 0.3 ms
    state = observe_compute(state, 0.3, 0.1, 1.0)
    assert compute_ratio(state) == pytest.approx(3.0)


@pytest.mark.parametrize("spread", [0.08, 0.15])
def test_the_scatter_of_single_frames_is_learnt_and_forgotten(spread: float):
    noise = random.Random(4)
    noisy = [math.exp(noise.choice((-spread, spread))) for _ in range(200)]
    state = after_frames(*noisy)
    assert state.ratio is not None
    assert math.sqrt(state.ratio.scatter) == pytest.approx(spread, rel=0.3)
    calm = after_frames(*noisy, *[1.0] * 100)
    assert calm.ratio is not None
    assert math.sqrt(calm.ratio.scatter) == pytest.approx(0.03, rel=0.1)  # the least that is believed


def test_a_stage_waits_for_those_before_it_as_long_as_the_last_ones_took():
    mean_s = 0.0
    for _ in range(40):
        mean_s = observe_job(mean_s, 0.01)
    assert queue_s(3, mean_s) == pytest.approx(0.03, rel=0.01)
    assert observe_job(0.01, 0.02) == pytest.approx(0.012)
