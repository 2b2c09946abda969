"""Messages between nodes, as one closed union of typed headers.

A message is a header (here) and any number of raw tensors behind it (`wire.py` lays both out). Headers are small and
bounded; tensors never pass through the header codec. Frames carry their whole plan, so that a node needs no state about
a stream beyond the segments it was asked to prepare. A number that is none, or endless, is refused: it would travel on
into every estimate and plan.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from seamline.core.vocabulary.providers import CPU

WIRE_VERSION = 3
"""3: credits that travel with control messages; links are measured, and statuses sent, for those alone who asked;
tensors in fewer than eight bits.

2: a checksum of the whole message and of each chunk's header; keys that name both ends' incarnations."""

MAX_BUDGET_S = 86400.0

Finite = Annotated[float, msgspec.Meta(ge=-1e15, le=1e15)]
NotNegative = Annotated[float, msgspec.Meta(ge=0.0, le=1e15)]
Budget = Annotated[float, msgspec.Meta(ge=0.0, le=MAX_BUDGET_S)]


class Header(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=False):
    """Base of all headers. Unknown fields are ignored, so that a newer minor version may add some."""


class LinkReport(msgspec.Struct, frozen=True):
    """`core.link.report.LinkReport` on the wire, field by field: those with a default are missing from older nodes."""

    target: str
    rtt_s: NotNegative
    goodput_bps: NotNegative
    goodput_std_ratio: NotNegative
    n_samples: int
    age_s: NotNegative
    overhead_s: NotNegative = 0.0
    average_bps: NotNegative = 0.0
    average_std_ratio: NotNegative = 0.0
    oscillating_for_s: NotNegative = 0.0


class StageReport(msgspec.Struct, frozen=True):
    """Costs of one stage for one frame, seconds by its own clock; sent_bytes: payload that left it.

    energy_j: above idle where idle power is known, None without a meter; energy_source: as `EnergyMeter.source`.
    """

    node: str
    queue_s: Finite
    decode_s: Finite
    compute_s: Finite
    encode_s: Finite
    sent_bytes: int
    energy_j: Finite | None = None
    energy_source: str = ""


class EnergyReport(msgspec.Struct, frozen=True):
    """Joules that a node has drawn since it started, where they come from (`EnergyMeter.source`), and of what."""

    source: str
    scope: str
    energy_j: Finite


class GpuReport(msgspec.Struct, frozen=True):
    """Where a node computes, if that has memory of its own."""

    name: str
    memory_bytes: int
    free_memory_bytes: int


class SegmentLoadReport(msgspec.Struct, frozen=True):
    """Load of a node by one segment, as `core.cost.loads.SegmentLoad`."""

    model_id: str
    start: int
    stop: int
    n_streams: int
    rate_per_s: NotNegative
    busy_s: NotNegative
    wait_s: NotNegative


class Status(Header, frozen=True, tag="status"):
    """Identity and state of a node; sent to a peer that comes, to all when its standing part changes and now and
    then, and twice a second to those who asked it to measure links.

    usable_memory_bytes: what segments may take there in all, those it holds included; 0 from a node that does not say.
    provider: what it computes with, a name of `core.vocabulary.providers`. loads: what frames of all streams ask of it,
    None from a node that does not say. n_workers: frames that it computes at once.
    """

    tier: str
    incarnation: str
    version: str
    engine: str
    threads: int
    n_cores: int
    memory_bytes: int
    free_memory_bytes: int
    queue_s: Finite
    models: tuple[str, ...]
    links: tuple[LinkReport, ...]
    streams: tuple[str, ...] = ()
    energy: EnergyReport | None = None
    usable_memory_bytes: int = 0
    provider: str = CPU
    gpu: GpuReport | None = None
    loads: tuple[SegmentLoadReport, ...] | None = None
    n_workers: int = 1


class MeasureLinks(Header, frozen=True, tag="measure_links"):
    """Measure your links to `targets` for `for_s`, and send me your status meanwhile. stream: for which of mine; asked
    again for the same, the newer message counts."""

    stream: str
    targets: tuple[str, ...]
    for_s: NotNegative


class Ping(Header, frozen=True, tag="ping"):
    """clock_s, here and below: the sender's clock as it leaves, None from older nodes (`core.link.return_path`)."""

    seq: int
    clock_s: Finite | None = None


