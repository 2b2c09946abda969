"""Recorded rates, from both formats, by time."""

from pathlib import Path

import pytest

from seamline.config.trace import read_trace
from seamline.core.vocabulary.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "trace"
    path.write_text(text)
    return path


def test_delay_and_loss_change_with_the_rate_or_without_it_and_are_none_where_the_trace_does_not_say(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("time_s,mbps,delay_ms,loss_ratio\n0,4,2,0\n1,4,30,0\n2,4,30,0.1\n")
    assert list(read_trace(path).conditions(3.0)) == [
        (0.0, 4e6, 0.002, 0.0), (1.0, 4e6, 0.03, 0.0), (2.0, 4e6, 0.03, 0.1),
    ]  # fmt: skip
    path.write_text("time_s,mbps\n0,4\n1,4\n2,0\n")
    assert list(read_trace(path).conditions(3.0)) == [(0.0, 4e6, None, None), (2.0, 0.0, None, None)]


def test_a_csv_rate_holds_until_the_next_line_and_the_trace_repeats(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, "time_s,mbps,delay_ms\n10,4,1\n11,2,1\n13,0,1\n"))
    assert [trace.rate_bps_at(at_s) for at_s in (0.0, 0.9, 1.0, 2.9, 3.0, 4.9, 5.0)] == [4e6, 4e6, 2e6, 2e6, 0, 0, 4e6]
    assert [(at_s, rate) for at_s, rate, *_ in trace.conditions(6.5)] == [
        (0.0, 4e6), (1.0, 2e6), (3.0, 0.0), (5.0, 4e6), (6.0, 2e6),
    ]  # fmt: skip


def test_delay_and_loss_come_with_the_rates_where_the_trace_says_them(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, "time_s,mbps,delay_ms,loss_ratio\n0,4,12,0\n1,2,40,0.01\n"))
    assert trace.delays_s == (0.012, 0.04)
    assert trace.loss_ratios == (0.0, 0.01)
    assert trace.delays_s[trace.index_at(3.5)] == 0.04
    assert read_trace(write(tmp_path, "time_s,mbps\n0,4\n")).delays_s == ()


def test_a_csv_of_one_line_holds_for_ever(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, "time_s, mbps\n0, 3.5\n"))
    assert trace.rate_bps_at(1e9) == 3.5e6
    assert list(trace.conditions(100.0)) == [(0.0, 3.5e6, None, None)]


def test_mahimahi_packets_are_counted_in_bins(tmp_path: Path) -> None:
    # 10 packets in the first 200 ms, 5 in the second: 0.6 and 0.3 Mbit/s.
    stamps = [*range(0, 200, 20), *range(200, 400, 40)]
    trace = read_trace(write(tmp_path, "\n".join(map(str, stamps)) + "\n"))
    assert trace.rates_bps == pytest.approx((0.6e6, 0.3e6))
    assert trace.length_s == pytest.approx(0.4)


def test_a_mahimahi_trace_is_as_long_as_its_packets_are_many_and_not_as_its_silence(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, "900\n9999999800\n9999999999\n"))
    assert trace.times_s == pytest.approx((0.0, 0.8, 1.0, 9_999_999.8))
    assert trace.rates_bps == pytest.approx((0.0, 6e4, 0.0, 12e4))
    assert trace.length_s == pytest.approx(1e7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("time,mbps\n0,1\n", "no column `time_s`"),
        ("time_s,mbps\n", "no rates"),
        ("time_s,mbps\n0,1\n1,fast\n", "line 3: `fast` is not a number"),
        ("time_s,mbps\n0,-1\n", "line 2: `-1`"),
        ("time_s,mbps\n1,1\n1,2\n", "line 3: time 1 is not after 1"),
        ("time_s,mbps\n0,0\n1,0\n", "never carries anything"),
        ("time_s,mbps,loss_ratio\n0,1,1.5\n", "line 2: loss_ratio is 1.5"),
        ("5\n4\n", "go backwards"),
        ("hello\n", "line 1: `hello`"),
        ("time_s,mbps\n0,1e-300\n", "line 2: 1e-300 Mbit/s is less than one bit a second"),
        ("time_s,mbps\n0,1e308\n", "line 2: `1e308` is not a number from 0 to 1e"),
        ("time_s,mbps,delay_ms\n0,1,1e308\n", "line 2: `1e308` is not a number from 0 to 1e"),
        ("time_s,mbps\n1e300,1\n", "line 2: `1e300` is not a number from 0 to 1e"),
        ("time_s,mbps\n0,1\n1e-300,1\n", "line 3: time 1e-300 is not after 0 by a ms"),
        ("1e300\n", "line 1: `1e300` is not a number from 0 to 1e"),
        ("time_s,mbps\n0," + "9" * 200_000, "field larger than field limit"),
        ("time_s,mbps\n0," + "x" * 2000, "line 2: `x{40}` is not a number"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refusal:
        read_trace(write(tmp_path, text))
    assert refusal.value.hint


def test_what_cannot_be_read_as_text_is_refused_with_a_hint(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    for path, words in ((binary, "is not text"), (tmp_path, "it is a folder"), (tmp_path / "none", "there is no file")):
        with pytest.raises(ConfigError, match=words) as refusal:
            read_trace(path)
        assert refusal.value.hint
