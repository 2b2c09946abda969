"""Rates: the price of a second and of a joule by a goal, and of a second in flight and a second of work."""

from __future__ import annotations

from dataclasses import dataclass

from seamline.core.vocabulary.objectives import Goal, Weights, counts_energy


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices of a second until the answer and of a joule."""

    per_s: float = 1.0
    per_j: float = 0.0

    def waiting(self, waiting_w: float | None) -> float:
        """Cost of one second in which the frame is in flight; the origin draws `waiting_w` meanwhile."""
        return self.per_s + self.per_j * (waiting_w or 0.0)

    def busy(self, waiting_w: float | None, active_w: float | None) -> float:
        """Cost of one second in which a node works on the frame and draws `active_w` above idle."""
        return self.waiting(waiting_w) + (self.per_j * (active_w or 0.0) if self.per_j else 0.0)


def rates_of(goal: Goal) -> Rates:
    """Rates by `goal`; of a weighted sum, a second of the slowest part is one of latency."""
    if isinstance(goal, Weights):
        return Rates(goal.latency_s + goal.bottleneck_s, goal.energy_j)
    return Rates(0.0, 1.0) if counts_energy(goal) else Rates()
