"""Profiles: what one model costs on one device, and the cuts that the model allows.

Times are seconds, sizes bytes, rates bits per second, energy joules."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from seamline.core.vocabulary.errors import PlanError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec

DTYPE_BYTES = {
    "float32": 4, "float16": 2, "float64": 8, "uint8": 1, "int8": 1, "uint16": 2, "int16": 2,
    "int32": 4, "uint32": 4, "int64": 8, "uint64": 8, "bool": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """Name, NumPy dtype name and shape of one tensor.

    is_open: the frame decides its extents (boxes that were found), `shape` has 1 where nothing else is known. Only
    outputs of a model are; no inner cut lets such a tensor cross. is_local: no wire carries it (`local_values.py`), so
    the model stays whole on one node; `dtype` says what it is, e.g. ``sequence(float32)``, and it has no bytes.
    exact: a tensor of floats that must keep every bit wherever it crosses (`core.graph.exactness`).
    Raises `PlanError` for any other dtype that cannot be sent, and for a negative extent.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    is_open: bool = False
    is_local: bool = False
    exact: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if self.dtype not in DTYPE_BYTES and not self.is_local:
            raise PlanError(f"tensor `{self.name}` has dtype {self.dtype}, which cannot cross a cut")
        if any(extent < 0 for extent in self.shape):
            raise PlanError(f"tensor `{self.name}` has a negative extent in {list(self.shape)}")

    @property
    def n_elements(self) -> int:
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        return 0 if self.is_local else self.n_elements * DTYPE_BYTES[self.dtype]


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

    @property
    def exact(self) -> frozenset[str]:
        """Names of the crossing tensors of floats that must keep every bit."""
        return frozenset(tensor.name for tensor in self.tensors if tensor.exact)


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

    cut: measured with the tensors of that cut; None for wherever nothing better is known. compression_ratio: bytes
    that travel over what the codec's formula (`core.cost.payload`) says; 1.0 where that is exact.
    """

    codec: Codec
    encode_s_per_byte: float
    decode_s_per_byte: float
    cut: int | None = None
    compression_ratio: float = 1.0


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
    tails: cuts from which the device computes to the end, which is then all that it computes; None for any segment.
    until_s, before_s: derived prefix sums, seconds from cut 0 to every cut; a segment takes
    ``until_s[stop] - before_s[start]``. At an inner cut the first has half its overhead added, the second taken off.
    Inside a block the time is shared out by MACs.
    """

    model: ModelInfo
    device: DeviceInfo
    cuts: tuple[Cut, ...]
    blocks: tuple[Block, ...]
    whole_s: Quantiles
    frame: FrameInfo | None = None
    codecs: tuple[CodecCost, ...] = ()
    boundaries: tuple[Boundary, ...] = ()
    tails: tuple[int, ...] | None = None
    until_s: tuple[float, ...] = field(init=False, repr=False, compare=False)
    before_s: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        at = 0
        for block in self.blocks:
            if block.from_cut != at or block.to_cut <= at:
                raise PlanError(f"profile of `{self.device.name}` has a gap at cut {at}")
            at = block.to_cut
        if not self.cuts or at != self.cuts[-1].index:
            raise PlanError(f"profile of `{self.device.name}` ends at cut {at}, before the model does")
        if self.tails is not None and (not self.tails or any(not 0 <= cut < at for cut in self.tails)):
            raise PlanError(f"profile of `{self.device.name}` has no tail, or one from a cut that is none")
        seen: set[int] = set()
        for boundary in self.boundaries:
            if not 0 < boundary.cut < at or boundary.cut in seen:
                raise PlanError(
                    f"profile of `{self.device.name}` has a boundary at cut {boundary.cut}, twice or no inner cut"
                )
            seen.add(boundary.cut)
        for cost in self.codecs:
            if not (cost.cut is None or 0 <= cost.cut <= at) or cost.compression_ratio <= 0.0:
                raise PlanError(f"profile of `{self.device.name}` has a cost of {cost.codec} that cannot be")
        prefix_s, half_s = _prefix_sums_s(self.cuts, self.blocks), [0.0] * (at + 1)
        for boundary in self.boundaries:
            half_s[boundary.cut] = boundary.overhead_s / 2.0
        pairs = list(zip(prefix_s, half_s, strict=True))
        object.__setattr__(self, "until_s", tuple(seconds + half for seconds, half in pairs))
        object.__setattr__(self, "before_s", tuple(seconds - half for seconds, half in pairs))


def _prefix_sums_s(cuts: tuple[Cut, ...], blocks: tuple[Block, ...]) -> list[float]:
    """Seconds of `blocks` from cut 0 to every cut."""
    macs, prefix_s = {cut.index: cut.macs_before for cut in cuts}, [0.0]
    for block in blocks:
        start_s, start_macs = prefix_s[-1], macs.get(block.from_cut, 0)
        span_macs = macs.get(block.to_cut, 0) - start_macs
        for cut in range(block.from_cut + 1, block.to_cut):
            by_count = (cut - block.from_cut) / (block.to_cut - block.from_cut)
            known = span_macs > 0 and cut in macs
            share = (macs[cut] - start_macs) / span_macs if known else by_count
            prefix_s.append(start_s + share * block.compute_s.median)
        prefix_s.append(start_s + block.compute_s.median)
    return prefix_s
