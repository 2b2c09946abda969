"""The question a planner answers: one model, the nodes and links as they are now, what counts and what is forbidden.

Nothing is computed here; `cost.py` evaluates one plan of a problem, `planner.py` finds the best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from seamline.core.errors import PlanError
from seamline.core.values import (
    Codec,
    Constraints,
    Cut,
    FrameInfo,
    Link,
    LinkEstimate,
    NodeId,
    Objective,
    Profile,
)


class EnergyScope(StrEnum):
    """Whose energy a frame is charged with: the origin's alone (a battery), or every node's of the plan."""

    ORIGIN = "origin"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Everything a plan is judged by, at one moment.

    cuts: all legal cuts of the model. profiles: by node; a node without one is not used. links: what is known of each
    direction; a missing one is down. compute_ratio: measured over profiled compute time of a node, 1.0 where unknown.
    queue_s: seconds a frame waits on a node before its stage starts, 0.0 where unknown. sent_ratio: by cut and codec,
    bytes that travel over what the codec's formula says, as real frames showed; the origin's profile says it otherwise.
    Raises `PlanError` when the origin has no profile or a profile is of another model.
    """

    origin: NodeId
    cuts: tuple[Cut, ...]
    profiles: Mapping[NodeId, Profile]
    links: Mapping[Link, LinkEstimate]
    compute_ratio: Mapping[NodeId, float] = field(default_factory=dict)
    queue_s: Mapping[NodeId, float] = field(default_factory=dict)
    sent_ratio: Mapping[tuple[int, Codec], float] = field(default_factory=dict)
    objective: Objective = Objective.LATENCY
    constraints: Constraints = field(default_factory=Constraints)
    energy_scope: EnergyScope = EnergyScope.ALL

    def __post_init__(self) -> None:
        if self.origin not in self.profiles:
            raise PlanError(f"the origin `{self.origin}` has no profile", hint="profile the model on it first")
        if len(self.cuts) < 2 or self.cuts[-1].index != len(self.cuts) - 1:
            raise PlanError(f"the table of {len(self.cuts)} cuts does not run from a model's input to its output")
        for node, profile in self.profiles.items():
            if profile.cuts[-1].index != self.last_cut:
                raise PlanError(
                    f"the profile of `{node}` ends at cut {profile.cuts[-1].index}, the model at {self.last_cut}",
                    hint="profile the same model on every node",
                )

    @property
    def last_cut(self) -> int:
        return len(self.cuts) - 1

    @property
    def frame(self) -> FrameInfo | None:
        """The camera frame at cut 0, None when the model takes plain tensors."""
        return self.profiles[self.origin].frame
