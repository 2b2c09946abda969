"""Affine quantisation to levels of eight bits: the grid of a tensor, and its values to levels on it and back.

For u8 one grid for the whole tensor, or one for each channel where that pays (`grid_of`); where levels are entropy
coded, one step for the whole tensor and a zero point for each channel (`centred_grid_of`). The element-wise work is
done by ONNX Runtime, see `kernels.py`; how a grid is described on the wire is `tensors.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from seamline.codec import kernels
from seamline.codec.symbols import SIGNED
from seamline.core.vocabulary.errors import CodecError

GRID_BYTES = 5
"""What one more grid costs on the wire: a float32 scale and a uint8 zero point."""

MAX_CHANNELS = 1 << 14

_LEVELS = 255.0
_REACH = 126.0
"""Steps between a channel's mean and its farthest value: both are rounded, and 127 levels lie on a side."""

_TINY = float(np.finfo(np.float32).tiny)

Floats = npt.NDArray[np.float32]
Levels = npt.NDArray[np.uint8]
_Element = TypeVar("_Element", np.float32, np.uint8)


@dataclass(frozen=True, slots=True)
class Grid:
    """``value = scale * (level - zero_point)``. scales: float32[n], zero_points: uint8[n].

    axis: of the tensor along which the n grids lie; None for a single one.
    """

    scales: Floats
    zero_points: Levels
    axis: int | None = None


def grid_of(values: Floats) -> Grid:
    """The grid to send `values` on. Its range is widened to hold 0, so that the zeros of a ReLU stay exact.

    Channels get grids of their own where that pays: the same error from one grid would take more bits, by finer levels,
    than the further grids take to be sent. The error is at most half a scale.
    Raises `CodecError` for NaN and infinities: they would leave no levels for the other values.
    """
    axis = _channel_axis(values.shape)
    lows, highs = _ranges(values, axis)
    low, high = float(lows.min(initial=0.0)), float(highs.max(initial=0.0))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise CodecError("a tensor with NaN or infinity has no 8-bit range", hint="send it as f16 or raw")
    single = _grid(np.array([low]), np.array([high]), None)
    if axis is None:
        return single
    own = _grid(np.minimum(lows, 0.0), np.maximum(highs, 0.0), axis)
    mean_square = float(np.mean(np.square(own.scales, dtype=np.float64)))
    gained_bits = math.log2(float(single.scales[0])) - 0.5 * math.log2(mean_square)
    spent_bits = 8.0 * GRID_BYTES * own.scales.size / values.size
    return own if gained_bits > spent_bits else single


def centred_grid_of(values: Floats, depth: int) -> Grid:
    """The grid on which levels of `values` take about `depth` bits entropy-coded: 128 is each channel's mean, or 0 is 0
    where no value is negative.

    The step is 2^(2 - depth) standard deviations within channels (root mean square), of which a normal distribution
    makes 2.05 + depth - 2 bits; the same step for all channels gives the least error for those bits. It is coarser
    where outliers would not fit 8 bits. The error is at most half a step. Values are finite.
    """
    axis = _channel_axis(values.shape)
    lows, highs = _ranges(values, axis)
    means, spread = _moments(values, axis)
    step = max(spread * 2.0 ** (2 - depth), _TINY)
    if lows.min(initial=0.0) >= 0.0:
        return _shared_step(max(step, highs.max(initial=0.0) / _LEVELS), np.zeros(1), None)
    reach = max(np.abs(side).max() for side in (highs - means, lows - means, means))
    step = max(step, reach / _REACH)
    return _shared_step(step, SIGNED - np.rint(means / step), axis)


def to_levels(values: Floats, grid: Grid) -> Levels:
    """The nearest level of each element, in the shape of `values`."""
    if values.size == 0:
        return np.empty(values.shape, np.uint8)
    if grid.axis is None:
        return kernels.quantise(values, grid.scales.reshape(()), grid.zero_points.reshape(()))
    folded = _folded(values, grid.axis)
    if folded.shape[2] > 1:
        return kernels.quantise(folded, grid.scales, grid.zero_points).reshape(values.shape)
    levels = kernels.quantise_columns(folded[:, :, 0], grid.scales, grid.zero_points)
    return levels.reshape(values.shape)


def from_levels(levels: Levels, grid: Grid) -> Floats:
    """Inverse of `to_levels`, off by what rounding to a level took."""
    if levels.size == 0:
        return np.empty(levels.shape, np.float32)
    if grid.axis is None:
        return kernels.dequantise(levels, grid.scales.reshape(()), grid.zero_points.reshape(()))
    folded = np.ascontiguousarray(_folded(levels, grid.axis))
    return kernels.dequantise(folded, grid.scales, grid.zero_points).reshape(levels.shape)


def _channel_axis(shape: tuple[int, ...]) -> int | None:
    """Likely channel axis: last for tokens and for square maps laid out so, else second. None below three axes.

    A wrong guess does no harm: such grids do not pay.
    """
    if len(shape) < 3 or 0 in shape:
        return None
    is_last = len(shape) == 3 or (len(shape) == 4 and shape[1] == shape[2] != shape[3])
    axis = len(shape) - 1 if is_last else 1
    return axis if 1 < shape[axis] <= MAX_CHANNELS else None


def _ranges(values: Floats, axis: int | None) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Smallest and largest value of each channel, float64[n]; of the whole tensor without an axis. NaN stays NaN."""
    if values.size == 0:
        return np.zeros(1), np.zeros(1)
    if axis is None:
        return np.array([values.min()], np.float64), np.array([values.max()], np.float64)
    folded = _folded(values, axis)
    return folded.min(axis=(0, 2)).astype(np.float64), folded.max(axis=(0, 2)).astype(np.float64)


def _moments(values: Floats, axis: int | None) -> tuple[npt.NDArray[np.float64], float]:
    """Mean of each channel, float64[n], and the root mean square of the standard deviations within channels."""
    if values.size == 0:
        return np.zeros(1), 0.0
    folded = values.reshape(1, 1, -1) if axis is None else _folded(values, axis)
    means = folded.mean(axis=(0, 2)).astype(np.float64)
    mean_square = float(np.vdot(values, values)) / values.size
    return means, math.sqrt(max(0.0, mean_square - float(np.square(means).mean())))


def _shared_step(step: float, zero_points: npt.NDArray[np.float64], axis: int | None) -> Grid:
    return Grid(np.full(zero_points.size, step, np.float32), zero_points.astype(np.uint8), axis)


def _grid(lows: npt.NDArray[np.float64], highs: npt.NDArray[np.float64], axis: int | None) -> Grid:
    scales = np.maximum((highs - lows) / _LEVELS, _TINY).astype(np.float32)
    zero_points = np.clip(np.rint(-lows / scales.astype(np.float64)), 0, _LEVELS).astype(np.uint8)
    return Grid(scales, zero_points, axis)


def _folded(tensor: npt.NDArray[_Element], axis: int) -> npt.NDArray[_Element]:
    """A view [before, n, after] of `tensor` with its channels in the middle."""
    before, n, after = tensor.shape[:axis], tensor.shape[axis], tensor.shape[axis + 1 :]
    return tensor.reshape(math.prod(before), n, math.prod(after))
