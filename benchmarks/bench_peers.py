"""Seamline beside what one would write instead: the same halves of a network in two processes, over the same link.

    python benchmarks/bench_peers.py                                           # every model over loopback
    python benchmarks/bench_peers.py --model mobilenetv2 --link loopback --link 100x20 --only pyzmq --only seamline

All contestants (`contestants.py`, `peers/`) stand there at once and take turns; one thread for the network in each
process. Frames go one at a time, for latency, and several in flight, for throughput. Links are the testbed's relay.
Over loopback also: all on one machine beside plain ONNX Runtime, and Ray Serve where the Python of ``--ray`` has it.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
from contestants import CONTESTANTS, N_WARM_UP, Halves, Kind, Link, Turn, contestants, halves_of, ray_serve
from reporting import Report, parser, progress, spread

CUTS = {"mobilenetv2": 54, "resnet50": 90, "vgg19": 19}
"""About the middle of what each computes; 602,112 bytes cross the first, 802,816 the others."""

BASELINE, FREE = "pyzmq", "Seamline, free"
WHOLE, LOCAL = "ONNX Runtime", "Seamline, local"
FIRST, BOTH = "first half alone", "both halves, one process"
RAY = "Ray Serve"
N_IN_FLIGHT = 4
ANSWER_BYTES = 4000


def main() -> None:
    chosen = _options()
    links = chosen.link or [Link()]
    what = "peers-links" if any(link.rate_bps for link in links) else "peers"
    report = Report(what, "Seamline beside what one would write instead", chosen)
    rows = []
    for name in chosen.model or CUTS:
        with halves_of(name, CUTS[name]) as halves:
            for link in links:
                for kinds in _groups(link, chosen):
                    progress(f"{name} over {link}: {', '.join(kinds)}")
                    rows.append(_compare(report, halves, link, kinds, chosen))
                    _tell(report, rows[-1])
    if os.sched_getscheduler(0) == os.SCHED_RR:
        report.say(
            "All processes ran at real-time priority (`chrt -r 1`), before whatever else ran on this machine.", ""
        )
    report.data = {"comparisons": rows}
    report.finish()


def _options() -> Namespace:
    options = parser("Seamline beside its alternatives")
    options.add_argument("--model", action="append", choices=CUTS, help="repeatable; all when not given")
    links = "`loopback`, or Mbit/s and ms there and back: 100x20; repeatable"
    options.add_argument("--link", action="append", type=_link, help=links)
    options.add_argument("--only", action="append", help="contestants whose name has this word; repeatable")
    options.add_argument("--ray", default=sys.executable, metavar="PYTHON", help="one that has `ray[serve]`")
    options.add_argument("--starts", type=int, help="how often contestants are started: layouts of memory differ")
    options.add_argument("--rounds", type=int, help="turns of each contestant from each start")
    options.add_argument("--turn-s", type=float, help="about how long a turn takes, each way of sending")
    chosen = options.parse_args()
    chosen.starts = chosen.starts or (1 if chosen.quick else 3)
    chosen.rounds = chosen.rounds or (3 if chosen.quick else 4)
    chosen.turn_s = chosen.turn_s or (0.7 if chosen.quick else 1.0)
    return chosen


def _link(text: str) -> Link:
    if text == "loopback":
        return Link()
    rate, _, rtt = text.partition("x")
    return Link(rate_bps=float(rate) * 1e6, rtt_s=float(rtt) / 1e3)


def _groups(link: Link, chosen: Namespace) -> list[dict[str, Kind]]:
    """Who is compared with whom; the first of each is the baseline."""
    wire = [name for name in CONTESTANTS if name not in (WHOLE, LOCAL)]
    groups = [{name: CONTESTANTS[name] for name in wire}]
    if not link.rate_bps:
        groups.append({name: CONTESTANTS[name] for name in (WHOLE, LOCAL)})
        if _has_ray(chosen.ray):
            groups.append({BASELINE: CONTESTANTS[BASELINE], RAY: ray_serve(chosen.ray)})
        else:
            progress(f"SKIPPED {RAY}: {chosen.ray} has no `ray[serve]`; install it into a venv and name that by --ray")
    if chosen.only:
        words = [word.lower() for word in chosen.only]
        groups = [{name: group[name] for name in group if any(w in name.lower() for w in words)} for group in groups]
    return [group for group in groups if len(group) > 1]


def _has_ray(python: str) -> bool:
    words = [python, "-c", "import ray.serve, onnxruntime"]
    return subprocess.run(words, stderr=subprocess.DEVNULL, check=False).returncode == 0


def _compare(report: Report, halves: Halves, link: Link, kinds: dict[str, Kind], chosen: Namespace) -> dict[str, Any]:
    """Contestants of `kinds` over `link`, started several times and in turn; their samples by name."""
    turns: dict[str, list[Turn]] = {name: [] for name in kinds}
    memory: dict[str, list[int]] = {}
    n_in_flight = 0
    for start in range(chosen.starts):
        with contestants(kinds, halves, link) as all_of_them:
            first = {each.name: each.turn(N_WARM_UP + 5, N_IN_FLIGHT + 8, N_IN_FLIGHT) for each in all_of_them}
            n_in_flight = n_in_flight or _n_in_flight(first, halves, link)
            for number in range(chosen.rounds):
                progress(f"  start {start + 1} of {chosen.starts}, round {number + 1} of {chosen.rounds}")
                for at in range(len(all_of_them)):
                    each = all_of_them[(at + number) % len(all_of_them)]
                    sizes = _sizes(first[each.name], n_in_flight, chosen.turn_s)
                    turns[each.name].append(each.turn(*sizes, n_in_flight))
            for each in all_of_them:
                memory[each.name] = each.memory_bytes()
                if each.far_pid is not None:
                    report.child_cpu(each.far_pid)
    _check(turns)
    return {
        "model": halves.model.name,
        "cut": halves.cut,
        "boundary_bytes": halves.boundary_bytes,
        "link": str(link),
        "n_in_flight": n_in_flight,
        "bounds": _bounds(turns, halves, link),
        "contestants": {name: {**_samples(own), "memory_bytes": memory[name]} for name, own in turns.items()},
    }


def _n_in_flight(first: dict[str, Turn], halves: Halves, link: Link) -> int:
    """Frames in flight that fill the path, by the warm-up."""
    baseline_s = next(iter(first.values())).latency_s
    computing_s = baseline_s / 2
    if {FIRST, BOTH} <= first.keys():
        computing_s = max(first[FIRST].latency_s, first[BOTH].latency_s - first[FIRST].latency_s)
    interval_s = max(computing_s, link.serialisation_s(halves.boundary_bytes))
    return max(N_IN_FLIGHT, math.ceil(baseline_s / interval_s) + 2)


def _sizes(first: Turn, n_in_flight: int, turn_s: float) -> tuple[int, int]:
    """How many frames take a turn's time one at a time, and together, by the warm-up."""
    n_alone = N_WARM_UP + max(5, int(turn_s / first.latency_s))
    return n_alone, n_in_flight + max(8, int(turn_s * first.throughput_fps))


