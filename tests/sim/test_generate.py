"""Traces made up by rule: a name is a trace."""

import pytest

from seamline.config import read_trace
from seamline.core.vocabulary.errors import UsageError
from seamline.sim import KINDS, alternating, csv_lines, generate, generated


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_and_a_seed_name_one_trace(kind: str):
    trace = generate(kind, 7, 300.0)
    assert trace == generated(f"{kind}:7:300")
    assert trace != generate(kind, 8, 300.0)
    assert trace.length_s == 300.0
    assert list(trace.times_s) == sorted(set(trace.times_s))
    assert len(set(trace.rates_bps)) > 1


def test_outages_are_the_only_kind_that_is_ever_silent():
    silent = {kind for kind in KINDS if any(0.0 in generate(kind, seed, 600.0).rates_bps for seed in range(5))}
    assert silent == {"outages"}


def test_noise_stays_within_a_fifth():
    assert all(8e6 <= rate <= 12e6 for rate in generate("noise", 1, 60.0).rates_bps)


@pytest.mark.parametrize("text", ["markov", "markov:x:10", "markov:1:0", "rain:1:10", "markov:1:nan"])
def test_what_is_no_such_name_is_refused(text: str):
    with pytest.raises(UsageError):
        generated(text)


def test_a_generated_trace_can_be_written_and_read(tmp_path):
    trace = generate("fades", 3, 60.0)
    path = tmp_path / "trace.csv"
    path.write_text("\n".join(csv_lines(trace)) + "\n")
    read = read_trace(path)
    assert read.times_s == pytest.approx(trace.times_s)
    assert read.rates_bps == pytest.approx(trace.rates_bps, abs=51.0)  # four decimals of a Mbit/s


def test_alternating_goes_on_for_ever():
    trace = alternating(20e6, 5e6, 0.5)
    assert [trace.rate_bps_at(at_s) for at_s in (0.0, 0.6, 1.0, 1.5, 100.2)] == [20e6, 5e6, 20e6, 5e6, 20e6]
