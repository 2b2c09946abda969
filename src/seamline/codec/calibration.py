"""Codec calibration: costs of each codec on this machine, measured in some tens of milliseconds at a node's start.

The planner needs seconds per uncompressed byte, not exact numbers: a codec moves 300 MB/s at its worst, so an error
of a factor of two is still small beside any link. The clock is an argument.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from seamline.codec import jpeg
from seamline.codec.tensors import decode, encode
from seamline.core.vocabulary.plans import BIT_DEPTHS, Codec
from seamline.core.vocabulary.ports import Array, Clock, FrameArray
from seamline.core.vocabulary.profiles import CodecCost

_BOUNDARY_SHAPE = (1, 48, 56, 56)
_FRAME_SIZE = (224, 224)
N_RUNS = 5


def measure_costs(clock: Clock, codecs: Sequence[Codec] = tuple(Codec)) -> tuple[CodecCost, ...]:
    """Median cost of `N_RUNS` of each codec, on a 600 kB float32 boundary or a 150 kB camera frame for JPEG.

    JPEG is left out when OpenCV is not installed: then it cannot be used here either.
    """
    usable = [codec for codec in codecs if codec is not Codec.JPEG or jpeg.is_available()]
    measured = {codec: _measure(clock, codec) for codec in {*map(_timed_as, usable)}}
    return tuple(replace(measured[_timed_as(codec)], codec=codec) for codec in usable)


def sample_frame(height: int, width: int) -> FrameArray:
    """uint8[height, width, 3]: a smooth picture with shapes and some texture. Noise alone compresses like nothing that
    a camera sees, a flat picture too well."""
    rows, columns = np.mgrid[0:height, 0:width]
    smooth = np.stack(
        [rows * 255 // height, columns * 255 // width, (rows + columns) * 255 // (height + width)], axis=-1
    )
    texture = np.random.default_rng(0).integers(0, 24, (height, width, 3))
    return np.clip(smooth + texture, 0, 255).astype(np.uint8)


def _timed_as(codec: Codec) -> Codec:
    """The codec that takes as long as `codec`: of the entropy-coded ones, the slowest is timed."""
    return Codec.Q4 if codec in BIT_DEPTHS else codec


def _measure(clock: Clock, codec: Codec) -> CodecCost:
    tensors = (
        {jpeg.JPEG_TENSOR: sample_frame(*_FRAME_SIZE)} if codec is Codec.JPEG else {"boundary": _sample_boundary()}
    )
    n_bytes = sum(tensor.nbytes for tensor in tensors.values())
    encoded = encode(tensors, codec)
    decode(encoded.encoding, encoded.buffers)  # the first run makes sessions
    encode_s = _median_s(clock, lambda: encode(tensors, codec))
    decode_s = _median_s(clock, lambda: decode(encoded.encoding, encoded.buffers))
    return CodecCost(codec=codec, encode_s_per_byte=encode_s / n_bytes, decode_s_per_byte=decode_s / n_bytes)


def _median_s(clock: Clock, run: Callable[[], object]) -> float:
    durations_s = []
    for _ in range(N_RUNS):
        start_s = clock.now_s()
        run()
        durations_s.append(clock.now_s() - start_s)
    return statistics.median(durations_s)


def _sample_boundary() -> Array:
    """Sample tensor as after a convolution with ReLU: half zeros, half positive."""
    return np.maximum(np.random.default_rng(0).standard_normal(_BOUNDARY_SHAPE, np.float32), 0.0)
