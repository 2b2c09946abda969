"""What an hour of faults leaves behind: memory, threads and open files of every process, once a minute, as a curve.

`seamline chaos` runs in a process of its own, two streams over three nodes, while this one looks at it and at its nodes
from outside. A node that a fault ended and started again is another life. Processes take memory for a while and give it
back (20 MB when a plan is prepared), so what counts is what stays: the least held in each five minutes. The slope of a
life is a straight line through those after the warm-up, by least squares; a life too short for one has none.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from reporting import Report, parser, progress

WARM_UP_S = 600.0
SHORTEST_S = 900.0
"""Of what a slope is taken over, after the warm-up."""

WINDOW_S = 300.0

ORIGIN = "edge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One process at one moment. at_s: since the start. name: of its node. anon_bytes: those that no file backs."""

    at_s: float
    name: str
    pid: int
    rss_bytes: int
    anon_bytes: int
    threads: int
    files: int
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What a process was in its time. slope_bytes_per_s: None where it was too short; sigma: of one standard error."""

    name: str
    pid: int
    from_s: float
    to_s: float
    rss_bytes: tuple[int, int]
    threads: tuple[int, int]
    files: tuple[int, int]
    slope_bytes_per_s: float | None
    sigma_bytes_per_s: float | None


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--minutes", type=float, default=60.0)
    options.add_argument("--only", help="kinds of faults, as `seamline chaos` takes them")
    options.add_argument("--every", type=float, default=60.0, help="seconds between two samples")
    options.add_argument("--label", default="soak", help="the first part of the result's file name")
    asked = options.parse_args()
    if asked.quick:
        asked.minutes, asked.every = 0.5, 5.0
    report = Report(asked.label, "Soak: what every process holds, minute by minute", asked)
    chaos, samples = soak(asked.seed, asked.minutes, asked.only, asked.every)
    lives = [life(each) for each in by_process(samples)]
    show(report, chaos, lives)
    report.data["chaos"] = {key: value for key, value in chaos.items() if key != "rounds"}
    report.data["lives"] = [asdict(each) for each in lives]
    report.data["samples"] = columns(samples)
    if report.is_kept:
        draw(samples, report.path("svg"))
    report.finish()


def soak(seed: int, minutes: float, only: str | None, every_s: float) -> tuple[dict[str, Any], list[Sample]]:
    """What `seamline chaos` says of itself, and what it and its nodes were seen to hold meanwhile."""
    command = [sys.executable, "-m", "seamline", "chaos", "--seed", f"{seed}", "--minutes", f"{minutes:g}", "--json"]
    samples: list[Sample] = []
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen([*command, *(("--only", only) if only else ())], stdout=said)
        try:
            begin_s = time.monotonic()
            while child.poll() is None:
                samples += sampled(child.pid, time.monotonic() - begin_s)
                progress("; ".join(_line(each) for each in samples[-3:]))
                _wait(child, every_s)
        finally:
            child.terminate()
            child.wait()
        said.seek(0)
        return json.loads(said.read()), samples


def sampled(pid: int, at_s: float) -> list[Sample]:
    """The process `pid` and the nodes that it started, as they are now."""
    origin = psutil.Process(pid)
    found: list[Sample] = []
    for process in (origin, *origin.children(recursive=True)):
        try:
            name = ORIGIN if process.pid == pid else _node_name(process.cmdline())
            if name is not None:
                found.append(_sample(process, name, at_s))
        except psutil.NoSuchProcess:  # a fault ended it just now
            continue
    return found


def _node_name(command: Sequence[str]) -> str | None:
    return command[command.index("--name") + 1] if "--name" in command else None


def _sample(process: psutil.Process, name: str, at_s: float) -> Sample:
    memory, times = process.memory_info(), process.cpu_times()
    return Sample(
        at_s=at_s,
        name=name,
        pid=process.pid,
        rss_bytes=memory.rss,
        anon_bytes=memory.rss - memory.shared,
        threads=process.num_threads(),
        files=process.num_fds(),
        cpu_s=times.user + times.system,
    )


def _wait(child: subprocess.Popen[Any], seconds: float) -> None:
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _line(sample: Sample) -> str:
    return (
        f"{sample.at_s:5.0f} s {sample.name} {sample.rss_bytes / 1e6:.1f} MB ({sample.anon_bytes / 1e6:.1f}), "
        f"{sample.threads} threads, {sample.files} files, {sample.cpu_s:.0f} cpu s"
    )


def by_process(samples: Sequence[Sample]) -> list[list[Sample]]:
    """The samples of each life, in the order in which they began."""
    found: dict[int, list[Sample]] = {}
    for each in samples:
        found.setdefault(each.pid, []).append(each)
    return list(found.values())


def life(samples: Sequence[Sample]) -> Life:
    """One process from its first sample to its last."""
    warm = [each for each in samples if each.at_s - samples[0].at_s >= WARM_UP_S]
    slope = sigma = None
    if warm and warm[-1].at_s - warm[0].at_s >= SHORTEST_S:
        slope, sigma = _line_through(_least_of_windows(warm))
    first = warm[0] if warm else samples[0]
    last = samples[-1]
    return Life(
        name=last.name,
        pid=last.pid,
        from_s=samples[0].at_s,
        to_s=last.at_s,
        rss_bytes=(first.rss_bytes, last.rss_bytes),
        threads=(first.threads, last.threads),
        files=(first.files, last.files),
        slope_bytes_per_s=slope,
        sigma_bytes_per_s=sigma,
    )


def _least_of_windows(samples: Sequence[Sample]) -> list[Sample]:
    windows: dict[int, list[Sample]] = {}
    for each in samples:
        windows.setdefault(int((each.at_s - samples[0].at_s) / WINDOW_S), []).append(each)
    whole = [window for window in windows.values() if len(window) > 1]  # the last may have begun just now
    return [min(window, key=lambda one: one.rss_bytes) for window in whole]


def _line_through(samples: Sequence[Sample]) -> tuple[float | None, float | None]:
    """Bytes a second of resident memory, and its standard error; None of fewer than four."""
    if len(samples) < 4:
        return None, None
    at_s, held = np.array([each.at_s for each in samples]), np.array([each.rss_bytes for each in samples], float)
    coefficients, covariance = np.polyfit(at_s, held, 1, cov=True)
    return float(coefficients[0]), float(np.sqrt(covariance[0, 0]))


def show(report: Report, chaos: dict[str, Any], lives: Sequence[Life]) -> None:
    """The table of lives that have a slope, and what became of frames and faults."""
    n_rounds = len(chaos["rounds"])
    report.say(
        f"Seed {chaos['seed']}, {chaos['minutes']:g} minutes, {n_rounds} rounds of faults; "
        + ("nothing was wrong." if chaos["passed"] else "wrong: " + "; ".join(chaos["complaints"])),
        "",
    )
    report.table(
        ("stream", "accepted", "answered", "lost", "failed over", "switches"),
        [
            (
                each["model"],
                each["frames"]["accepted"],
                each["frames"]["answered"],
                each["frames"]["lost"],
                each["frames"]["completed_elsewhere"],
                each["switches"],
            )
            for each in chaos["streams"]
        ],
    )
    report.say(
        "Memory (RSS), threads and open files after the warm-up and at the end; lives long enough for a slope:", ""
    )
    report.table(
        ("process", "minutes", "MB", "MB/h (one sigma)", "threads", "files"),
        [_row(each) for each in lives if each.slope_bytes_per_s is not None],
    )
    report.say(
        f"{len(lives)} lives in all, {sum(each.slope_bytes_per_s is None for each in lives)} too short for a slope.", ""
    )


def _row(each: Life) -> tuple[str, ...]:
    assert each.slope_bytes_per_s is not None
    assert each.sigma_bytes_per_s is not None
    return (
        each.name,
        f"{each.from_s / 60:.0f}-{each.to_s / 60:.0f}",
        _both(each.rss_bytes, 1e6),
        f"{each.slope_bytes_per_s * 3600 / 1e6:.2f} ({each.sigma_bytes_per_s * 3600 / 1e6:.2f})",
        _both(each.threads),
        _both(each.files),
    )


def _both(values: tuple[int, int], unit: float = 1.0) -> str:
    return " -> ".join(f"{value / unit:.1f}" if unit > 1 else f"{value}" for value in values)


def columns(samples: Sequence[Sample]) -> dict[str, list[Any]]:
    """Samples as columns: short in JSON."""
    rows = [asdict(each) for each in samples]
    return {key: [row[key] for row in rows] for key in (rows[0] if rows else {})}


def draw(samples: Sequence[Sample], path: Path) -> None:
    """Memory over time, one line per life. Needs matplotlib, the extra `plots`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    colours = {ORIGIN: "tab:blue", "fog": "tab:orange", "cloud": "tab:green"}
    for lived in by_process(samples):
        minutes = [each.at_s / 60 for each in lived]
        axes.plot(minutes, [each.rss_bytes / 1e6 for each in lived], ".-", color=colours[lived[0].name], linewidth=1)
    for name, colour in colours.items():
        axes.plot([], [], color=colour, label=name)
    axes.set(xlabel="minutes", ylabel="resident memory, MB", ylim=(0, None))
    axes.legend(loc="lower right")
    figure.savefig(path)


if __name__ == "__main__":
    main()
