"""Specification of a session: the parameters that a stream is opened with."""

from __future__ import annotations

from dataclasses import dataclass

from seamline.core.adaptation.policy import Policy
from seamline.core.cost.problem import EnergyScope
from seamline.core.switching.named import STRATEGIES, NamedStrategy
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Goal
from seamline.core.vocabulary.plans import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSpec:
    """Parameters of a stream. others: nodes that may take part. local: everything on the origin.

    answer_bytes: of an answer where outputs are read before they travel; None for those of the outputs themselves.
    rate_per_s: frames that the source is known to bring a second, 0.0 when it is not.
    has_deadlines: whether frames past their deadline run again; an oracle that knows when answers come gives none up.
    """

    origin: NodeId
    others: tuple[NodeId, ...]
    local: Plan
    objective: Goal
    constraints: Constraints
    policy: Policy
    energy_scope: EnergyScope = EnergyScope.ALL
    strategy: NamedStrategy = STRATEGIES["live"]
    answer_bytes: int | None = None
    rate_per_s: float = 0.0
    has_deadlines: bool = True
    keeps_stories: bool = True
