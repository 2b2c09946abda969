"""The question a planner answers: one model, the nodes and links as they are now, what counts and what is forbidden.

Nothing is computed here; `formulas.py` evaluates one plan of a problem, `planner.py` finds the best.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import PlanError, UsageError
from seamline.core.vocabulary.links import Link, LinkEstimate
from seamline.core.vocabulary.nodes import NodeId, node_id
from seamline.core.vocabulary.objectives import Goal, Objective
from seamline.core.vocabulary.plans import Codec
from seamline.core.vocabulary.profiles import Cut, FrameInfo, Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyScope:
    """Whose energy a frame is charged with: what a joule of each node counts, 0 for not at all.

    weights: of nodes by name. others: of every other node but the origin, which counts 1 unless it is named. `ORIGIN`
    is a battery's view, `ALL` that of whoever pays for every machine.
    """

    weights: tuple[tuple[NodeId, float], ...] = ()
    others: float = 1.0

    ALL: ClassVar[EnergyScope]
    ORIGIN: ClassVar[EnergyScope]

    def __post_init__(self) -> None:
        if not all(math.isfinite(weight) and weight >= 0.0 for weight in (self.others, *dict(self.weights).values())):
            raise UsageError(f"a joule of {self} counts what cannot be", hint="weights are 0 or more")

    def weight(self, node: NodeId, origin: NodeId) -> float:
        """Weight of a joule of `node` in plans that start on `origin`."""
        for name, weight in self.weights:
            if name == node:
                return weight
        return 1.0 if node == origin else self.others

    def among(self, nodes: Collection[NodeId]) -> EnergyScope:
        """This scope, whose names are all of `nodes`. Raises `UsageError` for one that is not: a slip would count."""
        for name, _ in self.weights:
            if name not in nodes:
                raise UsageError(
                    f"`{name}` is none of the nodes whose energy counts", hint=f"one of {', '.join(nodes)}"
                )
        return self

    @staticmethod
    def parse(text: str) -> EnergyScope:
        """``origin``, ``all``, or ``fog=0.5,cloud=0``, where nodes that are not named count 1. Raises `UsageError`."""
        named = {"all": EnergyScope.ALL, "origin": EnergyScope.ORIGIN}
        if text in named:
            return named[text]
        weights: dict[NodeId, float] = {}
        for part in text.split(","):
            name, _, number = part.strip().partition("=")
            try:
                node, weight = node_id(name.strip()), float(number)
            except ValueError:
                hint = "origin, all, or weights as in fog=0.5,cloud=0"
                raise UsageError(f"`{part}` says nobody's energy", hint=hint) from None
            if node in weights:
                raise UsageError(f"`{text}` names `{node}` twice", hint="once is enough")
            weights[node] = weight
        return EnergyScope(weights=tuple(sorted(weights.items())))

    def __str__(self) -> str:
        if not self.weights:
            return {0.0: "origin", 1.0: "all"}.get(self.others, f"all others {self.others:g}")
        return ",".join(f"{node}={weight:g}" for node, weight in self.weights)


EnergyScope.ALL = EnergyScope()
EnergyScope.ORIGIN = EnergyScope(others=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Planning problem: all that a plan is judged by, at one moment.

    cuts: all legal cuts of the model. profiles: by node; a node without one is not used. links: what is known of each
    direction; a missing one is down. compute_ratio: measured over profiled compute time of a node, 1.0 where unknown.
    queue_s: seconds a frame waits on a node before its stage starts, 0.0 where unknown. compression_ratio: by cut and
    codec, bytes that travel over what the codec's formula says, as real frames showed; the origin's profile says it
    otherwise. free_memory_bytes: what segments may take on a node, as it reports; the constraints may allow less.
    read_bytes: of an answer where the last node reads the outputs, None where these travel.
    Raises `PlanError` when the origin has no profile or a profile is of another model.
    """

    origin: NodeId
    cuts: tuple[Cut, ...]
    profiles: Mapping[NodeId, Profile]
    links: Mapping[Link, LinkEstimate]
    compute_ratio: Mapping[NodeId, float] = field(default_factory=dict)
    queue_s: Mapping[NodeId, float] = field(default_factory=dict)
    compression_ratio: Mapping[tuple[int, Codec], float] = field(default_factory=dict)
    free_memory_bytes: Mapping[NodeId, int] = field(default_factory=dict)
    objective: Goal = Objective.LATENCY
    constraints: Constraints = field(default_factory=Constraints)
    energy_scope: EnergyScope = EnergyScope.ALL
    read_bytes: int | None = None

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

    def memory_limit_bytes(self, node: NodeId) -> int | None:
        """Memory that `node` may use: the least of what it has and what it is allowed; None when neither is known."""
        if not self.constraints.memory_bytes:
            return self.free_memory_bytes.get(node)
        known = (dict(self.constraints.memory_bytes).get(node), self.free_memory_bytes.get(node))
        return min((each for each in known if each is not None), default=None)

    @property
    def last_cut(self) -> int:
        return len(self.cuts) - 1

    @property
    def answer_bytes(self) -> int:
        """Bytes that travel back from another node: the outputs, or what is read of them."""
        outputs = self.cuts[-1].payload_bytes
        return outputs if self.read_bytes is None else min(outputs, self.read_bytes)

    @property
    def frame(self) -> FrameInfo | None:
        """The camera frame at cut 0, None when the model takes plain tensors."""
        return self.profiles[self.origin].frame
