"""Recorded link rates: read from a file, asked by time, and turned into changes of a link.

Two formats. CSV with the header ``time_s,mbps[,delay_ms][,loss_ratio]`` (other columns are ignored): each line holds
until the next.
Mahimahi: one number a line, the millisecond at which a 1500-byte packet could be delivered; counted here in bins.
A trace shorter than the run starts again from its beginning, as mahimahi does.

Some ship with the package and are named ``real:NAME``; where they come from, and under what licence, is in
`seamline/data/ATTRIBUTION.md`.
"""

from __future__ import annotations

import bisect
import csv
import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from seamline.config.paths import read_text
from seamline.core.vocabulary.errors import ConfigError

MAHIMAHI_PACKET_BITS = 1500 * 8
MAHIMAHI_BIN_S = 0.2
"""Short enough to follow a mobile link, long enough to hold several packets at 1 Mbit/s."""

MAX_TRACE_BYTES = 64 << 20
MAX_TRACE_S = 1e7
MIN_STEP_S = 1e-3
MIN_RATE_BPS, MAX_MBPS = 1.0, 1e6
MAX_DELAY_MS = 1e6
"""What a trace may say: a third of a year by the millisecond, one bit to one terabit a second, a quarter of an hour."""
PREFIX = "real:"
_FOLDER = Path(str(files("seamline") / "data" / "traces"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Rates over time: `rates_bps[i]` holds from `times_s[i]` to the next; 0.0 is an outage. Then it begins again.

    delays_s: one way, and loss_ratios: of packets, in step with the rates; empty where the trace does not say.
    """

    times_s: tuple[float, ...]
    rates_bps: tuple[float, ...]
    length_s: float
    delays_s: tuple[float, ...] = ()
    loss_ratios: tuple[float, ...] = ()

    def rate_bps_at(self, at_s: float) -> float:
        """The rate `at_s` seconds after the beginning."""
        return self.rates_bps[self.index_at(at_s)]

    def index_at(self, at_s: float) -> int:
        """Which of the values holds `at_s` seconds after the beginning."""
        return max(bisect.bisect_right(self.times_s, at_s % self.length_s) - 1, 0)

    @property
    def first_rate_bps(self) -> float:
        """The first rate that is not an outage."""
        return next(rate for rate in self.rates_bps if rate)

    def conditions(self, duration_s: float) -> Iterator[tuple[float, float, float | None, float | None]]:
        """(at_s, rate_bps, delay_s, loss_ratio) of every change of any of them within `duration_s`, the first at 0.0.

        Delay and loss are None where the trace does not say.
        """
        last: tuple[float, float | None, float | None] | None = None
        begin_s = 0.0
        while begin_s < duration_s:
            for index, (time_s, rate_bps) in enumerate(zip(self.times_s, self.rates_bps, strict=True)):
                delay_s = self.delays_s[index] if self.delays_s else None
                loss_ratio = self.loss_ratios[index] if self.loss_ratios else None
                if begin_s + time_s < duration_s and (rate_bps, delay_s, loss_ratio) != last:
                    yield begin_s + time_s, rate_bps, delay_s, loss_ratio
                    last = rate_bps, delay_s, loss_ratio
            begin_s += self.length_s


def recorded_names() -> tuple[str, ...]:
    """All that may follow `PREFIX`, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.csv")))


def trace_path(text: str, folder: Path = Path()) -> Path:
    """The file of the trace that `text` names: a recorded one as ``real:fcc-00``, else a path relative to `folder`.

    Raises `ConfigError` that lists the recorded ones when it is none of them.
    """
    if not text.startswith(PREFIX):
        return folder / text
    name = text.removeprefix(PREFIX)
    if name not in recorded_names():
        raise ConfigError(f"`{name}` is not a recorded trace", hint=f"real: and one of {', '.join(recorded_names())}")
    return _FOLDER / f"{name}.csv"


def read_trace(path: Path) -> Trace:
    """The trace in `path`, CSV or mahimahi. Raises `ConfigError` naming file and line when it is neither."""
    lines = read_text(path, max_bytes=MAX_TRACE_BYTES, hint="a trace is CSV or mahimahi, see docs").splitlines()
    if not any(line.strip() for line in lines):
        raise ConfigError(f"{path} is empty", hint="a trace has a header `time_s,mbps` and a line per rate")
    try:
        trace = _from_csv(lines, path) if "," in lines[0] else _from_mahimahi(lines, path)
    except csv.Error as exc:
        raise ConfigError(f"{path} cannot be read as a trace: {exc}", hint="CSV or mahimahi, see docs") from exc
    if not any(trace.rates_bps):
        raise ConfigError(f"{path} never carries anything", hint="at least one rate must be above 0")
    return trace


def _from_csv(lines: list[str], path: Path) -> Trace:
    reader = csv.DictReader(lines, skipinitialspace=True)
    missing = {"time_s", "mbps"} - set(reader.fieldnames or ())
    if missing:
        raise ConfigError(f"{path} has no column `{sorted(missing)[0]}`", hint="the header is `time_s,mbps`")
    times_s: list[float] = []
    rates_bps: list[float] = []
    delays_s: list[float] = []
    loss_ratios: list[float] = []
    columns = reader.fieldnames or ()
    for row in reader:
        time_s = _number(row["time_s"], path, reader.line_num, MAX_TRACE_S)
        rate_bps = _number(row["mbps"], path, reader.line_num, MAX_MBPS) * 1e6
        if 0.0 < rate_bps < MIN_RATE_BPS:
            raise ConfigError(
                f"{path}, line {reader.line_num}: {row['mbps']} Mbit/s is less than one bit a second",
                hint="an outage is 0",
            )
        if "delay_ms" in columns:
            delays_s.append(_number(row["delay_ms"], path, reader.line_num, MAX_DELAY_MS) / 1e3)
        if "loss_ratio" in columns:
            loss_ratios.append(_number(row["loss_ratio"], path, reader.line_num, math.inf))
            if loss_ratios[-1] >= 1.0:
                raise ConfigError(
                    f"{path}, line {reader.line_num}: loss_ratio is {loss_ratios[-1]:g}",
                    hint="it is a ratio: 0.01 is one packet in a hundred",
                )
        if times_s and time_s < times_s[-1] + MIN_STEP_S:
            raise ConfigError(
                f"{path}, line {reader.line_num}: time {time_s:g} is not after {times_s[-1]:g} by a ms",
                hint="each line says what holds from then on; sort them by time",
            )
        times_s.append(time_s)
        rates_bps.append(rate_bps)
    if not times_s:
        raise ConfigError(f"{path} has a header and no rates", hint="add a line per rate, e.g. `0,20`")
    begin_s = times_s[0]
    times_s = [time_s - begin_s for time_s in times_s]
    # The last rate holds as long as the one before it did; a trace of one line holds for ever.
    last_s = times_s[-1] - times_s[-2] if len(times_s) > 1 else math.inf
    return Trace(
        times_s=tuple(times_s),
        rates_bps=tuple(rates_bps),
        length_s=times_s[-1] + last_s,
        delays_s=tuple(delays_s),
        loss_ratios=tuple(loss_ratios),
    )


def _from_mahimahi(lines: list[str], path: Path) -> Trace:
    at_ms = [
        _number(line, path, number, 1e3 * MAX_TRACE_S) for number, line in enumerate(lines, start=1) if line.strip()
    ]
    if any(later < earlier for earlier, later in itertools.pairwise(at_ms)):
        raise ConfigError(f"{path}: its times go backwards", hint="mahimahi traces are ascending milliseconds")
    n_bins = max(1, math.ceil(at_ms[-1] / 1e3 / MAHIMAHI_BIN_S))
    packets = Counter(min(int(time_ms / 1e3 / MAHIMAHI_BIN_S), n_bins - 1) for time_ms in at_ms)
    # a line for each bin with packets and for the first without: as many as packets, however long nothing is said
    bins = sorted({0, *packets, *(index + 1 for index in packets)} - {n_bins})
    return Trace(
        times_s=tuple(index * MAHIMAHI_BIN_S for index in bins),
        rates_bps=tuple(packets[index] * MAHIMAHI_PACKET_BITS / MAHIMAHI_BIN_S for index in bins),
        length_s=n_bins * MAHIMAHI_BIN_S,
    )


def _number(text: str | None, path: Path, line: int, most: float) -> float:
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and 0.0 <= number <= most):
        limit = f"from 0 to {most:g}" if math.isfinite(most) else "from 0 up"
        words = f"{path}, line {line}: `{(text or '')[:40]}` is not a number {limit}"
        raise ConfigError(words, hint="CSV or mahimahi, see docs")
    return number
