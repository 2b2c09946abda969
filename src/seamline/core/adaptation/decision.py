"""What a policy says: go on as it is, or switch; each with its reason. Why is `policy.py`'s business."""

from __future__ import annotations

from dataclasses import dataclass, field

from seamline.core.vocabulary.plans import Plan


@dataclass(frozen=True, slots=True)
class Keep:
    """Go on as it is. gain_ratio: what the best plan would save, of the current cost; None where that was no matter."""

    reason: str
    gain_ratio: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Switch:
    """Prepare `plan` and route to it, even when it is the current one (its nodes have lost it)."""

    plan: Plan
    reason: str


Decision = Keep | Switch
