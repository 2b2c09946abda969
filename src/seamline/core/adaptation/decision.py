"""Decisions of a policy: keep the plan, or switch; each with its reason. They are taken in `policy.py`."""

from __future__ import annotations

from dataclasses import dataclass, field

from seamline.core.vocabulary.plans import Plan


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep the current plan. gain_ratio: saving of the best plan, of the current cost; None if not compared.

    is_held: another plan is better by what other streams do, and is put off (`sharing.py`).
    """

    reason: str
    gain_ratio: float | None = field(default=None, compare=False)
    is_held: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Switch:
    """Prepare `plan` and route to it, even when it is the current one (its nodes have lost it).

    is_by_load: nothing but waiting on nodes has moved enough to speak for it.
    """

    plan: Plan
    reason: str
    is_by_load: bool = field(default=False, compare=False)


Decision = Keep | Switch
