"""The fit finds the non-negative times that explain the measured spans best."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.meters.fitting import fit_times, nonnegative_least_squares


@given(st.integers(1, 12), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_no_other_nonnegative_solution_is_better(n_unknowns: int, n_rows: int, seed: int) -> None:
    """The conditions of Karush, Kuhn and Tucker, which for a convex problem are proof."""
    random = np.random.default_rng(seed)
    matrix, targets = random.normal(size=(n_rows, n_unknowns)), random.normal(size=n_rows)
    x = nonnegative_least_squares(matrix, targets)
    slope = matrix.T @ (targets - matrix @ x)
    assert (x >= 0.0).all()
    assert slope.max() <= 1e-6
    assert np.abs(slope[x > 0.0]).max(initial=0.0) <= 1e-6


def test_columns_of_zeros_get_zero() -> None:
    assert nonnegative_least_squares(np.zeros((2, 2)), np.ones(2)).tolist() == [0.0, 0.0]


@given(st.lists(st.floats(1e-3, 1.0), min_size=2, max_size=9), st.data())
def test_exact_times_of_all_spans_give_back_what_they_were_made_of(blocks_s: list[float], data: st.DataObject) -> None:
    n_blocks = len(blocks_s)
    inner_s = data.draw(st.lists(st.floats(0.0, 0.5), min_size=n_blocks - 1, max_size=n_blocks - 1))
    overheads_s = [0.0, *inner_s, 0.0]
    times_s = {
        (start, stop): sum(blocks_s[start:stop]) + (overheads_s[start] + overheads_s[stop]) / 2
        for start, stop in itertools.combinations(range(n_blocks + 1), 2)
    }
    fitted = fit_times(times_s, [100] * (n_blocks + 1))
    tolerance_s = 0.02 * sum(blocks_s)  # the guess by bytes pulls a little
    assert fitted.blocks_s == pytest.approx(blocks_s, abs=tolerance_s)
    assert fitted.overheads_s == pytest.approx(overheads_s, abs=2 * tolerance_s)
    assert fitted.blocks_s.sum() == pytest.approx(sum(blocks_s))


def test_with_single_blocks_alone_what_is_too_much_goes_to_the_wide_boundaries() -> None:
    times_s = {(0, 3): 0.9, (0, 1): 0.4, (1, 2): 0.5, (2, 3): 0.3}
    fitted = fit_times(times_s, [10, 900, 100, 10])
    assert fitted.overheads_s[1] > 3 * fitted.overheads_s[2] > 0.0
    assert fitted.overheads_s[[0, 3]].tolist() == [0.0, 0.0]


def test_noise_never_makes_a_block_negative() -> None:
    fitted = fit_times({(0, 2): 1.0, (0, 1): 1.2, (1, 2): 0.001}, [1, 1, 1])
    assert (fitted.blocks_s >= 0.0).all()
    assert fitted.blocks_s.sum() == pytest.approx(1.0)
