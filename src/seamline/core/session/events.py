"""Events of a session: everything that can happen to one stream, as a closed union of values.

Each event goes to one of the two halves of a session, or to both:

    ledger   a frame's life: `FrameEvent`      called by whichever thread brings the event, under one lock
    pilot    decisions: `PilotEvent`           called on the session's one thread

What one half says to the other is an event too (`Internal`): `session.py` hands it over by itself, a driver with
threads does it across them. Times are not in events: `handle(event, now_s)` gets the clock's reading beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, get_args

from seamline.core.cost.loads import SegmentLoad
from seamline.core.cost.problem import EnergyScope
from seamline.core.link.report import LinkReport
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.objectives import Goal
from seamline.core.vocabulary.plans import Codec, Plan, Segment
from seamline.core.vocabulary.profiles import Profile

LOCAL_GENERATION = 0
"""The generation of the plan that runs everything on the origin: prepared first, never released."""


class StageSpent(Protocol):
    """Time that one stage spent on one frame, in seconds of its node's own clock; sent_bytes: payload that left it."""

    @property
    def node(self) -> str: ...
    @property
    def queue_s(self) -> float: ...
    @property
    def compute_s(self) -> float: ...
    @property
    def sent_bytes(self) -> int: ...


Reports = Sequence[StageSpent]
"""In the order of the frame's way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The plan in use, as the ledger needs it.

    expected_s: predicted latency of one frame, of which deadlines are made. transfer_s: of it, on links of the origin.
    waiting_s: of it, on nodes that compute for
    others, or what came before: more frames in flight only make that longer. bottleneck_s: predicted time between two
    answers when the pipeline is full; None when nothing is known, and one frame is in flight at a time. wants_pace:
    answers at a high pace are wanted, so the pipeline is filled at the price of waiting in it. within_s: the deadline
    that its goal sets, None where it sets none.
    """

    generation: int
    plan: Plan
    expected_s: float = 1.0
    transfer_s: float = 0.0
    waiting_s: float = 0.0
    bottleneck_s: float | None = None
    wants_pace: bool = False
    within_s: float | None = None

    @property
    def wanted_s(self) -> float:
        """From acceptance until an answer is wanted: by its deadline, or when it is expected."""
        return self.expected_s if self.within_s is None else self.within_s


# -- frames: to the ledger -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FrameOffered:
    """A frame has come from the source; accepted when there is room, else it waits and replaces the one that waits.

    tensors: what the first stage takes; opaque here. is_live: it comes at the source's own pace, which is learnt from
    it; a source that must lose nothing asks `Ledger.has_room` first.
    """

    tensors: object
    is_live: bool = True


@dataclass(frozen=True, slots=True)
class SourceEnded:
    """No more frames come: one that still waits for room is dropped."""


@dataclass(frozen=True, slots=True)
class AnswerArrived:
    """A node has answered an attempt as its last stage. node: who sent it. answer: the outputs; opaque here."""

    frame: int
    attempt: int
    generation: int
    node: NodeId
    answer: object
    reports: Reports


@dataclass(frozen=True, slots=True)
class StageFailed:
    """`node` could not do its stage of an attempt. lost: the next node, when that one could not be reached.

    is_input: its segment ran and refused this frame. Whether the frame or the node is at fault is known once the frame
    has run on the origin too.
    """

    frame: int
    attempt: int
    generation: int
    node: NodeId
    reason: str
    lost: NodeId | None = None
    is_input: bool = False


@dataclass(frozen=True, slots=True)
class AttemptDropped:
    """The turn of an attempt came on the origin, and its frame had been answered: it is not run (`is_wanted`)."""

    frame: int
    attempt: int


@dataclass(frozen=True, slots=True)
class AnswerTaken:
    """The user took a delivered answer: there may be room for another frame."""


@dataclass(frozen=True, slots=True)
class PeerChanged:
    """Another node was lost, or is seen again. To both halves."""

    node: NodeId
    is_alive: bool


# -- the pilot to the ledger -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SilenceChanged:
    """Nothing gets through to a node that may be alive, or something does again."""

    node: NodeId
    is_silent: bool


@dataclass(frozen=True, slots=True)
class SetRoute:
    """Frames accepted from now on follow `route`, also after a pause. asked_s: when that was decided."""

    route: Route
    asked_s: float


@dataclass(frozen=True, slots=True)
class AdjustRoute:
    """Fresh expectations of the plan in use; ignored when another generation is routed by now."""

    route: Route


@dataclass(frozen=True, slots=True)
class SetLocalExpected:
    """Expected latency of a frame on the origin alone."""

    expected_s: float


@dataclass(frozen=True, slots=True)
class PauseFrames:
    """Accept no frame until `SetRoute` or `ResumeFrames`; say `Drained` of `generation` when it has answered."""

    generation: int


@dataclass(frozen=True, slots=True)
class ResumeFrames:
    """Accept frames again, on the route there is."""


@dataclass(frozen=True, slots=True)
class DrainWanted:
    """Say `Drained` of `generation`, which is not routed any more, as soon as it has answered its last frame."""

    generation: int


@dataclass(frozen=True, slots=True)
class RetryOverdue:
    """Retry frames that are past their deadline, or whose plan needs a node that is lost."""


# -- the ledger to the pilot -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drained:
    """The last frame of a generation that takes no more has its answer."""

    generation: int


@dataclass(frozen=True, slots=True)
class Routed:
    """The route was swapped. switch_s: how long the swap kept frames from being accepted."""

    generation: int
    switch_s: float


