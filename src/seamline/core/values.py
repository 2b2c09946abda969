"""The vocabulary as frozen values: nodes, cuts, segments, stages, plans, profiles, links, objectives.

Values are validated once, when made. Times are seconds, sizes bytes, rates bits per second, energy joules.
Nothing here knows how a quantity was measured; see `estimate.py` for that and `cost.py` for what it implies.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import NewType

from seamline.core.errors import PlanError, UsageError

NodeId = NewType("NodeId", str)
Tier = NewType("Tier", str)
Link = tuple[NodeId, NodeId]
"""One direction between two nodes: (source, target)."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_STAGE = re.compile(r"(?P<node>[a-z0-9][a-z0-9-]{0,62})\[(?P<start>\d{1,6}):(?P<stop>\d{1,6})\](?P<codec>[a-z0-9]*)")

DTYPE_BYTES = {
    "float32": 4, "float16": 2, "float64": 8, "uint8": 1, "int8": 1, "uint16": 2, "int16": 2,
    "int32": 4, "uint32": 4, "int64": 8, "uint64": 8, "bool": 1,
}  # fmt: skip


def node_id(name: str) -> NodeId:
    """`name` as a node id. Raises `UsageError` unless it is 1-63 of ``a-z 0-9 -`` and starts with a letter or digit.

    Ids come from peers and become keys and paths, so the alphabet is closed.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"`{name}` is not a node name", hint="use lower-case letters, digits and dashes, e.g. edge-1")
    return NodeId(name)


class Codec(StrEnum):
    """How a boundary leaves a node. `RAW` and `LOSSLESS` keep every bit; `JPEG` is only for the camera frame at cut 0.

    Their order is the order of preference among equally good ones.
    """

    RAW = "raw"
    LOSSLESS = "lossless"
    F16 = "f16"
    U8 = "u8"
    JPEG = "jpeg"


LOSSINESS = (Codec.LOSSLESS, Codec.F16, Codec.U8)
"""What a user may ask for at most, from none to the most."""


def codecs_up_to(most: Codec) -> tuple[Codec, ...]:
    """What may be used when tensors lose at most what `most`, one of `LOSSINESS`, takes from them.

    Camera frames as JPEG are always among them: whether frames may travel at all is `Constraints.n_private_cuts`.
    Raises `UsageError` for a codec that is no such limit.
    """
    if most not in LOSSINESS:
        raise UsageError(f"`{most}` is no limit of what may be lost", hint=f"one of {', '.join(LOSSINESS)}")
    forbidden = LOSSINESS[LOSSINESS.index(most) + 1 :]
    return tuple(codec for codec in Codec if codec not in forbidden)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """Name, NumPy dtype name and fixed shape of one tensor."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.dtype not in DTYPE_BYTES:
            raise PlanError(f"tensor `{self.name}` has dtype {self.dtype}, which cannot cross a cut")
        if any(extent < 0 for extent in self.shape):
            raise PlanError(f"tensor `{self.name}` has a negative extent in {list(self.shape)}")

    @property
    def n_elements(self) -> int:
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        return self.n_elements * DTYPE_BYTES[self.dtype]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A place between layers: everything before it is a downward-closed set of layers.

    index: position in the model's table of legal cuts; 0 is the model input, the last one its output.
    after: name of the last layer before the cut. tensors: what crosses it (may be empty in a profile from elsewhere).
    payload_bytes: size of the crossing tensors uncompressed. macs_before: multiply-accumulates of all layers before it.
    is_candidate: worth considering when planning (a cut inside a fused group at no fewer bytes is not).
    carries_input: a model input itself crosses here (a skip connection from the input): raw pixels would leave.
    weights_before_bytes: of the weights that all layers before it read; 0 everywhere where that is not known.
    """

    index: int
    after: str
    tensors: tuple[TensorSpec, ...]
    payload_bytes: int
    macs_before: int = 0
    is_candidate: bool = True
    carries_input: bool = False
    weights_before_bytes: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """The layers between cut `start` and cut `stop`; empty when they are equal."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop:
            raise PlanError(f"segment [{self.start}:{self.stop}] runs backwards")

    @property
    def is_empty(self) -> bool:
        return self.start == self.stop

    def __str__(self) -> str:
        return f"[{self.start}:{self.stop}]"