def _bounds(turns: dict[str, list[Turn]], halves: Halves, link: Link) -> dict[str, list[float]]:
    """What no pipeline of these halves can beat, round by round: computing, bytes / rate and one round trip."""
    if not {FIRST, BOTH} <= turns.keys():
        return {}
    first_s, both_s = ([turn.latency_s for turn in turns[name]] for name in (FIRST, BOTH))
    there_s, back_s = map(link.serialisation_s, (halves.boundary_bytes, ANSWER_BYTES))
    return {
        "first_s": first_s,
        "both_s": both_s,
        "latency_s": [both + there_s + back_s + link.rtt_s for both in both_s],
        "throughput_fps": [1 / max(a, both - a, there_s) for a, both in zip(first_s, both_s, strict=True)],
    }


def _samples(turns: Sequence[Turn]) -> dict[str, Any]:
    return {
        "latency_s": [turn.latencies_s for turn in turns],
        "throughput_fps": [turn.throughput_fps for turn in turns],
        **{f"{key}_alone": [turn.alone[key] for turn in turns] for key in ("origin_cpu_s", "cpu_s")},
        **{f"{key}_together": [turn.together[key] for turn in turns] for key in ("origin_cpu_s", "cpu_s")},
        "plans": dict(sum((turn.plans for turn in turns), Counter())),
    }


