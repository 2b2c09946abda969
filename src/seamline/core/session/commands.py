"""Commands of a session: what its driver is to do, as a closed union of values.

A driver carries them out in the order given: `runtime.origin` with threads and sockets, `sim` in virtual time, a test
by looking at them. What comes of one arrives as an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from seamline.core.cost.loads import StageLoad
from seamline.core.cost.problem import EnergyScope
from seamline.core.session.events import FrameFinished, Route, ToLedger
from seamline.core.switching.named import PreparationMode
from seamline.core.switching.vocabulary import Generation
from seamline.core.vocabulary.errors import SeamlineError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Goal
from seamline.core.vocabulary.plans import Plan, Segment

# -- of the ledger -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunFrame:
    """Run stage 0 of an attempt on the origin and send it on its way. Ends as `AnswerArrived`, `StageFailed` or never.

    When its turn has come, the driver asks `Ledger.is_wanted`; if not, it says `AttemptDropped` and runs nothing.
    is_urgent: before those that wait on the origin.
    """

    frame: int
    attempt: int
    route: Route
    tensors: object
    is_urgent: bool


@dataclass(frozen=True, slots=True)
class Deliver:
    """The answer to `frame`, finished before, is the user's next one."""

    frame: int


@dataclass(frozen=True, slots=True)
class CancelFrame:
    """`frame` has its answer, and `nodes` may still have another attempt of it: they need not compute that."""

    frame: int
    nodes: frozenset[NodeId]


# -- of the pilot --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prepare:
    """Ask every node of the plan to get ready for it. Ends as `NodePrepared` or `NodePrepareFailed`, per node.

    loads: what the stream will bring to each, as far as that is known.
    """

    generation: Generation
    mode: PreparationMode
    loads: Mapping[NodeId, StageLoad] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Release:
    """Release a generation on every node of its plan; repeated for one that was away (`releases.py`)."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class AskProfile:
    """Ask a node what the model costs there. Ends as `ProfileKnown` or `ProfileFailed`."""

    node: NodeId


@dataclass(frozen=True, slots=True)
class MeasureLinks:
    """Ask a node, the origin too, to measure its links to `targets` and to report on them, for `for_s`; asked again."""

    node: NodeId
    targets: frozenset[NodeId]
    for_s: float


@dataclass(frozen=True, slots=True)
class TimeSegment:
    """Ask a node what a segment takes there now, without a frame. Ends as `SegmentTimed`."""

    node: NodeId
    segment: Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchRecord:
    """One completed switch. at_s: clock reading at the decision. prepare_s: from decision to the new plan serving.

    switch_s: how long the swap itself kept frames from being accepted (t_switch). pause_s: how long nothing was
    accepted before that, by design of the strategy (t_update). load_s: what the slowest node spent on preparing (t_exec
    or t_initialisation). is_restored: nobody asked for it, the plan before came back after a failure. sent_bytes:
    messages from the origin to other nodes for the switch, filled in by a driver that counts them.
    """

    at_s: float
    from_plan: Plan
    to_plan: Plan
    reason: str
    prepare_s: float
    switch_s: float
    strategy: str
    pause_s: float = 0.0
    load_s: float = 0.0
    is_restored: bool = False
    sent_bytes: int = 0


@dataclass(frozen=True, slots=True)
class SwitchBegun:
    """The plan of a generation was asked for, and is being prepared. generation: its number."""

    generation: int
    plan: Plan
    reason: str


@dataclass(frozen=True, slots=True)
class SwitchDone:
    """Frames accepted from now on follow another plan. generation: the number of the request it answers, None when
    nobody asked. is_first: before it no plan but the local one had served."""

    generation: int | None
    record: SwitchRecord
    is_first: bool


@dataclass(frozen=True, slots=True)
class FallBackDone:
    """No plan could be loaded, not even the one before: frames fall back to the origin alone."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Started:
    """The stream's first plan serves."""


@dataclass(frozen=True, slots=True)
class StartFailed:
    """No plan is allowed."""

    error: SeamlineError


@dataclass(frozen=True, slots=True)
class ChargeEnergy:
    """Joules of frames are those of `scope` from now on."""

    scope: EnergyScope


@dataclass(frozen=True, slots=True)
class Settle:
    """A user's request is done. outcome: the switch, or what was in force before."""

    request: int
    outcome: SwitchRecord | Goal | EnergyScope | tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class Reject:
    """A user's request will not be done."""

    request: int
    error: SeamlineError


class Level(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Say:
    """A line for the log. error: what was raised inside, where that is a fault of ours."""

    level: Level
    words: str
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """Decision of the policy: `plan` is None when it keeps the one in use."""

    plan: Plan | None
    reason: str
    predicted_s: float | None


LedgerCommand = RunFrame | CancelFrame | Deliver | FrameFinished | Say
PilotCommand = (
    Prepare | Release | AskProfile | MeasureLinks | TimeSegment | SwitchBegun | SwitchDone | FallBackDone | Started
    | StartFailed | ChargeEnergy | Settle | Reject | Say | Decided
)  # fmt: skip
Command = LedgerCommand | PilotCommand
PilotOutput = PilotCommand | ToLedger
