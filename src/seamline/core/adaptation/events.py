"""Events of one stream's surroundings, as a closed union; the view follows from them.

`apply(view, event) -> view` is the only way a view changes; `policy.decide` reads nothing else. So a log of events is a
complete, replayable record of why every decision was taken. Switching has its own events (`switching.py`): those are
about generations in preparation, these about the world.
"""

from __future__ import annotations

from dataclasses import dataclass

from seamline.core.cost.loads import NodeLoad
from seamline.core.cost.problem import EnergyScope
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.objectives import Goal
from seamline.core.vocabulary.plans import Codec, Plan
from seamline.core.vocabulary.profiles import Profile


@dataclass(frozen=True, slots=True)
class NodeJoined:
    """A node is there. incarnation: changes when its process restarts (then it has no segments of ours)."""

    node: NodeId
    tier: Tier
    incarnation: str
    at_s: float


@dataclass(frozen=True, slots=True)
class NodeLeft:
    node: NodeId
    at_s: float


@dataclass(frozen=True, slots=True)
class ProfileKnown:
    """Profile of the model on a node; replaces the one before and resets its compute ratio."""

    node: NodeId
    profile: Profile
    at_s: float


@dataclass(frozen=True, slots=True)
class LinkMeasured:
    """The newest estimate of one direction; goodput 0.0 says it is down."""

    estimate: LinkEstimate
    at_s: float


@dataclass(frozen=True, slots=True)
class ComputeMeasured:
    """ratio: measured over profiled compute time, > 0."""

    node: NodeId
    ratio: float
    at_s: float


@dataclass(frozen=True, slots=True)
class CompressionMeasured:
    """ratio: bytes that real frames took at a cut under a codec, over what the codec's formula says; > 0."""

    cut: int
    codec: Codec
    ratio: float
    at_s: float


@dataclass(frozen=True, slots=True)
class LoadMeasured:
    """queue_s: how long a frame waits on the node before its stage starts. load: what frames of all streams ask of it,
    None from a node that does not say."""

    node: NodeId
    queue_s: float
    at_s: float
    load: NodeLoad | None = None


@dataclass(frozen=True, slots=True)
class RateMeasured:
    """rate_per_s: frames that the stream brings a second."""

    rate_per_s: float
    at_s: float


@dataclass(frozen=True, slots=True)
class MoveHeld:
    """Whether a move that only other streams speak for is put off, as `Keep.is_held` says."""

    is_held: bool
    at_s: float


@dataclass(frozen=True, slots=True)
class MemoryMeasured:
    """Memory that segments may take on the node in all, loaded ones included."""

    node: NodeId
    n_bytes: int
    at_s: float


@dataclass(frozen=True, slots=True)
class ObjectiveSet:
    objective: Goal
    constraints: Constraints
    at_s: float


@dataclass(frozen=True, slots=True)
class EnergyScopeSet:
    """Energy scope: the nodes whose joules count from now on."""

    scope: EnergyScope
    at_s: float


@dataclass(frozen=True, slots=True)
class SwitchStarted:
    """Preparation of `plan` began. is_by_load: see `Switch`."""

    plan: Plan
    at_s: float
    is_by_load: bool = False


@dataclass(frozen=True, slots=True)
class PlanServing:
    """From now on frames take `plan`."""

    plan: Plan
    generation: int
    at_s: float


@dataclass(frozen=True, slots=True)
class SwitchFailed:
    """`plan` could not be prepared. node: whose fault it is, None when unknown."""

    plan: Plan
    reason: str
    node: NodeId | None
    at_s: float


@dataclass(frozen=True, slots=True)
class ExcessMeasured:
    """Latency of one frame that left the origin, beyond what was expected of its plan when it was accepted.

    transfer_s: what its transfers over the links of the origin were expected to take, > 0.
    """

    excess_s: float
    transfer_s: float
    at_s: float


@dataclass(frozen=True, slots=True)
class LatencyMeasured:
    """Latency of the newest `n_frames` frames of a generation, from acceptance to answer, queueing at the origin apart.

    latency_s: their median. Frames that were retried after a failure do not belong in here.
    """

    generation: int
    latency_s: float
    n_frames: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed and nothing else happened."""

    at_s: float


Event = (
    NodeJoined | NodeLeft | ProfileKnown | LinkMeasured | ComputeMeasured | CompressionMeasured | LoadMeasured
    | RateMeasured | MoveHeld | MemoryMeasured | ObjectiveSet | EnergyScopeSet | SwitchStarted | PlanServing
    | SwitchFailed | ExcessMeasured | LatencyMeasured | Tick
)  # fmt: skip
