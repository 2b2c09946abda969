"""From measured cells to the numbers that are shown: medians and tails by strategy, memory ratios, orders."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

MeasuredCell = Mapping[str, Any]


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """median, p95 (nearest rank) and max of at least one value."""
    ordered = sorted(values)
    rank = max(0, -(-95 * len(ordered) // 100) - 1)
    return {"median": statistics.median(ordered), "p95": ordered[rank], "max": ordered[-1]}


def column(cell: MeasuredCell, key: str) -> list[float]:
    """One value of every switch of a cell."""
    return [switch[key] for switch in cell["switches"]]


def is_plain(cell: MeasuredCell) -> bool:
    """Whether it ran with two plans and without limits."""
    what = cell["cell"]
    is_usual = what["cpu_ratio"] == what["memory_ratio"] == 1.0 and not what["is_grid"]
    return is_usual and what["n_plans"] == 2


def points_of(results: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(measured, failed): a grid becomes one cell for each of its points; those with `error` have failed."""
    found: list[dict[str, Any]] = []
    for result in results:
        for point in result.get("points", ()):
            shares = {"cpu_ratio": point["cpu_ratio"], "memory_ratio": point["memory_ratio"]}
            one = {**result, **point, "cell": {**result["cell"], **shares}}
            one["frames"] = {**result["frames"], **point["frames"]}
            del one["points"]
            if not point["switches"]:
                one["error"] = f"every switch was refused: {point['refused'][0]['reason']}"
            found.append(one)
        if "points" not in result:
            found.append(dict(result))
    return [one for one in found if "error" not in one], [one for one in found if "error" in one]


def memory_ratio(cell: MeasuredCell, when: str) -> float:
    """PSS of all nodes and their containers, over what one pipeline took before the strategy did anything."""
    before: float = cell["memory"]["before"]["pss_bytes"]
    return float(cell["memory"][when]["pss_bytes"] / before)


def quick_json(cells: Sequence[MeasuredCell]) -> dict[str, Any]:
    """What `seamline reproduce neukonfig-2021 --json` prints: the keys are an interface, see docs/cli.md."""
    chosen = [cell for cell in cells if is_plain(cell)]
    if not chosen:
        return {"strategies": {}, "fps": None, "model": None}
    fps, model = chosen[0]["cell"]["fps"], chosen[0]["cell"]["model"]
    alike = [cell for cell in chosen if (cell["cell"]["fps"], cell["cell"]["model"]) == (fps, model)]
    return {
        "strategies": {cell["cell"]["strategy"]: _summary(cell) for cell in alike},
        "fps": fps,
        "model": model,
    }


def _summary(cell: MeasuredCell) -> dict[str, Any]:
    return {
        "downtime_s": quantiles(column(cell, "downtime_s")),
        "frames_dropped": int(sum(column(cell, "n_dropped"))),
        "frames_lost": cell["frames"]["lost"],
        "memory_ratio_peak": memory_ratio(cell, "peak"),
        "memory_ratio_steady": memory_ratio(cell, "after"),
        "t_switch_s": statistics.median(column(cell, "t_switch_s")),
        "prepare_s": statistics.median(column(cell, "prepare_s")),
    }


def ms(seconds: float) -> str:
    """Milliseconds with three significant digits."""
    return f"{1e3 * seconds:.3g}" if seconds < 1.0 else f"{1e3 * seconds:.0f}"
