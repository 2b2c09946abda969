"""Seconds of a source from timestamps as they are, and which frames make a wanted rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.runtime.sources.timeline import Pick, Timeline, plausible_fps


def places(positions: list[float], fps: float | None = None) -> list[float]:
    line, found = Timeline(fps), []
    for position in positions:
        line.advance(position)
        found.append(line.at_s)
    return found


@pytest.mark.parametrize("claimed", [2000.0, 90000.0, 1000.0, 0.0, -1.0, math.nan, math.inf])
def test_a_time_base_is_no_frame_rate(claimed):
    assert plausible_fps(claimed) is None
    assert plausible_fps(59.94) == 59.94


def test_it_begins_at_zero_wherever_the_timestamps_do():
    assert places([1.4, 1.44, 1.52]) == pytest.approx([0, 0.04, 0.12])
    assert places([-0.5, 0.0]) == pytest.approx([0, 0.5])


def test_a_timestamp_that_stands_still_or_jumps_back_is_one_usual_interval():
    assert places([5.0, 5.1, 5.1, 5.2, 0.0, 0.1]) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert places([0.0, 0.0, 0.05]) == pytest.approx([0, 1 / 30, 1 / 30 + 0.05])


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1))
def test_it_never_falls_and_is_always_a_number(positions):
    found = places(positions, 25.0)
    assert all(math.isfinite(at_s) for at_s in found)
    assert found == sorted(found)


def holes(positions: list[float], failed: dict[int, int] | None = None) -> list[tuple[int, float, float]]:
    line, found = Timeline(None), []
    for number, position in enumerate(positions):
        if (hole := line.advance(position, (failed or {}).get(number, 0))) is not None:
            found.append((hole.n_frames, round(hole.length_s, 3), round(hole.at_s, 3)))
    return found


EVEN = [number / 25 for number in range(100)]


def test_a_hole_in_an_even_time_line_is_so_many_frames():
    assert holes(EVEN) == []
    assert holes(EVEN[:50] + EVEN[53:]) == [(3, 0.16, 2.12)]
    assert holes(EVEN[:30] + EVEN[31:60] + EVEN[70:]) == [(1, 0.08, 1.24), (10, 0.44, 2.8)]
    assert holes(EVEN[:5] + EVEN[8:]) == []  # too early to know what is usual


def test_packets_that_cannot_be_decoded_are_a_hole_wherever_they_are():
    assert holes(EVEN[:3] + EVEN[4:], {3: 1}) == [(1, 0.08, 0.16)]
    assert holes(EVEN, {0: 2, 50: 4}) == [(2, 0.0, 0.0), (4, 0.04, 2.0)]
    assert holes(EVEN[:50] + EVEN[53:], {50: 1}) == [(3, 0.16, 2.12)]


def test_frames_that_come_more_slowly_from_somewhere_on_are_no_holes():
    assert holes(EVEN[:50] + EVEN[50::3]) == []
    assert holes(EVEN[:50:2] + EVEN[50:]) == []


def test_an_uneven_time_line_has_holes_of_seconds_only():
    rng = np.random.default_rng(3)
    uneven = np.cumsum(rng.uniform(0.02, 0.4, 200)).tolist()
    assert holes(uneven) == []
    ((n_frames, length_s, _),) = holes([*uneven, uneven[-1] + 30.0])
    assert (n_frames, length_s) == (0, 30.0)


def picked(fps: float | None, at_s: list[float]) -> list[float]:
    pick = Pick(fps)
    return [at for at in at_s if pick.wants(at)]


def test_frames_are_chosen_by_their_time_not_by_their_number():
    at_30 = [number / 30 for number in range(90)]
    assert picked(None, at_30) == at_30
    assert picked(10.0, at_30) == pytest.approx(at_30[::3])
    assert len(picked(12.0, at_30)) == 36
    assert picked(100.0, at_30) == at_30
    thick_then_thin = [number / 100 for number in range(100)] + [1 + number / 4 for number in range(8)]
    assert len(picked(10.0, thick_then_thin)) == 10 + 8


def test_timestamps_rounded_to_milliseconds_choose_the_same_frames():
    rounded = [round(number / 30, 3) for number in range(300)]
    assert len(picked(10.0, rounded)) == 100
    assert len(picked(15.0, rounded)) == 150


def test_a_gap_is_not_made_good_by_a_burst():
    after_gap = [0.0, *[60.0 + number / 30 for number in range(30)]]
    assert len(picked(5.0, after_gap)) == 1 + 5


@given(st.lists(st.floats(0.001, 0.5), min_size=2, max_size=200), st.floats(0.5, 60.0))
def test_no_second_has_more_frames_than_asked_for(steps_s, fps):
    at_s = np.cumsum(steps_s).tolist()
    found = picked(fps, at_s)
    assert found[:1] == at_s[:1]
    assert len(found) <= (at_s[-1] - at_s[0]) * fps + 2 + 0.1 * len(found)