@dataclass(frozen=True, slots=True)
class DeadlineMissed:
    """The first attempt of a frame by the route in use is late, and none of its nodes is known to be lost."""

    generation: int
    plan: Plan
    accepted_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFinished:
    """The first answer to a frame, or the error that ends it. To the pilot, and a command to the driver.

    plan, generation: of the attempt that answered. n_attempts: more than 1 when the frame had to be run again.
    refused: a node's refusal of this frame, which then ran elsewhere: the node is at fault, not the frame.
    excess_s: latency beyond what was expected when it was accepted, None if its first plan was local; transfer_s: what
    that plan's transfers over the origin's links were expected to take. period_s: between two frames of the source, 0.0
    when it waits for room.
    """

    frame: int
    plan: Plan
    generation: int
    accepted_s: float
    latency_s: float
    n_attempts: int
    answer: object
    reports: Reports
    error: str | None = None
    refused: StageFailed | None = None
    excess_s: float | None = None
    transfer_s: float = 0.0
    period_s: float = 0.0


# -- the world: to the pilot -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReceived:
    """Another node has said who it is and how it fares.

    incarnation: changes when its process restarts. usable_memory_bytes: 0 from a node that does not say. loads: what
    frames of all streams ask of it, None from a node that does not say; n_workers: frames that it computes at once.
    """

    node: NodeId
    tier: Tier
    incarnation: str
    queue_s: float
    usable_memory_bytes: int
    links: tuple[LinkReport, ...]
    loads: tuple[SegmentLoad, ...] | None = None
    n_workers: int = 1


@dataclass(frozen=True, slots=True)
class LinkEstimated:
    """News of one of the origin's own links."""

    estimate: LinkEstimate


@dataclass(frozen=True, slots=True)
class MemoryMeasured:
    """Memory that segments may take on the origin in all, loaded ones included."""

    usable_memory_bytes: int


@dataclass(frozen=True, slots=True)
class ProfileKnown:
    """Profile of the model on a node: known before the stream began, or the answer to `AskProfile`."""

    node: NodeId
    profile: Profile


@dataclass(frozen=True, slots=True)
class ProfileFailed:
    """The answer to `AskProfile` is an error, or none came."""

    node: NodeId
    reason: str


@dataclass(frozen=True, slots=True)
class SegmentTimed:
    """The answer to `TimeSegment`. compute_s: None where there was none."""

    node: NodeId
    segment: Segment
    compute_s: float | None


@dataclass(frozen=True, slots=True)
class NodePrepared:
    """A node holds its segments of a generation. load_s: what it spent on that."""

    generation: int
    node: NodeId
    load_s: float


@dataclass(frozen=True, slots=True)
class NodePrepareFailed:
    generation: int
    node: NodeId
    reason: str


@dataclass(frozen=True, slots=True)
class CodecWithdrawn:
    """Answers through `codec` at `cut` mean something else too often: no plan may use it there any more."""

    cut: int
    codec: Codec
    reason: str


@dataclass(frozen=True, slots=True)
class Begin:
    """Profiles and links are known as far as they will be: choose the first plan."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: act on what is due (`due_s`)."""


# -- requests of a user: to the pilot; `Settle` or `Reject` with the same number ends one ------------------------------


@dataclass(frozen=True, slots=True)
class SwitchAsked:
    """Move to `plan` and pin it. strategy: how, from now on; None for the one in use."""

    request: int
    plan: Plan
    strategy: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class UnpinAsked:
    """End the manual override: the policy decides again that was there before plans were pinned."""

    request: int
    strategy: str | None


@dataclass(frozen=True, slots=True)
class ObjectiveAsked:
    request: int
    objective: Goal


@dataclass(frozen=True, slots=True)
class EnergyScopeAsked:
    request: int
    scope: EnergyScope


@dataclass(frozen=True, slots=True)
class AvoidAsked:
    """Let `nodes` run nothing from now on, beside those that the stream's own limits forbid; none to end that."""

    request: int
    nodes: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class StandbyAsked:
    """Keep `plan` ready beside the one that serves, where the strategy does so."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class StopAsked:
    """The stream ends: release everything, and reject the requests that still wait."""


FrameEvent = (
    FrameOffered | SourceEnded | AnswerArrived | StageFailed | AttemptDropped | AnswerTaken | PeerChanged
    | SilenceChanged | SetRoute | AdjustRoute | SetLocalExpected | PauseFrames | ResumeFrames | DrainWanted
    | RetryOverdue
)  # fmt: skip
PilotEvent = (
    PeerChanged | StageFailed | Drained | Routed | DeadlineMissed | FrameFinished | StatusReceived | LinkEstimated
    | MemoryMeasured | ProfileKnown | ProfileFailed | SegmentTimed | NodePrepared | NodePrepareFailed | CodecWithdrawn
    | Begin | Tick
    | SwitchAsked | UnpinAsked | ObjectiveAsked | EnergyScopeAsked | AvoidAsked | StandbyAsked | StopAsked
)  # fmt: skip
ToLedger = (
    SilenceChanged | SetRoute | AdjustRoute | SetLocalExpected | PauseFrames | ResumeFrames | DrainWanted | RetryOverdue
)  # fmt: skip
"""What the pilot says to the ledger."""

ToPilot = Drained | Routed | DeadlineMissed | FrameFinished
"""What the ledger says to the pilot."""

Event = FrameEvent | PilotEvent

FRAME_EVENTS = frozenset(get_args(FrameEvent))
PILOT_EVENTS = frozenset(get_args(PilotEvent))
TO_LEDGER = frozenset(get_args(ToLedger))
TO_PILOT = frozenset(get_args(ToPilot))
"""The same as sets of types: membership is quicker than `isinstance` of a union."""