class Pong(Header, frozen=True, tag="pong"):
    seq: int
    clock_s: Finite | None = None


class Probe(Header, frozen=True, tag="probe"):
    """Padding behind it, to measure an idle link; answered by `Receipt`."""

    seq: int


class Receipt(Header, frozen=True, tag="receipt"):
    """The message with sender's number `seq` has arrived whole."""

    seq: int
    clock_s: Finite | None = None


class FetchModel(Header, frozen=True, tag="fetch_model"):
    """Send me `length` bytes at `offset` of `part` (``manifest``, ``graph`` or ``weights``) of a model."""

    request_id: int
    model_id: str
    part: str
    offset: int
    length: int


class ModelPart(Header, frozen=True, tag="model_part"):
    """The bytes asked for, as one uint8 tensor, or an error."""

    request_id: int
    model_id: str
    part: str
    offset: int
    error: str | None = None


class Prepare(Header, frozen=True, tag="prepare"):
    """Get ready to run your stages of `plan`; `source` has the model. form: a `core.switching.PreparationMode`.

    rate_per_s, busy_s: frames that will come to you a second, and your work on each; 0.0 where that is not known.
    """

    request_id: int
    stream: str
    generation: int
    model_id: str
    plan: str
    source: str
    form: str = "shared"
    rate_per_s: NotNegative = 0.0
    busy_s: NotNegative = 0.0


class Prepared(Header, frozen=True, tag="prepared"):
    request_id: int
    stream: str
    generation: int
    prepare_s: Finite
    error: str | None = None


class Release(Header, frozen=True, tag="release"):
    """Generation `generation` of `stream` has answered its last frame here; -1 releases all of the stream's."""

    stream: str
    generation: int


class SwitchPlan(Header, frozen=True, tag="switch_plan"):
    """Move `stream`, which starts at the receiver, to `plan` and pin it; ``auto`` gives control back to its policy.

    strategy: how, by its name; the one in use when empty. by: where its user asked, in words (``on the dashboard``).
    """

    request_id: int
    stream: str
    plan: str
    strategy: str = ""
    by: str = ""


class PlanSwitched(Header, frozen=True, tag="plan_switched"):
    """Outcome of a `SwitchPlan`: the switch's record as JSON, or an error."""

    request_id: int
    record: bytes | None = None
    error: str | None = None


class SetObjective(Header, frozen=True, tag="set_objective"):
    """From now on judge the plans of `stream`, which starts at the receiver, by `objective`
    (`core.vocabulary.objectives.goal_named`).

    energy_scope: when not empty, this is changed and the objective stays: whose joules count, as `core.EnergyScope`.
    avoid: when not None, so are the nodes that shall run nothing of the stream. by: as in `SwitchPlan`.
    """

    request_id: int
    stream: str
    objective: str
    energy_scope: str = ""
    avoid: tuple[str, ...] | None = None
    by: str = ""


class ObjectiveChanged(Header, frozen=True, tag="objective_changed"):
    """Outcome of a `SetObjective`: the objective (or scope) before, or an error."""

    request_id: int
    before: str | None = None
    error: str | None = None


class LookAt(Header, frozen=True, tag="look_at"):
    """Say what is to be seen of `stream`, which starts at the receiver; of all that do, in brief, when it is empty.

    with_costs: what every cut would cost now, too. plan: when not empty, what that would cost is asked for instead.
    """

    request_id: int
    stream: str = ""
    with_costs: bool = False
    plan: str = ""


class LookedAt(Header, frozen=True, tag="looked_at"):
    """Outcome of a `LookAt`: JSON packed by Zstandard (`runtime.api.stream_state`), or an error."""

    request_id: int
    found: bytes | None = None
    error: str | None = None


class ProfileModel(Header, frozen=True, tag="profile_model"):
    """Measure the model's blocks between its candidate cuts, spending about `budget_s`."""

    request_id: int
    model_id: str
    source: str
    budget_s: Budget


