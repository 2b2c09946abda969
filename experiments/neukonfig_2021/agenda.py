"""Which cells make up which figure and table, how many switches each takes, and about how long they last."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.neukonfig_2021.conditions import GRID_RATIOS, Cell
from seamline.core.switching import STRATEGIES, strategy_named

PLOTTED = ("pause-resume", "standby", "spawn-container", "spawn", "live")
"""The strategies that the paper's figures show, and ours."""

SLOWER_RATES_FPS = (5.0, 10.0, 15.0)
"""Of Fig. 14 and 15; 20 frames a second is in Table I."""

LEAST_MEMORY_RATIO = 0.1
N_SWITCHES = 20
N_WITH_GUESSES = 24

START_S = {"mobilenetv2": 8.0, "vgg19": 15.0}
"""From the start of a cell to its first switch, and from the last one to its end, on two cores."""

SWITCH_S = {
    ("mobilenetv2", "spawn-container"): 1.5,
    ("vgg19", "spawn-container"): 8.0,
    ("vgg19", "spawn"): 6.0,
    ("vgg19", "pause-resume"): 6.0,
}
"""What a switch takes where it is longer than the settling time."""


def quick() -> Sequence[Cell]:
    """One model, every strategy, few switches."""
    return [
        Cell(
            strategy=name,
            model="mobilenetv2",
            fps=20.0,
            n_switches=4 if name.endswith("container") else 6,
            period_s=0.8,
        )
        for name in STRATEGIES
    ]


def table_one() -> Sequence[Cell]:
    """Every strategy and both models, in both directions: Fig. 11-13 at full CPU and memory, and Table I."""
    rates = (("mobilenetv2", 20.0, 0.8), ("vgg19", 2.0, 1.5))
    return [
        Cell(strategy=name, model=model, fps=fps, n_switches=N_SWITCHES, period_s=period_s)
        for model, fps, period_s in rates
        for name in STRATEGIES
    ]


def wrong_guesses() -> Sequence[Cell]:
    """Three plans in turn: every second switch goes to a plan that does not stand by."""
    return [
        Cell(strategy=name, model="mobilenetv2", fps=20.0, n_switches=N_WITH_GUESSES, period_s=0.8, n_plans=3)
        for name, one in STRATEGIES.items()
        if one.keeps_standby
    ]


def frame_rates() -> Sequence[Cell]:
    """Fig. 14 and 15: frames dropped during the switch, by camera rate."""
    return [
        Cell(strategy=name, model="mobilenetv2", fps=fps, n_switches=N_SWITCHES, period_s=0.7)
        for fps in SLOWER_RATES_FPS
        for name in PLOTTED
    ]


def grid() -> Sequence[Cell]:
    """Fig. 11-13: CPU x memory of the edge, 16 pairs for each strategy."""
    return [
        Cell(
            strategy=name,
            model="mobilenetv2",
            fps=5.0,
            n_switches=N_SWITCHES,
            period_s=0.25,
            is_grid=True,
            budget_s=5.0,
        )
        for name in PLOTTED
    ]


def slowed() -> Sequence[Cell]:
    """What is left of the grid without control groups: a slower processor."""
    return [
        Cell(strategy=name, model="mobilenetv2", fps=5.0, n_switches=N_SWITCHES, period_s=0.3, cpu_ratio=ratio)
        for ratio in GRID_RATIOS
        if ratio < 1.0
        for name in PLOTTED
    ]


def little_memory() -> Sequence[Cell]:
    """10 % of the memory, where nothing ran in the paper; 25 % for the large model."""
    limited = (
        ("mobilenetv2", 5.0, LEAST_MEMORY_RATIO, 4),
        ("vgg19", 1.0, LEAST_MEMORY_RATIO, 4),
        ("vgg19", 1.0, 0.25, 2),
    )
    return [
        Cell(strategy=name, model=model, fps=fps, n_switches=n_switches, memory_ratio=ratio)
        for model, fps, ratio, n_switches in limited
        for name in PLOTTED
    ]


def full(*, has_groups: bool) -> Sequence[Cell]:
    """Everything, what matters most first. has_groups: memory can be limited, and both while a cell runs."""
    limited = (*little_memory(), *grid()) if has_groups else slowed()
    return [*table_one(), *wrong_guesses(), *frame_rates(), *limited]


def expected_s(cell: Cell) -> float:
    """About how long a cell lasts on two idle cores; for the time left that is shown."""
    start_s = START_S[cell.model] + 2 * max(2.0, cell.period_s)
    one_s = SWITCH_S.get((cell.model, cell.strategy), 0.1) + 0.6
    if strategy_named(cell.strategy).keeps_standby and cell.n_plans > 2:
        one_s = 0.6 + SWITCH_S.get((cell.model, "spawn-container"), 1.0) / 2
    switches_s = cell.n_switches * max(one_s, cell.period_s)
    if cell.budget_s is not None:
        switches_s = min(switches_s, cell.budget_s + 1.0)
    if cell.is_grid:  # with a quarter of a processor four containers take longer than the budget
        return start_s + switches_s * len(GRID_RATIOS) ** 2 + (60.0 if cell.strategy == "spawn-container" else 0.0)
    return start_s + switches_s
