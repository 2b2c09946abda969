"""Payload of a cut: the codecs that exist there, and the bytes they make of it. Encoding is `seamline.codec`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from seamline.core.cost.problem import Problem
from seamline.core.cost.profiled import codec_cost
from seamline.core.vocabulary.calibration import CutCalibration
from seamline.core.vocabulary.errors import PlanError
from seamline.core.vocabulary.limits import MAX_CROSSING_BYTES, is_sendable
from seamline.core.vocabulary.plans import BIT_DEPTHS, LOSSINESS, Codec
from seamline.core.vocabulary.profiles import DTYPE_BYTES, CodecCost, Cut, FrameInfo, Profile

LEVELS_HEADER_BYTES = 16
"""Scale, zero point and padding that travel with each tensor sent in 8 bits or fewer."""

JPEG_BYTES_PER_PIXEL = 0.5
"""Of photographs at the quality that the codec uses; the order of magnitude is what the planner needs."""

_FLOATS = frozenset({"float16", "float32", "float64"})


def payload_bytes(cut: Cut, codec: Codec, frame: FrameInfo | None) -> int:
    """Bytes that cross `cut` under `codec`, without message headers.

    At cut 0 of a frame model the camera frame itself travels, raw or as JPEG. Elsewhere f16 takes 2 bytes, u8 1 byte
    and q4 half a byte per float element; other tensors, and those that must keep every bit, stay as they are. A cut
    without tensors (a profile from elsewhere) counts as one float32. What entropy coding saves depends on the data:
    here lossless takes all bytes, and q4 what it takes of a dense feature map.
    Raises `PlanError` when `codec` does not exist at `cut`.
    """
    if codec not in offered_codecs(cut, frame):
        raise PlanError(f"codec {codec} does not exist at cut {cut.index}", hint="JPEG and raw are for camera frames")
    if cut.index == 0 and frame is not None:
        return frame.jpeg_bytes if codec is Codec.JPEG and frame.jpeg_bytes is not None else frame.raw_bytes
    if codec in (Codec.RAW, Codec.LOSSLESS):
        return cut.payload_bytes
    if not cut.tensors:
        return _float_bytes(cut.payload_bytes // DTYPE_BYTES["float32"], codec)
    return sum(
        _float_bytes(tensor.n_elements, codec) if tensor.dtype in _FLOATS and not tensor.exact else tensor.n_bytes
        for tensor in cut.tensors
    )


def offered_codecs(cut: Cut, frame: FrameInfo | None) -> tuple[Codec, ...]:
    """Codecs that exist at `cut`, whatever the constraints say.

    None where more would cross than a message carries; no lossy one where every float must keep its bits.
    """
    if cut.index == 0 and frame is not None:
        return (Codec.RAW,) if frame.jpeg_bytes is None else (Codec.RAW, Codec.JPEG)
    if cut.payload_bytes > MAX_CROSSING_BYTES or not is_sendable(cut.tensors):
        return ()
    if cut.exact and not any(tensor.dtype in _FLOATS and not tensor.exact for tensor in cut.tensors):
        return (Codec.RAW, Codec.LOSSLESS)
    return (Codec.RAW, *LOSSINESS)


def uncompressed_bytes(cut: Cut, frame: FrameInfo | None) -> int:
    """Bytes that a codec has to read at `cut`; `CodecCost` is per byte of this."""
    return frame.raw_bytes if cut.index == 0 and frame is not None else cut.payload_bytes


def sent_bytes(cut: Cut, codec: Codec, problem: Problem) -> int:
    """Bytes that are expected to cross `cut` under `codec`: the formula's, corrected by what was measured there.

    Where no frame has shown the ratio, the origin's profile says it.
    """
    ratio = problem.compression_ratio.get((cut.index, codec))
    if ratio is None:
        known = codec_cost(problem.profiles[problem.origin], codec, cut.index)
        ratio = 1.0 if known is None else known.compression_ratio
    return math.ceil(payload_bytes(cut, codec, problem.frame) * ratio)


def with_calibrated_sizes(profile: Profile, calibration: Iterable[CutCalibration]) -> Profile:
    """`profile` with what the entropy-coded codecs sent of real frames at each cut.

    What they cost is as elsewhere on the device. A profile from before they were has nothing of it: lossless, which is
    no quicker, stands in.
    """
    free = CodecCost(codec=Codec.LOSSLESS, encode_s_per_byte=0.0, decode_s_per_byte=0.0)
    costs: list[CodecCost] = []
    for each in calibration:
        if each.codec not in BIT_DEPTHS or each.sent_bytes is None or each.cut >= len(profile.cuts):
            continue
        if each.codec not in offered_codecs(profile.cuts[each.cut], profile.frame):
            continue
        known = codec_cost(profile, each.codec, -1) or codec_cost(profile, Codec.LOSSLESS, -1) or free
        ratio = each.sent_bytes / payload_bytes(profile.cuts[each.cut], each.codec, profile.frame)
        costs.append(replace(known, codec=each.codec, cut=each.cut, compression_ratio=ratio))
    return replace(profile, codecs=(*profile.codecs, *costs))


def _float_bytes(n_elements: int, codec: Codec) -> int:
    if codec is Codec.F16:
        return 2 * n_elements
    return math.ceil(n_elements * BIT_DEPTHS.get(codec, 8) / 8) + LEVELS_HEADER_BYTES
