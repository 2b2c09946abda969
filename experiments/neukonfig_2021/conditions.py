"""What one measurement cell is: a strategy, a model, a camera, links and limits. Values only."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

FAST_MBPS, SLOW_MBPS = 20.0, 5.0
DELAY_MS = 10.0
"""One way; the paper's `tc` adds 20 ms to the round trip."""

EDGE_MEMORY_MB = 8192
"""The paper's edge server; memory percentages are of this."""

CUTS = {"vgg19": (28, 38), "mobilenetv2": (59, 120)}
"""Cut at 20 and at 5 Mbit/s. VGG-19: after pool4 and after the last pooling, the paper's layers 17 and 22. MobileNetV2:
the ends of two blocks, 12.5 and 7.8 kB in 8 bits; the paper's layer 2 would take 64 Mbit/s for 20 frames a second.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One measurement. fps: camera frames offered. n_switches: back and forth in turn. period_s: between two switches.

    cpu_ratio, memory_ratio: share of the edge's processor and of `EDGE_MEMORY_MB`. is_shaped: links follow the cut
    (20 Mbit/s with the early one, 5 with the late one); unshaped otherwise.
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

    @property
    def key(self) -> str:
        """Names the file of its results: equal cells are measured once."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:10]
        return f"{self.model}-{self.strategy}-{self.fps:g}fps-{digest}"
