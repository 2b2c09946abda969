"""Claims about eight bits per channel: where it pays, what it keeps, and that false grids never get through."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seamline.codec import decode, encode
from seamline.codec.quantise import from_levels, grid_of, to_levels
from seamline.core.vocabulary.errors import CodecError
from seamline.core.vocabulary.plans import Codec

Tensor = np.ndarray[Any, Any]
maps = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=3, max_dims=5, min_side=1, max_side=6),
    elements=st.floats(-6e4, 6e4, width=32),
)


def uneven(shape: tuple[int, ...], axis: int) -> Tensor:
    """Normal values whose spread differs 1000-fold between the channels along `axis`."""
    spread = np.geomspace(0.01, 10.0, shape[axis], dtype=np.float32)
    values = np.random.default_rng(4).standard_normal(shape, np.float32)
    return values * spread.reshape([-1 if at == axis else 1 for at in range(len(shape))])


def sent(tensor: Tensor) -> Tensor:
    grid = grid_of(tensor)
    return from_levels(to_levels(tensor, grid), grid)


@pytest.mark.parametrize(
    ("shape", "axis"), [((1, 16, 14, 14), 1), ((2, 16, 9, 11), 1), ((1, 197, 48), 2), ((1, 14, 14, 16), 3)]
)
def test_uneven_channels_get_grids_of_their_own_in_every_layout(shape: tuple[int, ...], axis: int) -> None:
    tensor = uneven(shape, axis)
    grid = grid_of(tensor)
    assert grid.axis == axis
    others = tuple(at for at in range(len(shape)) if at != axis)
    level = np.maximum(tensor.max(others), 0) - np.minimum(tensor.min(others), 0)
    assert (np.abs(sent(tensor) - tensor).max(others) <= 0.501 * level / 255).all()


def test_even_channels_share_one_grid() -> None:
    values = np.random.default_rng(5).uniform(-1, 1, (1, 16, 14, 14)).astype(np.float32)
    assert grid_of(values).axis is None


def test_grids_that_would_cost_more_bits_than_they_gain_are_not_sent() -> None:
    assert grid_of(uneven((1, 256, 2, 2), 1)).axis is None
    assert grid_of(uneven((1, 256, 12, 12), 1)).axis == 1


def test_a_payload_with_grids_per_channel_is_at_most_the_grids_larger() -> None:
    tensor = uneven((1, 64, 14, 14), 1)
    encoded = encode({"a": tensor}, Codec.U8)
    assert tensor.size < encoded.n_bytes < tensor.size + 5 * 64 + 64
    np.testing.assert_array_equal(decode(encoded.encoding, encoded.buffers)["a"], sent(tensor))


@given(maps)
def test_zeros_stay_exact_and_nothing_is_off_by_more_than_half_a_level(tensor: Tensor) -> None:
    encoded = encode({"a": tensor}, Codec.U8)
    after = decode(encoded.encoding, encoded.buffers)["a"]
    level = (max(0.0, tensor.max()) - min(0.0, tensor.min())) / 255
    assert np.abs(after - tensor).max() <= 0.501 * level + 1e-30
    assert not after[tensor == 0].any()


@pytest.mark.parametrize("shape", [(1, 6, 9, 9), (1, 90, 6)])
def test_channels_of_zeros_and_of_single_values_come_back(shape: tuple[int, ...]) -> None:
    axis = 1 if len(shape) == 4 else 2
    tensor = np.moveaxis(uneven(shape, axis), axis, 0).copy()
    tensor[0], tensor[1], tensor[2] = 0.0, 3.25, -7.5
    tensor = np.moveaxis(tensor, 0, axis)
    grid = grid_of(np.ascontiguousarray(tensor))
    assert grid.axis == axis
    after = np.moveaxis(sent(np.ascontiguousarray(tensor)), axis, 0)
    assert not after[0].any()
    np.testing.assert_allclose(after[1], 3.25, rtol=1e-6)
    np.testing.assert_allclose(after[2], -7.5, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_value_in_one_channel_keeps_all_of_them(bad: float) -> None:
    tensor = uneven((1, 16, 8, 8), 1)
    tensor[0, 3, 4, 5] = bad
    encoded = encode({"conv": tensor}, Codec.U8)
    np.testing.assert_array_equal(decode(encoded.encoding, encoded.buffers)["conv"], tensor)


GOOD = ["a", "float32", [1, 2, 3], "u8c", 1.0, 0, 1, np.ones(2, "<f4").tobytes(), b"\x00\x80"]


@pytest.mark.parametrize(
    ("index", "new"),
    [
        (1, "int32"), (2, [1, 3, 2]), (6, 0), (6, 3), (6, 8), (6, -1), (7, b""), (7, bytes(8)), (7, bytes(7)),
        (7, np.array([1, np.nan], "<f4").tobytes()), (7, np.array([np.inf, 1], "<f4").tobytes()),
        (7, np.array([-1, 1], "<f4").tobytes()), (7, bytes(1 << 20)), (8, b""), (8, b"\x00"), (8, bytes(1 << 20)),
    ],
)  # fmt: skip
def test_grids_that_do_not_fit_are_refused(index: int, new: object) -> None:
    buffer = np.arange(6, dtype=np.uint8)
    good = decode(msgspec.msgpack.encode([GOOD]), [buffer])["a"]
    np.testing.assert_array_equal(good, [[[0, 1, 2], [-125, -124, -123]]])
    with pytest.raises(CodecError):
        decode(msgspec.msgpack.encode([[new if at == index else old for at, old in enumerate(GOOD)]]), [buffer])