@dataclass(frozen=True, slots=True)
class Stage:
    """One node's part of a plan. codec: how its result leaves for the next stage; None on the last stage."""

    node: NodeId
    segment: Segment
    codec: Codec | None = None

    def __str__(self) -> str:
        return f"{self.node}{self.segment}{self.codec or ''}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered stages of one frame's way. The first stage's node is the origin.

    Prints as ``edge[0:14]f16 > fog[14:31]u8 > cloud[31:45]`` and parses back. Offloading everything is
    ``edge[0:0]jpeg > cloud[0:45]``, running everything on the origin ``edge[0:45]``.
    Only the first stage may be empty; a node appears once; JPEG leaves only cut 0.
    """

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        if not self.stages:
            raise PlanError("a plan needs at least one stage")
        if self.stages[0].segment.start != 0:
            raise PlanError(f"plan `{self}` does not start at cut 0")
        if self.stages[-1].codec is not None:
            raise PlanError(f"plan `{self}` has a codec after its last stage")
        if len({stage.node for stage in self.stages}) != len(self.stages):
            raise PlanError(f"plan `{self}` visits a node twice")
        for here, there in zip(self.stages, self.stages[1:], strict=False):
            if here.segment.stop != there.segment.start:
                raise PlanError(f"plan `{self}` leaves a gap between `{here}` and `{there}`")
            if there.segment.is_empty:
                raise PlanError(f"plan `{self}` has an empty stage `{there}`", hint="only the origin may run no layers")
            if here.codec is None:
                raise PlanError(f"plan `{self}` does not say how `{here}` is sent", hint="add a codec, e.g. f16")
            if here.codec is Codec.JPEG and here.segment.stop != 0:
                raise PlanError(f"plan `{self}` sends `{here}` as JPEG", hint="JPEG fits only the frame itself, [0:0]")
        if len(self.stages) == 1 and self.stages[0].segment.is_empty:
            raise PlanError("a plan must run at least one layer")

    @property
    def origin(self) -> NodeId:
        return self.stages[0].node

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        return tuple(stage.node for stage in self.stages)

    @property
    def is_local(self) -> bool:
        return len(self.stages) == 1

    @property
    def is_offload(self) -> bool:
        """The origin runs nothing: the frame itself is sent."""
        return self.stages[0].segment.is_empty

    def __str__(self) -> str:
        return " > ".join(str(stage) for stage in self.stages)

    @staticmethod
    def parse(text: str) -> Plan:
        """The plan that prints as `text`. Raises `PlanError` naming the part that is not a stage."""
        stages = []
        for part in text.split(">"):
            match = _STAGE.fullmatch(part.strip())
            if match is None:
                raise PlanError(f"`{part.strip()}` is not a stage", hint="write e.g. edge[0:14]f16 > cloud[14:45]")
            try:
                codec = Codec(match["codec"]) if match["codec"] else None
            except ValueError:
                known = ", ".join(Codec)
                raise PlanError(f"`{match['codec']}` is not a codec", hint=f"one of {known}") from None
            segment = Segment(int(match["start"]), int(match["stop"]))
            stages.append(Stage(NodeId(match["node"]), segment, codec))
        return Plan(tuple(stages))

    @staticmethod
    @lru_cache(maxsize=64)
    def local(origin: NodeId, n_cuts: int) -> Plan:
        """Everything on `origin`, for a model with `n_cuts` legal cuts; the same object every time."""
        return Plan((Stage(origin, Segment(0, n_cuts - 1)),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Median and 90th percentile of a measured duration, seconds."""

    median: float
    p90: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Measured compute time between two neighbouring candidate cuts on one device."""

    from_cut: int
    to_cut: int
    compute_s: Quantiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """What cutting at an inner cut costs on one device beyond the blocks around it.

    overhead_s: of handing the crossing tensors out of one segment and taking them into the next (memory, layout, lost
    fusion), both sides together, on top of the uncut time. The codec and the link are not in it.
    """

    cut: int
    overhead_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecCost:
    """Seconds per uncompressed byte to encode and decode with `codec` on one device.

    cut: measured with the tensors of that cut; None for wherever nothing better is known. sent_ratio: bytes that travel
    over what the codec's formula (`core.payload`) says; 1.0 where that is exact.
    """

    codec: Codec
    encode_s_per_byte: float
    decode_s_per_byte: float
    cut: int | None = None
    sent_ratio: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    name: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """What ran a profile. idle_w and busy_w are watts, None when neither measured nor given.

    tx_j_per_byte, rx_j_per_byte: what its radio draws beyond idle to send and to receive; 0.0 for a cable.
    """

    name: NodeId
    cpu: str = "unknown"
    engine: str = "unknown"
    threads: int = 1
    idle_w: float | None = None
    busy_w: float | None = None
    tx_j_per_byte: float = 0.0
    rx_j_per_byte: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameInfo:
    """The camera frame at network size: uint8[H, W, 3] raw_bytes, its JPEG size, and the time to preprocess it."""

    raw_bytes: int
    jpeg_bytes: int | None = None
    preprocess_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one model costs on one device. File format ``seamline.profile/1`` (see architecture).

    cuts: all legal cuts. blocks: contiguous, from cut 0 to the last one, joined at candidate cuts; their medians add up
    to `whole_s`, because an engine fuses layers across cuts. boundaries: what cutting adds, by inner cut; one that is
    missing costs nothing. A segment takes its blocks' time and half the overhead of each inner cut it ends at.
    codecs: what they cost here; one with a cut counts there, before one without.
    frame: None when the model does not take camera frames (then offloading the frame is not offered).
    """

    model: ModelInfo
    device: DeviceInfo
    cuts: tuple[Cut, ...]
    blocks: tuple[Block, ...]
    whole_s: Quantiles
    frame: FrameInfo | None = None
    codecs: tuple[CodecCost, ...] = ()
    boundaries: tuple[Boundary, ...] = ()

    def __post_init__(self) -> None:
        at = 0
        for block in self.blocks:
            if block.from_cut != at or block.to_cut <= at:
                raise PlanError(f"profile of `{self.device.name}` has a gap at cut {at}")
            at = block.to_cut
        if not self.cuts or at != self.cuts[-1].index:
            raise PlanError(f"profile of `{self.device.name}` ends at cut {at}, before the model does")
        seen: set[int] = set()
        for boundary in self.boundaries:
            if not 0 < boundary.cut < at or boundary.cut in seen:
                raise PlanError(
                    f"profile of `{self.device.name}` has a boundary at cut {boundary.cut}, twice or no inner cut"
                )
            seen.add(boundary.cut)
        for cost in self.codecs:
            if not (cost.cut is None or 0 <= cost.cut <= at) or cost.sent_ratio <= 0.0:
                raise PlanError(f"profile of `{self.device.name}` has a cost of {cost.codec} that cannot be")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEstimate:
    """What we believe now about one direction of one link.

    rtt_s: minimum round trip of the window. goodput_bps: payload bits per second, 0.0 when the link is down.
    overhead_s: what a message takes beyond half a round trip and its bytes, whatever its size.
    goodput_std_ratio: one standard deviation of the goodput, relative. measured_at_s: monotonic time of the newest
    sample behind it. n_samples: samples since the last change point. average_bps, average_std_ratio: of all messages
    lately, whatever changed in between (`average.py`); 0.0 where that is not known. turning_until_s: until when the
    link counts as one that turns too fast to be followed.
    """

    source: NodeId
    target: NodeId
    rtt_s: float
    goodput_bps: float
    goodput_std_ratio: float = 0.0
    measured_at_s: float = 0.0
    n_samples: int = 0
    overhead_s: float = 0.0
    average_bps: float = 0.0
    average_std_ratio: float = 0.0
    turning_until_s: float = -math.inf


