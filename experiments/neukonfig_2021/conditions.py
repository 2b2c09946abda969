"""What one measurement cell is: a strategy, a model, a camera, links and limits. Values only."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

FAST_MBPS, SLOW_MBPS, MEDIUM_MBPS = 20.0, 5.0, 10.0
"""The paper's two, and a third for plans that a standby does not guess."""
DELAY_MS = 10.0
"""One way; the paper's `tc` adds 20 ms to the round trip."""

LEASE_S = 5.0
"""Silence after which edge and cloud lose each other. With the usual 0.4 s they did while VGG-19 was loaded in the
ordinary way on two cores: that takes both cores for seconds, and the interpreter lock for up to 3 s at a time.
"""

EDGE_MEMORY_MB = 8192
"""The paper's edge server; memory percentages are of this."""

CUTS = {"vgg19": (28, 38, 32), "mobilenetv2": (59, 120, 86)}
"""Cut at 20, at 5 and at 10 Mbit/s. VGG-19: after pool4 and after the last pooling, the paper's layers 17 and 22, and a
layer between. MobileNetV2: the ends of three blocks, 12.5, 7.8 and 12.5 kB in 8 bits; the paper's layer 2 would take
64 Mbit/s for 20 frames a second.
"""
RATES_MBPS = (FAST_MBPS, SLOW_MBPS, MEDIUM_MBPS)
GRID_RATIOS = (1.0, 0.75, 0.5, 0.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One measurement. fps: camera frames offered. n_switches: back and forth in turn. period_s: between two switches.

    cpu_ratio, memory_ratio: share of the edge's processor and of `EDGE_MEMORY_MB`. is_shaped: links follow the cut
    (20 Mbit/s with the early one, 5 with the late one); unshaped otherwise. n_plans: 2, or 3 for a third plan that each
    second switch away from the first goes to in turn. is_grid: `n_switches` under each pair of `GRID_RATIOS`, one pair
    after the other in one process. budget_s: no more switches after so long, but four (of each pair).
    """

    strategy: str
    model: str
    fps: float
    n_switches: int
    period_s: float = 1.0
    cpu_ratio: float = 1.0
    memory_ratio: float = 1.0
    is_shaped: bool = True
    repeat: int = 0
    n_plans: int = 2
    is_grid: bool = False
    budget_s: float | None = None

    @property
    def key(self) -> str:
        """Names the file of its results: equal cells are measured once."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:10]
        return f"{self.model}-{self.strategy}-{self.fps:g}fps-{digest}"

    @property
    def words(self) -> str:
        """What it is, for a line of progress."""
        said = [self.model, self.strategy, f"{self.fps:g} frames/s"]
        said += ["CPU x memory"] if self.is_grid else []
        said += [f"CPU {self.cpu_ratio:.0%}"] if self.cpu_ratio < 1.0 else []
        said += [f"memory {self.memory_ratio:.0%}"] if self.memory_ratio < 1.0 else []
        said += [f"{self.n_plans} plans"] if self.n_plans > 2 else []
        return ", ".join(said)

    @property
    def memory_limit_bytes(self) -> int | None:
        """None: no limit."""
        return int(self.memory_ratio * EDGE_MEMORY_MB * 2**20) if self.memory_ratio < 1.0 else None


def turn(number: int, n_plans: int) -> int:
    """Which plan switch `number` (from 0) goes to: to and fro between the first and each of the others in turn."""
    return 0 if number % 2 else 1 + number // 2 % (n_plans - 1)
