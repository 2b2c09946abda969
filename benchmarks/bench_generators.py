"""Is generated weather like recorded weather? Statistics of both, and what adaptive loses in either.

Every climate of `seamline.sim.generate` stands beside the recorded set that it was fitted to. Rates are looked at ten
times a second and in logarithms, since a link that halves matters as much as one that doubles; what carries less than
0.1 Mbit/s is an outage, and apart. Regret is the mean latency of adaptive over the best fixed plan known in hindsight.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from itertools import groupby
from pathlib import Path

import numpy as np
from reporting import Report, parser, progress
from weather_cases import Group, NamedTrace, cases_of, traces_of

from seamline.config import Trace

PAIRS = {
    "norway-3g": "3g",
    "fcc": "fixed",
    "oboe": "video",
    "puffer": "congested",
    "lumos-4g": "4g",
    "lumos-5g": "5g",
}
MODELS = ("mobilenetv2", "resnet50")
DURATION_S, STEP_S, DEAD_BPS, FAR = 150.0, 0.1, 0.1e6, math.log(2.0)
N_SEEDS, N_PLAYED_SEEDS, N_PRIVATE, FPS = 60, 8, 1, 2.0
MOST_APART_RATIO = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """One trace's. std, correlations and steps are of the logarithm while the link carries.

    far_ratio: of seconds after which the rate is more than twice or less than half. hold_s: between changes.
    """

    median_mbps: float
    std: float
    after_1_s: float
    after_2_s: float
    after_5_s: float
    after_20_s: float
    step_1_s: float
    far_ratio: float
    hold_s: float
    dead_ratio: float
    n_outages: float
    outage_s: float

    @staticmethod
    def of(trace: Trace) -> Statistics:
        times_s = np.arange(0.0, min(DURATION_S, trace.length_s), STEP_S)
        rates_bps = np.array([trace.rate_bps_at(at_s) for at_s in times_s.tolist()])
        is_up = rates_bps > DEAD_BPS
        logs = np.log(np.maximum(rates_bps, 1.0))
        centred = logs - logs[is_up].mean()
        variance = float(np.mean(centred[is_up] ** 2))

        def correlation(lag_s: float) -> float:
            n = round(lag_s / STEP_S)
            both = is_up[:-n] & is_up[n:]
            return float(np.mean((centred[:-n] * centred[n:])[both])) / variance

        second = round(1.0 / STEP_S)
        steps = np.abs(logs[second:] - logs[:-second])[is_up[second:] & is_up[:-second]]
        outages_s = [len(list(run)) * STEP_S for is_dead, run in groupby(~is_up) if is_dead]
        return Statistics(
            median_mbps=float(np.median(rates_bps[is_up])) / 1e6,
            std=math.sqrt(variance),
            after_1_s=correlation(1.0),
            after_2_s=correlation(2.0),
            after_5_s=correlation(5.0),
            after_20_s=correlation(20.0),
            step_1_s=float(steps.mean()),
            far_ratio=float(np.mean(steps > FAR)),
            hold_s=len(times_s) * STEP_S / max(1, int(np.count_nonzero(np.diff(logs)))),
            dead_ratio=float(np.mean(~is_up)),
            n_outages=len(outages_s),
            outage_s=float(np.mean(outages_s)) if outages_s else math.nan,
        )


def main() -> None:
    options = parser("Generated weather beside recorded weather")
    options.add_argument("--traces", type=Path, required=True, help="folder of CSV or mahimahi files")
    options.add_argument("--profiles", type=Path, required=True, help="folder of MODEL-NODE.json, for edge, fog, cloud")
    options.add_argument("--models", default=",".join(MODELS), help="separated by commas")
    options.add_argument("--workers", type=int, default=2, help="processes")
    chosen = options.parse_args()
    report = Report("generators", "Generated weather beside recorded weather", chosen)
    recorded = traces_of([chosen.traces], [])
    sets = {name: [one for one in recorded if one.kind == name] for name in PAIRS}
    made = {
        kind: traces_of([], [f"{kind}:{seed}:{DURATION_S:g}" for seed in range(N_SEEDS)]) for kind in PAIRS.values()
    }
    _tell_statistics(report, sets, made)
    _tell_regret(report, sets, made, chosen.profiles, chosen.models.split(","), chosen.workers, is_quick=chosen.quick)
    report.finish()


def _tell_statistics(report: Report, sets: dict[str, list[NamedTrace]], made: dict[str, list[NamedTrace]]) -> None:
    report.say(f"## Statistics, means over traces ({N_SEEDS} generated ones of a kind)", "")
    names = [one.name for one in fields(Statistics)]
    rows = []
    for name, kind in PAIRS.items():
        for title, traces in ((name, sets[name]), (f"`{kind}`", made[kind])):
            found = [Statistics.of(one.trace) for one in traces]
            values = {one: [getattr(each, one) for each in found] for one in names}
            apart = float(np.std(np.log(values["median_mbps"])))
            rows.append((title, len(traces), *(_mean(values[one]) for one in names), f"{apart:.2f}"))
            report.data[title.strip("`")] = {one: _without_nan(values[one]) for one in names}
    report.table(("set", "n", *(one.replace("_", " ") for one in names), "std of medians"), rows)
    report.say(
        "`std`, correlations `after` some seconds and the mean `step` after one are of the natural logarithm of the "
        "rate, outages apart. `bursty` is fitted to nothing that is here, and left out.",
        "",
    )


def _without_nan(values: Sequence[float]) -> list[float | None]:
    """JSON has no word for what is not a number."""
    return [None if math.isnan(value) else value for value in values]


def _mean(values: Sequence[float]) -> str:
    known = [value for value in values if not math.isnan(value)]
    return f"{np.mean(known):.2f}" if known else "-"


def _tell_regret(
    report: Report,
    sets: dict[str, list[NamedTrace]],
    made: dict[str, list[NamedTrace]],
    profiles: Path,
    models: Sequence[str],
    n_workers: int,
    *,
    is_quick: bool,
) -> None:
    n_played = 1 if is_quick else N_PLAYED_SEEDS
    regrets: dict[str, list[list[float]]] = {}
    with ProcessPoolExecutor(n_workers) as pool:
        for name, kind in PAIRS.items():
            for title, traces in ((name, sets[name][:n_played]), (kind, made[kind][:n_played])):
                progress(f"regret in {title}")
                groups = [_group(one, model, profiles) for one in traces for model in models]
                played = pool.map(cases_of, groups, [{}] * len(groups))
                found = [case.over("static_best") for cases, _ in played for case in cases]
                regrets[title] = [found[at : at + len(models)] for at in range(0, len(found), len(models))]
    report.say("## Regret against the best fixed plan, %", "")
    rows = [_regret_row(name, regrets[name], kind, regrets[kind]) for name, kind in PAIRS.items()]
    every = [[values for one in side for values in regrets[one]] for side in (PAIRS, PAIRS.values())]
    rows.append(_regret_row("all", every[0], "all", every[1]))
    head = ("recorded", "n", "mean", "error", "worst", "generated", "n", "mean", "error", "worst", "apart", "error")
    report.table(head, rows)
    far = [row[0] for row in rows if abs(float(str(row[-2]))) > 100 * MOST_APART_RATIO]
    report.say(
        f"{', '.join(models)}, raw frames private, {FPS:g} frames/s; n traces. Errors are those of means over traces. "
        f"Aim: means within {100 * MOST_APART_RATIO:.0f} points. Further apart: {', '.join(map(str, far)) or 'none'}.",
        "",
    )
    report.data["regret"] = regrets


def _group(trace: NamedTrace, model: str, profiles: Path) -> Group:
    return Group(
        trace=trace,
        model=model,
        n_private=N_PRIVATE,
        fps=FPS,
        objectives=("latency",),
        profiles=profiles,
        length_s=DURATION_S,
    )


def _regret_row(
    name: str, recorded: Sequence[Sequence[float]], kind: str, generated: Sequence[Sequence[float]]
) -> tuple[object, ...]:
    """recorded, generated: of every trace, by model."""
    cells: list[object] = []
    means, errors = [], []
    for title, regrets in ((name, recorded), (f"`{kind}`", generated)):
        of_traces = 100 * np.array([np.mean(values) for values in regrets])
        means.append(float(of_traces.mean()))
        errors.append(float(of_traces.std(ddof=1)) / math.sqrt(len(of_traces)) if len(of_traces) > 1 else math.nan)
        worst = 100 * max(map(max, regrets))
        cells += [title, len(of_traces), f"{means[-1]:+.2f}", f"{errors[-1]:.2f}", f"{worst:+.1f}"]
    return (*cells, f"{means[1] - means[0]:+.2f}", f"{math.hypot(*errors):.2f}")


if __name__ == "__main__":
    main()