class Objective(StrEnum):
    """What a plan is judged by: seconds per frame, frames per second, or joules per frame."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"
    ENERGY = "energy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """What a plan must respect.

    n_private_cuts: the model input and the first N-1 cuts never leave the origin (`--private N`); 0 allows all.
    trusted: nodes that may receive those all the same. codecs: what may be used at a cut. allow_local / allow_offload:
    switch those two kinds of plan off. memory_bytes: what a node may use (`refusal.memory_bytes`); all of it when
    missing. pins: (k, node), the layers between cut k-1 and cut k run on that node. forbidden_nodes run nothing,
    forbidden_links carry nothing, and a node neither encodes nor decodes what forbidden_codecs names for it.
    """

    n_private_cuts: int = 0
    codecs: tuple[Codec, ...] = field(default=tuple(Codec))
    allow_local: bool = True
    allow_offload: bool = True
    trusted: tuple[NodeId, ...] = ()
    memory_bytes: tuple[tuple[NodeId, int], ...] = ()
    pins: tuple[tuple[int, NodeId], ...] = ()
    forbidden_nodes: tuple[NodeId, ...] = ()
    forbidden_links: tuple[Link, ...] = ()
    forbidden_codecs: tuple[tuple[NodeId, Codec], ...] = ()

    def may_leave(self, cut: Cut, target: NodeId | None = None) -> bool:
        """Whether the tensors of `cut` may leave for `target`, for anywhere when None."""
        is_public = self.n_private_cuts == 0 or (cut.index >= self.n_private_cuts and not cut.carries_input)
        return is_public or target in self.trusted

    def may_use(self, source: NodeId, target: NodeId) -> bool:
        """Whether anything may travel from `source` to `target`."""
        return (source, target) not in self.forbidden_links
