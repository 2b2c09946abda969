"""Which cells make up which figure and table, and how many switches each takes."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.neukonfig_2021.conditions import Cell
from seamline.core.switching import STRATEGIES

GRID_RATIOS = (0.25, 0.5, 0.75, 1.0)
FRAME_RATES_FPS = (5.0, 10.0, 15.0, 20.0)
N_SWITCHES = 20


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
    rates = (("mobilenetv2", 20.0, 1.0), ("vgg19", 2.0, 2.0))
    return [
        Cell(strategy=name, model=model, fps=fps, n_switches=N_SWITCHES, period_s=period_s)
        for model, fps, period_s in rates
        for name in STRATEGIES
    ]


def grid() -> Sequence[Cell]:
    """Fig. 11-13: CPU and memory of the edge, for the strategies the paper plots and ours; and 10 % memory."""
    names = ("pause-resume", "standby", "spawn-container", "spawn", "live")
    ratios = [(cpu, 1.0) for cpu in GRID_RATIOS[:-1]] + [(1.0, memory) for memory in (0.1, *GRID_RATIOS[:-1])]
    return [
        Cell(strategy=name, model="mobilenetv2", fps=5.0, n_switches=6, cpu_ratio=cpu, memory_ratio=memory)
        for cpu, memory in ratios
        for name in names
    ]


def frame_rates() -> Sequence[Cell]:
    """Fig. 14 and 15: frames dropped during the switch, by camera rate."""
    names = ("pause-resume", "standby", "spawn-container", "spawn", "live")
    return [
        Cell(strategy=name, model="mobilenetv2", fps=fps, n_switches=10)
        for fps in FRAME_RATES_FPS[:-1]
        for name in names
    ]


def full() -> Sequence[Cell]:
    """Everything, what matters most first."""
    return [*table_one(), *frame_rates(), *grid()]
