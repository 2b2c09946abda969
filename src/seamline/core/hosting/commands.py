"""Commands of a node: what its driver is to do; `runtime.node` does it with threads, `sim` in virtual time.

What comes of one arrives as an event.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from seamline.core.cost.loads import StageLoad
from seamline.core.switching.named import PreparationMode
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan, Segment


@dataclass(frozen=True, slots=True)
class Obtain:
    """Have a model, from `source` when it is not here. Ends as `ModelObtained` or `ObtainFailed`."""

    model_id: str
    source: NodeId


@dataclass(frozen=True, slots=True)
class AddSource:
    """Another node has a model that is being obtained; the newest is the likeliest to answer."""

    model_id: str
    source: NodeId


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nobody wants a model any more that is being obtained. Ends as `ObtainFailed` all the same."""

    model_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareSegments:
    """Make stages of `plan` runnable. Ends as `SegmentsPrepared` or `PrepareFailed`. stages: their numbers. load: as in
    `PrepareAsked`."""

    stream: str
    generation: int
    model_id: str
    plan: Plan
    stages: tuple[int, ...]
    mode: PreparationMode
    load: StageLoad


@dataclass(frozen=True, slots=True)
class ReleaseSegments:
    """Let the segments of a generation go; those that are not there are ignored."""

    stream: str
    generation: int


@dataclass(frozen=True, slots=True)
class Profile:
    """Measure a model. Ends as `Measured`."""

    job: int
    model_id: str
    budget_s: float


@dataclass(frozen=True, slots=True)
class TimeSegment:
    """Time a segment. Ends as `Measured`."""

    job: int
    model_id: str
    segment: Segment


class Question(StrEnum):
    PREPARE = "prepare"
    PROFILE = "profile"
    TIME = "time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to a question. answer: seconds, a profile; None when refused, for `reason`.

    stream, generation, plan: of a `PREPARE`.
    """

    origin: NodeId
    request: int
    question: Question
    answer: object = None
    reason: str | None = None
    stream: str = ""
    generation: int = 0
    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class StreamBegan:
    """News: the first plan of a stream is ready here."""

    stream: str
    origin: NodeId
    plan: Plan


@dataclass(frozen=True, slots=True)
class PlanReady:
    """News: another plan of a stream is ready here."""

    stream: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """News: nothing of a stream is here any more. reason: when it did not say so itself."""

    stream: str
    reason: str | None = None


Command = (
    Obtain | AddSource | GiveUp | PrepareSegments | ReleaseSegments | Profile | TimeSegment | Reply
    | StreamBegan | PlanReady | StreamEnded
)  # fmt: skip
