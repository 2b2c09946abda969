"""The policy in virtual time in recorded weather: every trace x model x privacy x frame rate x objective.

Every trace (CSV ``time_s,mbps`` or mahimahi, the first 150 s) is the link from edge to fog, 20 ms one way; fog to cloud
is 100 Mbit/s. Traces and profiles are not shipped: give their folders. Traces whose names differ only in a number at
the end are one set. Everything is modelled.

Thresholds are chosen on traces with even numbers (``--half tune``) and judged on the others (``--half judge``). With
``--rivals FILE`` figures of all but the adaptive policy are kept, which halves the time of the next run.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from reporting import Report, parser, progress
from weather_cases import OBJECTIVES, RIVALS, Case, Group, Rivals, cases_of, traces_of
from weather_story import as_json, lines_of, windows_of

MODELS = ("mobilenetv2", "resnet50", "vgg16")
FAR_RATIO = 0.02
N_WORST = 10
DURATION_S = 150.0
HALVES = {"tune": 0, "judge": 1}
QUICK_STEP = 12
MOST_WORST_RATIO, MOST_WORST_AFTER_START_RATIO = 0.05, 0.03
MOST_FAR_SHARE, MOST_OVER_ORACLE_RATIO = 0.05, 0.05
HEAD = (
    "cases",
    "n",
    "over best fixed %",
    "median",
    "p95",
    "worst",
    "behind > 2 %",
    "ahead > 2 %",
    "after 20 s %",
    "worst",
    "over oracle %",
    "start %",
    "local %",
    "offload %",
    "switches",
    "losses",
    "knowing over best fixed %",
)


def main() -> None:
    chosen = _options()
    half = "" if chosen.half == "all" else f"-{chosen.half}"
    report = Report(f"{chosen.name}{half}", "The policy in recorded weather", chosen)
    groups = [group for group in _groups(chosen) if place(group) < chosen.sample]
    started_s = time.monotonic()
    cases = _played(groups, Rivals(chosen.rivals), chosen.workers)
    elapsed_s = time.monotonic() - started_s
    _tell(report, cases)
    by_name = {group.name: group for group in groups}
    _tell_worst(report, cases, by_name, chosen)
    spent_s = np.array([case.spent_s for case in cases])
    report.say(
        f"{len(cases)} cases in {elapsed_s:.0f} s, {elapsed_s / len(cases):.2f} s a case with {chosen.workers} "
        f"workers; adaptive's run takes {spent_s.mean():.2f} s of a processor (median {np.median(spent_s):.2f}, most "
        f"{spent_s.max():.2f}).",
        "",
    )
    report.finish()


def _options() -> argparse.Namespace:
    options = parser("The policy in recorded weather")
    options.add_argument("--traces", type=Path, nargs="+", default=[], help="folders of CSV or mahimahi files")
    options.add_argument("--generate", default="", help="KIND:SEED:SECONDS,... are traces too")
    options.add_argument("--profiles", type=Path, required=True, help="folder of MODEL-NODE.json, for edge, fog, cloud")
    options.add_argument("--models", default=",".join(MODELS), help="separated by commas")
    options.add_argument("--private", default="0,1", help="how many cuts are private, separated by commas")
    options.add_argument("--fps", default="2,10", help="of the source, separated by commas")
    options.add_argument("--objective", default=",".join(OBJECTIVES), help="of latency, energy, deadline")
    options.add_argument("--half", choices=("tune", "judge", "all"), default="all", help="even or odd numbers, or all")
    options.add_argument("--sets", default="", help="only these, separated by commas: norway-3g,puffer")
    options.add_argument("--sample", type=float, default=1.0, help="share of the groups, the same ones every time")
    options.add_argument("--seconds", type=float, default=DURATION_S, help="of each trace at most")
    options.add_argument("--workers", type=int, default=2, help="processes")
    options.add_argument("--rivals", type=Path, help="file that keeps the figures of everybody but adaptive")
    options.add_argument("--knowing", action="store_true", help="play adaptive once more, told the true links")
    options.add_argument("--case", default="", help="the whole story of TRACE/MODEL/PRIVATE/FPS/OBJECTIVE alone")
    options.add_argument("--name", default="weather", help="first part of the result's file name")
    chosen = options.parse_args()
    if chosen.case:
        trace, chosen.models, chosen.private, chosen.fps, chosen.objective = chosen.case.split("/")
        chosen.only, chosen.half, chosen.sets, chosen.quick = trace, "all", "", True
    else:
        chosen.only = ""
    return chosen


def _groups(chosen: argparse.Namespace) -> Iterator[Group]:
    traces = traces_of(chosen.traces, listed(chosen.generate))
    traces = [one for one in traces if chosen.half == "all" or one.number % 2 == HALVES[chosen.half]]
    if sets := listed(chosen.sets):
        traces = [one for one in traces if one.kind in sets]
    if chosen.only:
        traces = [one for one in traces if one.name == chosen.only]
    elif chosen.quick:
        traces = traces[::QUICK_STEP]
    for trace in traces:
        for model in listed(chosen.models):
            for n_private in map(int, listed(chosen.private)):
                for fps in map(float, listed(chosen.fps)):
                    yield Group(
                        trace=trace,
                        model=model,
                        n_private=n_private,
                        fps=fps,
                        objectives=tuple(listed(chosen.objective)),
                        profiles=chosen.profiles,
                        length_s=chosen.seconds,
                        with_knowing=chosen.knowing,
                    )


def place(group: Group) -> float:
    """From 0 to 1, evenly and without any order."""
    return int.from_bytes(hashlib.sha256(group.name.encode()).digest()[:4]) / 2.0**32


def listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _played(groups: Sequence[Group], rivals: Rivals, n_workers: int) -> list[Case]:
    """In the order of groups, whoever finishes first."""
    found: dict[str, list[Case]] = {}
    started_s = time.monotonic()
    with ProcessPoolExecutor(n_workers) as pool:
        mixed = sorted(groups, key=place)  # so that the time that is left can be told, and faults show early
        waiting = {pool.submit(cases_of, group, rivals.of(group)): group for group in mixed}
        for number, done in enumerate(as_completed(waiting), start=1):
            group = waiting[done]
            found[group.name], added = done.result()
            rivals.add(group, added)
            left_s = (time.monotonic() - started_s) / number * (len(groups) - number)
            worst = max(found[group.name], key=lambda case: case.over("static_best"))
            words = f"worst by {worst.objective}, {100 * worst.over('static_best'):+.1f} %"
            progress(f"{number}/{len(groups)}, {left_s:.0f} s left: {group.name}, {words}")
            if number % 10 == 0:
                rivals.save()
    rivals.save()
    return [case for group in groups for case in found[group.name]]


# -- what it comes to --------------------------------------------------------------------------------------------------


def _tell(report: Report, cases: Sequence[Case]) -> None:
    report.say(
        "By how much adaptive did worse than others: percent of the mean latency or of the joules a frame; by "
        "deadline, how many more frames of 100 missed it. Less than 0 is better. Means over cases, where nothing else "
        "is said. Losses are switches since a node was no longer there. Fixed plans are held by a "
        "session that measures its links, as a user holds them. Knowing is adaptive told the true links.",
        "",
    )
    report.table(HEAD, [_row("all", cases)])
    report.say("Aims, over all cases and in every set of each objective:", "")
    report.say(*(f"- {line}" for line in _aims(cases)), "")
    for objective in dict.fromkeys(case.objective for case in cases):
        mine = [case for case in cases if case.objective == objective]
        report.say(f"## By {objective}", "")
        splits: tuple[tuple[str, Callable[[Case], Any]], ...] = (
            ("", lambda case: case.kind),
            ("", lambda case: case.model),
            ("private ", lambda case: case.n_private),
            ("frames/s ", lambda case: f"{case.fps:g}"),
        )
        rows = [
            _row(f"{word}{value}", [case for case in mine if key(case) == value])
            for word, key in splits
            for value in dict.fromkeys(map(key, mine))
        ]
        report.table(HEAD, [*rows, _row("all", mine)])
        if objective == "deadline":
            report.say(_joules(mine), "")
    head, rows = _samples(cases)
    report.data |= {"case": head, "cases": rows}


def _aims(cases: Sequence[Case]) -> Iterator[str]:
    """Whether each is met, and by whom it is missed."""
    sets: dict[str, list[Case]] = {"all": list(cases)}
    for case in cases:
        sets.setdefault(f"{case.objective} {case.kind}", []).append(case)
    for rival, words in (
        ("static_best", "the best fixed plan"),
        ("static_at_start", "the start's plan"),
        ("local", "all local"),
    ):
        over = {name: float(np.nanmean([case.over(rival) for case in some])) for name, some in sets.items()}
        yield _verdict(f"mean over {words} at most 0 %", {name: value for name, value in over.items() if value > 0.0})
    worst = {case.name: case.over("static_best") for case in cases}
    later = {case.name: case.over("static_best", after_start=True) for case in cases}
    for words, most, values in (
        ("no case", MOST_WORST_RATIO, worst),
        ("after 20 s no case", MOST_WORST_AFTER_START_RATIO, later),
    ):
        missed = {name: value for name, value in values.items() if value > most}
        share = f"{len(missed)} of {len(_known(list(values.values())))} cases"
        yield f"{words} above {100 * most:+.0f} % over the best fixed plan: " + (
            f"missed by {share}" if missed else "met"
        )
    far = sum(value > FAR_RATIO for value in worst.values()) / len(worst)
    yield _judged(f"behind it by more than 2 % in at most {100 * MOST_FAR_SHARE:.0f} % of cases", far, MOST_FAR_SHARE)
    oracle = float(np.mean([case.over("oracle") for case in cases]))
    yield _judged(f"mean over the oracle at most {100 * MOST_OVER_ORACLE_RATIO:.0f} %", oracle, MOST_OVER_ORACLE_RATIO)


def _verdict(aim: str, missed: dict[str, float]) -> str:
    return f"{aim}: " + (
        "missed by " + ", ".join(f"{name} ({100 * value:+.1f})" for name, value in missed.items()) if missed else "met"
    )


def _judged(aim: str, value: float, most: float) -> str:
    return f"{aim}: {'met' if value <= most else 'missed'}, {100 * value:.1f} %"


def _samples(cases: Sequence[Case]) -> tuple[str, list[str]]:
    """One line a case, as CSV, and what its columns are."""
    names = ("adaptive", "knowing", *RIVALS)
    head = ("case", "slo_s", *(f"cost {name}" for name in names), *(f"after 20 s {name}" for name in names))
    rows = []
    for case in cases:
        figures = [case.figures.get(name) for name in names]
        mine, best = case.figures["adaptive"], case.figures["static_best"]
        numbers = [
            case.slo_s,
            *(one and one.cost for one in figures),
            *(one and one.cost_after_start for one in figures),
        ]
        numbers += [mine.energy_j / best.energy_j, mine.n_answered, mine.n_late, mine.n_switches, mine.n_losses]
        cells = ["" if number is None else f"{number:.5g}" for number in numbers]
        rows.append(",".join((case.name, *cells, best.plan)))
    return ",".join((*head, "joules over best fixed", "answered", "late", "switches", "losses", "best plan")), rows


def _row(name: str, cases: Sequence[Case]) -> tuple[object, ...]:
    best = np.array([case.over("static_best") for case in cases])
    rest = [case.over("static_best", after_start=True) for case in cases]
    behind, ahead = best > FAR_RATIO, best < -FAR_RATIO
    means = [_mean([case.over(rival) for case in cases]) for rival in RIVALS if rival != "static_best"]
    return (
        name,
        len(cases),
        f"{100 * best.mean():+.2f}",
        f"{100 * np.median(best):+.2f}",
        f"{100 * np.percentile(best, 95):+.1f}",
        f"{100 * best.max():+.1f}",
        f"{int(behind.sum())} ({100 * behind.mean():.0f} %)",
        f"{int(ahead.sum())} ({100 * ahead.mean():.0f} %)",
        _mean(rest),
        _most(rest),
        *means,
        _count([case.figures["adaptive"].n_switches for case in cases]),
        _count([case.figures["adaptive"].n_losses for case in cases]),
        _mean([case.over("static_best", who="knowing") for case in cases]),
    )


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _mean(values: Sequence[float]) -> str:
    known = _known(values)
    return f"{100 * np.mean(known):+.2f}" if known else "-"


def _most(values: Sequence[float]) -> str:
    known = _known(values)
    return f"{100 * max(known):+.1f}" if known else "-"


def _count(values: Sequence[int]) -> str:
    return f"{np.mean(values):.1f}"


def _joules(cases: Sequence[Case]) -> str:
    pairs = [(case.figures["adaptive"], case.figures["static_best"]) for case in cases]
    missed = [100 * float(np.mean([pair[at].missed_ratio for pair in pairs])) for at in (0, 1)]
    over = 100 * (float(np.mean([mine.energy_j / best.energy_j for mine, best in pairs])) - 1.0)
    return (
        f"Of adaptive's frames {missed[0]:.1f} % missed their deadline, of the best fixed plan's {missed[1]:.1f} %; "
        f"adaptive's took {over:+.1f} % joules. The best fixed plan is the one with fewest misses, by joules among "
        "equals."
    )


def _tell_worst(report: Report, cases: Sequence[Case], groups: dict[str, Group], chosen: argparse.Namespace) -> None:
    worst = sorted(cases, key=lambda case: -case.over("static_best"))[: 1 if chosen.case else N_WORST]
    report.say(f"## The worst {len(worst)} against the best fixed plan", "")
    rivals = [rival for rival in ("knowing", *RIVALS) if any(rival in case.figures for case in worst)]
    head = ("case", "over best fixed", "after 20 s", "adaptive", *rivals, "switches", "losses", "run again")
    report.table(head, [_worst_row(case, rivals) for case in worst])
    report.say(
        "Percent, or frames of 100; costs in ms, joules a frame, or percent of frames that missed the deadline.", ""
    )
    report.data["stories"] = []
    for case in worst:
        progress(f"story of {case.name}")
        windows = windows_of(case, groups[case.group])
        report.say(*lines_of(case, windows, is_whole=bool(chosen.case)))
        report.data["stories"].append(as_json(case, windows))


def _worst_row(case: Case, rivals: Sequence[str]) -> tuple[object, ...]:
    costs = [_cost(case, name) for name in ("adaptive", *rivals)]
    rest = case.over("static_best", after_start=True)
    over = f"{100 * case.over('static_best'):+.1f}"
    mine = case.figures["adaptive"]
    return case.name, over, _mean([rest]), *costs, mine.n_switches, mine.n_losses, mine.n_late


def _cost(case: Case, name: str) -> str:
    if name not in case.figures:
        return "-"
    cost = case.figures[name].cost
    match case.objective:
        case "latency":
            return f"{1e3 * cost:.0f}"
        case "energy":
            return f"{cost:.3g} J"
    return f"{100 * cost:.1f} %"


if __name__ == "__main__":
    main()
