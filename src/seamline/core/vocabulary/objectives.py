"""What plans are judged by: one objective, the least energy within a deadline, or a weighted sum; and their names.

Values and words only. `planner.evaluate` says what a plan costs by a goal, the searches find the best one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from seamline.core.vocabulary.errors import UsageError


class Objective(StrEnum):
    """What a plan is judged by: seconds per frame, frames per second, or joules per frame."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"
    ENERGY = "energy"


SLO_TIE_RATIO = 1e-9
"""A plan that takes this share longer than its deadline meets it: sums in another order differ by less."""


class Judged(Protocol):
    """What a plan is predicted to cost: seconds, frames per second, and joules or None where they are not known."""

    @property
    def latency_s(self) -> float: ...

    @property
    def throughput_fps(self) -> float: ...

    @property
    def energy_j(self) -> float | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Within:
    """The least energy among the plans that answer within `slo_s` seconds. Prints as ``slo=0.1``."""

    slo_s: float

    def __post_init__(self) -> None:
        if not 0.0 < self.slo_s < math.inf:
            raise UsageError(f"a deadline of {self.slo_s:g} s cannot be met", hint="more than 0 seconds, e.g. slo=0.1")

    def is_met(self, latency_s: float) -> bool:
        """Whether a plan of `latency_s` answers in time."""
        return latency_s <= self.slo_s * (1.0 + SLO_TIE_RATIO)

    def cost(self, found: Judged) -> float:
        """Joules; `math.inf` for a plan that misses the deadline, or whose joules are not known."""
        is_known = found.energy_j is not None and self.is_met(found.latency_s)
        return found.energy_j if is_known and found.energy_j is not None else math.inf

    def __str__(self) -> str:
        return f"slo={self.slo_s:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A weighted sum: cost units per second of latency, per second of the slowest stage or link, and per joule.

    Prints as ``latency=1,throughput=0.5,energy=0.2``.
    """

    latency_s: float = 0.0
    bottleneck_s: float = 0.0
    energy_j: float = 0.0

    def __post_init__(self) -> None:
        weights = (self.latency_s, self.bottleneck_s, self.energy_j)
        if not all(0.0 <= weight < math.inf for weight in weights):
            raise UsageError("a weighted sum has a negative or endless weight", hint="less is better in all of them")

    def cost(self, found: Judged) -> float:
        """Of one plan; `math.inf` when joules count and are not known."""
        joules = math.inf if found.energy_j is None else found.energy_j
        bottleneck_s = math.inf if found.throughput_fps == 0.0 else 1.0 / found.throughput_fps
        total = self.latency_s * found.latency_s if self.latency_s else 0.0
        total += self.bottleneck_s * bottleneck_s if self.bottleneck_s else 0.0
        return total + (self.energy_j * joules if self.energy_j else 0.0)

    def __str__(self) -> str:
        named = ((name, getattr(self, field)) for name, field in _FIELDS.items())
        return ",".join(f"{name}={weight:g}" for name, weight in named if weight)


Goal = Objective | Within | Weights


_FIELDS = {"latency": "latency_s", "throughput": "bottleneck_s", "energy": "energy_j"}


def goal_named(text: str) -> Goal:
    """``latency``, ``throughput``, ``energy``, ``slo=0.1`` (seconds), or a sum as in ``latency=1,energy=0.2``.

    Raises `UsageError` when it is none of them.
    """
    if text in tuple(Objective):
        return Objective(text)
    name, equals, number = text.partition("=")
    if not equals:
        hint = f"one of {', '.join(Objective)}, slo=SECONDS, or a sum as in latency=1,energy=0.2"
        raise UsageError(f"`{text}` is not an objective", hint=hint)
    return Within(slo_s=_number(number, text)) if name.strip() == "slo" else weights_named(text)


def weights_named(text: str) -> Weights:
    """``latency=1,throughput=0.5,energy=0.2``, in units per second, per second and per joule. Raises `UsageError`."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        field = _FIELDS.get(name.strip())
        if field is None or field in weights:
            raise UsageError(f"`{part}` is no part of a weighted sum", hint="write e.g. latency=1,energy=0.2")
        weights[field] = _number(number, part)
    if not any(weights.values()):
        raise UsageError(f"`{text}` weighs nothing", hint="write e.g. latency=1,energy=0.2")
    return Weights(**weights)


def counts_energy(goal: Goal) -> bool:
    """Whether plans without power figures cannot be judged by `goal`."""
    if isinstance(goal, Weights):
        return goal.energy_j > 0.0
    return isinstance(goal, Within) or goal is Objective.ENERGY


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        hint = "write e.g. slo=0.1 or latency=1,energy=0.2"
        raise UsageError(f"`{whole}` is no part of a weighted sum or a deadline", hint=hint) from None
