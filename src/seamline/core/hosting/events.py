"""Events of a node: everything that it is asked for, and what becomes of the work it began.

Times are not in events: `Host.handle(event, now_s)` gets the clock's reading beside them. origin: the node that asks,
this one for its own streams; request: its number for the question, which the `Reply` carries.
"""

from __future__ import annotations

from dataclasses import dataclass

from seamline.core.cost.loads import NO_LOAD, StageLoad
from seamline.core.switching.named import PreparationMode
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan, Segment
from seamline.core.vocabulary.profiles import Cut

# -- what others ask for -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareAsked:
    """Get the stages of `plan` that are this node's ready to run. source: who has the model. load: what the stream will
    bring, as far as its origin knows."""

    origin: NodeId
    request: int
    stream: str
    generation: int
    model_id: str
    source: NodeId
    plan: Plan
    mode: PreparationMode = PreparationMode.SHARED
    load: StageLoad = NO_LOAD


@dataclass(frozen=True, slots=True)
class ReleaseAsked:
    """A generation of a stream is over; -1 for all that it has here."""

    origin: NodeId
    stream: str
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileAsked:
    """Measure a model. budget_s: time to spend."""

    origin: NodeId
    request: int
    model_id: str
    source: NodeId
    budget_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeAsked:
    """Time a segment without a frame."""

    origin: NodeId
    request: int
    model_id: str
    segment: Segment


# -- what became of commands -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelObtained:
    """A model is here. cuts: its cuts, from which memory is estimated."""

    model_id: str
    cuts: tuple[Cut, ...]


@dataclass(frozen=True, slots=True)
class ObtainFailed:
    """A model could not be had from any of its sources."""

    model_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class SegmentsPrepared:
    """The segments of a generation can run. took_s: time spent on that."""

    stream: str
    generation: int
    took_s: float


@dataclass(frozen=True, slots=True)
class PrepareFailed:
    stream: str
    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Measured:
    """A profile or a timing is through. answer: what it found; opaque here, None when it failed for `reason`."""

    job: int
    answer: object
    reason: str | None = None


# -- the world ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PeerChanged:
    """Another node was lost, or is seen again."""

    node: NodeId
    is_alive: bool


@dataclass(frozen=True, slots=True)
class PeerSeen:
    """Another node has said which process it is."""

    node: NodeId
    incarnation: str


@dataclass(frozen=True, slots=True)
class MemoryMeasured:
    """Memory that segments may take here in all, those that are here included."""

    usable_memory_bytes: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: act on what is due. Any other event does the same."""


Event = (
    PrepareAsked | ReleaseAsked | ProfileAsked | TimeAsked | ModelObtained | ObtainFailed | SegmentsPrepared
    | PrepareFailed | Measured | PeerChanged | PeerSeen | MemoryMeasured | Tick
)  # fmt: skip