def _check(turns: dict[str, list[Turn]]) -> None:
    """The same frame has the same answer, whoever gives it without a loss."""
    answers = {
        name: way["answer"]
        for name, own in turns.items()
        for way in (own[-1].alone, own[-1].together)
        if name not in (FIRST, FREE)
    }
    (best, score), *others = answers.values()
    if any(other != best or not math.isclose(theirs, score, rel_tol=1e-4) for other, theirs in others):
        raise SystemExit(f"the answers differ: {answers}")


def _tell(report: Report, row: dict[str, Any]) -> None:
    report.say(f"## {row['model']} over {row['link']}", "")
    found = {name: each for name, each in row["contestants"].items() if name not in (FIRST, BOTH)}
    bounds = row["bounds"]
    if bounds:
        first_s, both_s = spread(bounds["first_s"]), spread(bounds["both_s"])
        report.say(
            f"{row['boundary_bytes']:,} bytes cross at cut {row['cut']}; {row['n_in_flight']} frames in flight. Bound:",
            f"computing takes {both_s.text(1e3)} ms alone, of which {first_s.text(1e3)} in the first half; "
            f"with the link {spread(bounds['latency_s']).text(1e3)} ms,",
            f"and at most {spread(bounds['throughput_fps']).text(1, 1)} frames/s.",
            "",
        )
    baseline = next(iter(found))
    ratios = (f"ratio to {baseline}", *(("ratio to bound",) if bounds else ()))
    report.table(
        ("", "latency p50, ms", "p95", *ratios, "frames/s", *ratios, "CPU ms/frame, origin", "in all", "RSS, MiB"),
        [_cells(name, each, found[baseline], bounds) for name, each in found.items()],
    )
    for name, each in found.items():
        if each["plans"] and name != LOCAL:
            plans = ", ".join(f"`{plan}` {n}" for plan, n in Counter(each["plans"]).most_common(4))
            report.say(f"{name}, frames by plan: {plans}.", "")


def _cells(name: str, found: dict[str, Any], baseline: dict[str, Any], bounds: dict[str, Any]) -> tuple[str, ...]:
    latencies_s = [value for each in found["latency_s"] for value in each]
    own_s = [median(each) for each in found["latency_s"]]
    beside_s = [[median(each) for each in baseline["latency_s"]], *([bounds["latency_s"]] if bounds else [])]
    beside_fps = [baseline["throughput_fps"], *([bounds["throughput_fps"]] if bounds else [])]
    return (
        name,
        f"{np.percentile(latencies_s, 50) * 1e3:.2f}",
        f"{np.percentile(latencies_s, 95) * 1e3:.2f}",
        *(_ratio(own_s, other) for other in beside_s),
        spread(found["throughput_fps"]).text(1, 1),
        *(_ratio(found["throughput_fps"], other) for other in beside_fps),
        spread(found["origin_cpu_s_alone"]).text(1e3, 1),
        spread(found["cpu_s_alone"]).text(1e3, 1),
        " + ".join(f"{n_bytes / 2**20:.0f}" for n_bytes in found["memory_bytes"]),
    )


def _ratio(own: Sequence[float], other: Sequence[float]) -> str:
    """Round by round."""
    return spread(a / b for a, b in zip(own, other, strict=True)).text()


if __name__ == "__main__":
    main()
