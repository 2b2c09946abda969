"""Seamline in virtual time: the core's estimators, planner and policies over recorded profiles and link traces.

    scene = Scene(origin=..., profiles=..., links=(SceneLink(between=..., trace=read_trace(path)),), fps=10, ...)
    compare(scene).runs["adaptive"].latency_s.mean()

Nothing is computed by a model and nothing is sent; times come from profiles and traces. The origin's protocol is
`core.session`, the same that `runtime` drives with threads; `driver` does it in virtual time. The runs of a long
comparison are shared out among processors by `pool`. Faults by seed, and a storm of them, are `faults` and `storm`.
"""

from seamline.sim.compare import POLICIES, Comparison, compare, compare_at_once, summary
from seamline.sim.generate import KINDS, alternating, csv_lines, generate, generated
from seamline.sim.run import Run, play
from seamline.sim.scene import Scene, SceneLink

__all__ = [
    "Scene",
    "SceneLink",
    "compare",
    "compare_at_once",
    "Comparison",
    "POLICIES",
    "summary",
    "play",
    "Run",
    "generate",
    "generated",
    "alternating",
    "csv_lines",
    "KINDS",
]
