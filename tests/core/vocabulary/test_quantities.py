"""Figures as people read them: one unit where figures stand side by side, the fitting one elsewhere."""

from __future__ import annotations

import pytest

from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.objectives import Objective, Weights, Within
from seamline.core.vocabulary.quantities import (
    amount,
    duration_change,
    gigabytes_of,
    megabits_per_second,
    milliseconds,
    parse_duration,
    parse_rate,
    parse_size,
    rate_change,
    seconds_text,
)


def test_a_change_names_its_unit_once():
    assert rate_change(19.64e6, 5.1e6) == "from 19.6 to 5.1 Mbit/s"
    assert duration_change(0.012, 0.1404) == "from 12 to 140 ms"
    assert gigabytes_of(2.5e9, 8e9) == "2.5 of 8.0 GB"


def test_figures_side_by_side_keep_their_unit_and_decimals():
    assert [milliseconds(duration_s) for duration_s in (0.0, 0.0412, 2.5)] == ["0.0 ms", "41.2 ms", "2500.0 ms"]
    assert milliseconds(0.0004126, 3) == "0.413 ms"
    assert megabits_per_second(20e3) == "0.0 Mbit/s"


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(0.0412, "41.2 ms"), (0.0999, "99.9 ms"), (0.1, "100 ms"), (9.9, "9900 ms"), (10.0, "10.0 s"), (None, "-")],
)
def test_a_duration_alone_is_as_exact_as_it_matters(duration_s, text):
    assert seconds_text(duration_s) == text


def test_quantities_carry_their_unit():
    assert (parse_rate("512kbps"), parse_duration("1.5s"), parse_size("512MiB")) == (512e3, 1.5, 512 << 20)
    with pytest.raises(UsageError, match="units"):
        parse_rate("20")


@pytest.mark.parametrize(
    ("objective", "text"),
    [
        (Objective.LATENCY, "250 ms"), (Objective.THROUGHPUT, "250 ms per frame"), (Objective.ENERGY, "0.25 J"),
        (Within(slo_s=1.0), "0.25 J"), (Weights(latency_s=1.0, energy_j=2.0), "0.25 in sum"),
    ],
)  # fmt: skip
def test_a_cost_has_the_unit_of_its_objective(objective, text):
    assert amount(0.25, objective) == text