class Profiled(Header, frozen=True, tag="profiled"):
    """The profile as JSON (schema ``seamline.profile/1``), or an error."""

    request_id: int
    profile: bytes | None = None
    error: str | None = None


class TimeSegment(Header, frozen=True, tag="time_segment"):
    """Run the layers from cut `start` to cut `stop` without a frame, and say what that took."""

    request_id: int
    model_id: str
    start: int
    stop: int


class SegmentTimed(Header, frozen=True, tag="segment_timed"):
    """Seconds of the run, or why there was none."""

    request_id: int
    compute_s: NotNegative | None = None
    error: str | None = None


class HeadAsk(msgspec.Struct, frozen=True):
    """How the last stage's node is to read a frame's outputs (`heads.reduced`), so that the answer is small.

    n_names: of classes, which layouts depend on. height, width: of the picture the model takes, 0 when it is unknown.
    fingerprint: of the origin's head; a node that chooses another one sends the outputs as they are.
    """

    head: Literal["auto", "classify", "detect", "segment"]
    score: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] | None
    n_most: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] | None
    n_names: Annotated[int, msgspec.Meta(ge=0, le=1 << 20)]
    height: Annotated[int, msgspec.Meta(ge=0, le=1 << 16)]
    width: Annotated[int, msgspec.Meta(ge=0, le=1 << 16)]
    fingerprint: Annotated[str, msgspec.Meta(max_length=64)]


TraceParent = Annotated[str, msgspec.Meta(max_length=55)]
"""W3C trace context of a frame that is traced, else empty, and then not on the wire."""

Nanoseconds = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]


class FrameData(Header, frozen=True, tag="frame", omit_defaults=True):
    """A frame on its way to stage number `stage` of `plan`; its boundary tensors follow, encoded.

    attempt: counts retries of one frame, so that a late answer of an earlier try is known as such. left_s: until the
    origin wants the answer, None where it does not say; priority: of the stream, see `core.hosting.compute_queue`. seq:
    the sender's number, answered by `Receipt`. tensors: what `codec` needs to decode, see `codec.tensors`.
    left_ns: when a traced frame left the sender, by the wall clock there.
    """

    stream: str
    frame: int
    attempt: int
    generation: int
    model_id: str
    plan: str
    stage: int
    seq: int
    encoding: bytes
    reports: tuple[StageReport, ...]
    head: HeadAsk | None = None
    traceparent: TraceParent = ""
    left_ns: Nanoseconds = 0
    left_s: NotNegative | None = None
    priority: Annotated[int, msgspec.Meta(ge=-4, le=4)] = 0


class CancelFrame(Header, frozen=True, tag="cancel_frame"):
    """A frame of `stream`, which starts at the sender, has its answer: what waits of it need not be computed."""

    stream: str
    frame: int


class ResultData(Header, frozen=True, tag="result", omit_defaults=True):
    """The model's outputs for one frame, or what a head reads of them; the tensors follow in the order of `outputs`."""

    stream: str
    frame: int
    attempt: int
    generation: int
    outputs: tuple[str, ...]
    reports: tuple[StageReport, ...]
    is_read: bool = False
    traceparent: TraceParent = ""
    left_ns: Nanoseconds = 0


class FrameFailed(Header, frozen=True, tag="frame_failed"):
    """A node could not do its stage; the origin retries the frame.

    lost: the next node, when that one could not be reached. is_input: the segment ran and refused this frame.
    """

    stream: str
    frame: int
    attempt: int
    generation: int
    node: str
    error: str
    lost: str | None = None
    is_input: bool = False


Message = (
    Status | MeasureLinks | Ping | Pong | Probe | Receipt | FetchModel | ModelPart | Prepare | Prepared | Release
    | SwitchPlan | PlanSwitched | SetObjective | ObjectiveChanged | LookAt | LookedAt | ProfileModel | Profiled
    | TimeSegment | SegmentTimed | FrameData | CancelFrame | ResultData | FrameFailed
)  # fmt: skip
