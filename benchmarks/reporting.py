"""What all benchmarks share: options, spreads, a description of the machine, and the two files of a result.

A result is ``results/<what>_<hardware>_<yyyymm>.md`` for people and the same name with ``.json`` for programs, which
holds every sample. How things are measured, and why so, is METHODOLOGY.md; what is measured is each ``bench_*.py``.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from seamline.config.cgroup import memory_total_bytes, n_usable_cores
from seamline.meters.device import cpu_name

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("seamline", "onnxruntime", "openvino", "eclipse-zenoh", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Median, 10th and 90th percentile of `n` samples, in the samples' unit."""

    median: float
    p10: float
    p90: float
    n: int

    def text(self, factor: float = 1.0, digits: int = 2) -> str:
        """``1.23 (1.10-1.45)``, each value times `factor`."""
        return (
            f"{self.median * factor:.{digits}f} ({self.p10 * factor:.{digits}f}-{self.p90 * factor:.{digits}f})"
            if self.n > 1
            else f"{self.median * factor:.{digits}f}"
        )


def spread(values: Iterable[float]) -> Spread:
    """The spread of `values`, of which there must be at least one. Percentiles are linearly interpolated."""
    ordered = sorted(values)
    return Spread(
        median=statistics.median(ordered), p10=_percentile(ordered, 0.1), p90=_percentile(ordered, 0.9), n=len(ordered)
    )


class Report:
    """One benchmark's run: collects lines for people and data for programs, then prints and writes them.

    what: the first part of the result's file name. Everything between construction and `finish` counts as the run; the
    share of the machine that other processes took meanwhile is stated with the result.
    """

    def __init__(self, what: str, title: str, options: argparse.Namespace) -> None:
        self.data: dict[str, Any] = {}
        self._what = what
        self._options = options
        self._lines: list[str] = [f"# {title}", ""]
        self._started_s = time.monotonic()
        self._busy_s, self._own_s = _machine_busy_s(), _own_cpu_s()
        self._load = os.getloadavg()[0]
        self._others_own_s = 0.0
        self._date = datetime.datetime.now(datetime.UTC).date()

    def say(self, *lines: str) -> None:
        """Add `lines` of Markdown."""
        self._lines += lines

    def table(self, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Add a Markdown table; the first column is text, the others are right-aligned."""
        self._lines.append("| " + " | ".join(head) + " |")
        self._lines.append("|---|" + "---:|" * (len(head) - 1))
        self._lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
        self._lines.append("")

    @property
    def is_kept(self) -> bool:
        """Whether the result is written: that of a quick run is not, unless asked for."""
        return not self._options.quick or self._options.write

    def path(self, suffix: str) -> Path:
        """The file of this result that ends in `suffix`, e.g. ``png``."""
        month = f"{self._date:%Y%m}"
        return RESULTS / f"{self._what}_{_slug(hardware())}_{month}.{suffix}"

    def child_cpu(self, pid: int) -> None:
        """Call it before process `pid`, which this benchmark started, ends: its work is ours, not that of others."""
        times = psutil.Process(pid).cpu_times()
        self._others_own_s += times.user + times.system

    def finish(self) -> None:
        """Print the result (JSON with ``--json``) and, unless the run was a quick one, write both files."""
        machine = hardware()
        run = {
            "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
            "commit": _commit(),
            "date": self._date.isoformat(),
            "duration_s": time.monotonic() - self._started_s,
            "load_average_at_start": self._load,
            "others_cpu_ratio": self._others_cpu_ratio(),
            "quick": self._options.quick,
        }
        document = {"benchmark": self._what, "hardware": machine, "run": run, **self.data}
        text = "\n".join([*self._lines, *_footer(machine, run)])
        print(json.dumps(document) if self._options.json else text)
        if not self.is_kept:
            return
        RESULTS.mkdir(exist_ok=True)
        self.path("md").write_text(text + "\n", encoding="utf-8")
        self.path("json").write_text(_as_json(_rounded(document)), encoding="utf-8")
        print(f"wrote benchmarks/results/{self.path('md').name} and .json", file=sys.stderr)

    def _others_cpu_ratio(self) -> float:
        """Share of all cores that processes other than this benchmark's kept busy; 0 is an idle machine."""
        busy_s = _machine_busy_s() - self._busy_s
        own_s = _own_cpu_s() - self._own_s + self._others_own_s
        total_s = (time.monotonic() - self._started_s) * (os.cpu_count() or 1)
        return max(0.0, busy_s - own_s) / total_s


def parser(description: str) -> argparse.ArgumentParser:
    """Options that every benchmark takes; add your own to it."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--json", action="store_true", help="print one JSON object with every sample")
    options.add_argument("--quick", action="store_true", help="few samples, to see that it works; writes no files")
    options.add_argument("--write", action="store_true", help="write the files of a quick run too")
    return options


def hardware() -> dict[str, Any]:
    """The machine and the software versions that figures depend on."""
    return {
        "cpu": cpu_name(),
        "n_cores": n_usable_cores(),
        "memory_bytes": memory_total_bytes(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def progress(text: str) -> None:
    """What is being done, on stderr."""
    print(text, file=sys.stderr, flush=True)


def _footer(machine: dict[str, Any], run: dict[str, Any]) -> list[str]:
    software = ", ".join(f"{name} {machine[name]}" for name in ("python", *PACKAGES))
    return [
        "## How",
        "",
        f"`{run['command']}` on {run['date']}, {run['duration_s']:.0f} s, commit {run['commit']}.",
        "",
        f"{machine['cpu']}, {machine['n_cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB; "
        f"{machine['system']}; {software}.",
        "",
        f"Load average at the start {run['load_average_at_start']:.2f}; other processes kept "
        f"{100 * run['others_cpu_ratio']:.0f} % of all cores busy meanwhile. Every sample is in the JSON file beside "
        "this one; METHODOLOGY.md says how to read it.",
    ]


def _commit() -> str:
    """The commit that is measured: ``SEAMLINE_COMMIT`` for a source tree outside git, else this checkout's."""
    if named := os.environ.get("SEAMLINE_COMMIT"):
        return named
    command = ["git", "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(command, cwd=RESULTS.parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def _slug(machine: dict[str, Any]) -> str:
    name = re.sub(r"\(r\)|\(tm\)|cpu|processor|@.*", " ", machine["cpu"].lower())
    return f"{re.sub(r'[^a-z0-9]+', '-', name).strip('-')}-{machine['n_cores']}c"


def _machine_busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def _own_cpu_s() -> float:
    """Processor seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _percentile(ordered: Sequence[float], ratio: float) -> float:
    at = ratio * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


_NUMBERS = re.compile(r"\[\n((?:\s*-?\d[\d.e+-]*,?\n)+)\s*\]")


def _as_json(document: object) -> str:
    """`document` in lines that a reader and a diff can follow: samples, a list of numbers, take one."""
    text = json.dumps(document, indent=1)
    return _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def _rounded(value: Any) -> Any:
    """Floats with six significant digits: more is noise, and makes the files unreadable."""
    match value:
        case float():
            return float(f"{value:.6g}")
        case dict():
            return {key: _rounded(item) for key, item in value.items()}
        case list() | tuple():
            return [_rounded(item) for item in value]
    return value
