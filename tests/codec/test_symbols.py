"""Claims about fewer than eight bits: how far values move, how few bytes they take, what false parts come to."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seamline.codec import decode, encode, measure_costs
from seamline.codec.quantise import centred_grid_of
from seamline.codec.symbols import SIGNED, check_parts, pack, unpack
from seamline.core.vocabulary.errors import CodecError
from seamline.core.vocabulary.plans import BIT_DEPTHS, Codec
from seamline.core.vocabulary.ports import Array

levels = hnp.arrays(np.uint8, st.integers(0, 400))
maps = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6),
    elements=st.floats(-6e4, 6e4, width=32),
)


def normal(*shape: int, offset: float = 0.0, seed: int = 3) -> Array:
    """Normal values, of which every channel has a mean of its own."""
    random = np.random.default_rng(seed)
    means = random.standard_normal((1, shape[1], *[1] * (len(shape) - 2))) * offset
    return (random.standard_normal(shape) + means).astype(np.float32)


def sent(tensor: Array, codec: Codec) -> tuple[Array, int]:
    """`tensor` as it arrives, and the bytes of its payload."""
    encoded = encode({"a": tensor}, codec)
    return decode(encoded.encoding, encoded.buffers)["a"], encoded.n_bytes


@given(levels, st.sampled_from([0, SIGNED]))
def test_levels_come_back_from_what_they_were_packed_into(values: Array, usual: int) -> None:
    buffer, parts = pack(values, usual)
    check_parts(parts, values.size, buffer)
    np.testing.assert_array_equal(unpack(buffer, parts, values.size, usual), values)


@pytest.mark.parametrize(("values", "n_parts"), [(np.full(999, 129, np.uint8), 2), (np.arange(256, dtype=np.uint8), 1)])
def test_two_levels_share_a_byte_where_nearly_all_are_usual(values: Array, n_parts: int) -> None:
    buffer, parts = pack(values, SIGNED)
    assert len(parts) == n_parts
    np.testing.assert_array_equal(unpack(buffer, parts, values.size, SIGNED), values)


@given(maps, st.sampled_from(sorted(BIT_DEPTHS)))
def test_a_value_moves_by_at_most_half_a_step(tensor: Array, codec: Codec) -> None:
    after, _ = sent(tensor, codec)
    assert after.shape == tensor.shape
    if not np.array_equal(after, tensor):  # whole numbers are left alone
        step = float(centred_grid_of(tensor, BIT_DEPTHS[codec]).scales[0])
        # 0.002 steps for quotients in float32, of up to 255 steps
        assert np.abs(after - tensor).max() <= 0.502 * step


@given(maps, st.sampled_from(sorted(BIT_DEPTHS)))
def test_zeros_stay_exact(tensor: Array, codec: Codec) -> None:
    after, _ = sent(np.abs(tensor), codec)
    assert not after[tensor == 0].any()


@pytest.mark.parametrize(("codec", "bits"), BIT_DEPTHS.items())
@pytest.mark.parametrize("shape", [(1, 40, 28, 28), (1, 28, 28, 40), (1, 197, 96)])
def test_a_dense_map_takes_as_many_bits_as_the_name_says(codec: Codec, bits: int, shape: tuple[int, ...]) -> None:
    tensor = normal(*shape, offset=1.0) if shape[1] == 40 else normal(*shape)
    after, n_bytes = sent(tensor, codec)
    assert 8 * n_bytes / tensor.size == pytest.approx(bits, abs=0.35)  # header, and Huffman codes of whole bits
    # a step is 2^(2 - bits) standard deviations, its error uniform
    assert np.sqrt(np.mean((after - tensor) ** 2)) == pytest.approx(2.0 ** (2 - bits) / np.sqrt(12), rel=0.1)


def test_a_sparse_map_takes_less() -> None:
    sparse = np.maximum(normal(1, 64, 28, 28) - 1.0, 0.0)
    assert 8 * sent(sparse, Codec.Q4)[1] / sparse.size < 1.8
    assert sent(np.zeros((1, 64, 28, 28), np.float32), Codec.Q4)[1] < 400


def test_an_outlier_makes_the_step_coarser_and_is_not_clipped() -> None:
    tensor = normal(1, 40, 28, 28)
    tensor[0, 3, 5, 5] = 1000.0
    after, _ = sent(tensor, Codec.Q4)
    assert after[0, 3, 5, 5] == pytest.approx(1000.0, abs=4.0)


@pytest.mark.parametrize("value", [7.25, -3.5, 1e-42, 3e38])
def test_a_constant_tensor_comes_back_within_a_hundredth(value: float) -> None:
    tensor = np.full((1, 3, 4, 4), value, np.float32)
    np.testing.assert_allclose(sent(tensor, Codec.Q2)[0], tensor, rtol=0.01, atol=1e-37)


def _described(tensor: Array, codec: Codec = Codec.Q4) -> tuple[list[Any], Array]:
    encoded = encode({"a": tensor}, codec)
    return msgspec.msgpack.decode(encoded.encoding)[0], encoded.buffers[0]


NAME, DTYPE, SHAPE, FORM, SCALE, USUAL, AXIS, SCALES, ZERO_POINTS, PARTS = range(10)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (SHAPE, [1, 8, 14, 15]), (SHAPE, [1, 8, 140, 140]), (SHAPE, [2**20, 2**20]), (SHAPE, []), (DTYPE, "int32"),
        (SCALE, 0.0), (SCALE, float("nan")), (SCALE, 1e300), (USUAL, 7), (AXIS, 3), (ZERO_POINTS, b""),
        (ZERO_POINTS, b"\x80" * 7), (PARTS, []), (PARTS, [1, 1]), (PARTS, [2**40, 0]), (PARTS, [0, 0, 0]),
    ],
)  # fmt: skip
def test_a_header_that_does_not_fit_is_refused(field: int, value: Any) -> None:
    header, buffer = _described(normal(1, 8, 14, 14))
    decode(msgspec.msgpack.encode([header]), [buffer])
    header[field] = value
    with pytest.raises(CodecError):
        decode(msgspec.msgpack.encode([header]), [buffer])


def test_a_part_that_expands_to_another_number_is_refused_before_it_is_opened() -> None:
    header, _ = _described(normal(1, 8, 14, 14))
    few = encode({"a": normal(1, 1, 4, 4)}, Codec.Q4)
    header[PARTS] = msgspec.msgpack.decode(few.encoding)[0][PARTS]
    with pytest.raises(CodecError):
        decode(msgspec.msgpack.encode([header]), few.buffers)
    bomb = np.full(2 * 10**6, SIGNED, np.uint8)  # as long as it may be: a byte for 256
    buffer, parts = pack(bomb, SIGNED)
    with pytest.raises(CodecError, match="honest"):
        check_parts(parts, 4 * bomb.size, buffer)
    with pytest.raises(CodecError):
        unpack(buffer, parts, bomb.size - 2, SIGNED)


def test_damaged_parts_are_refused_or_decoded_but_never_crash() -> None:
    header, buffer = _described(normal(1, 8, 14, 14), Codec.Q5)
    random = np.random.default_rng(0)
    for _ in range(300):
        damaged = buffer.copy()
        damaged[random.integers(0, damaged.size, 3)] = random.integers(0, 256, 3)
        try:
            back = decode(msgspec.msgpack.encode([header]), [damaged])
        except CodecError:
            continue
        assert back["a"].shape == (1, 8, 14, 14)
        assert np.isfinite(back["a"]).all()


class _Clock:
    """Every look at it takes a millisecond."""

    def __init__(self) -> None:
        self.looks = 0

    def now_s(self) -> float:
        self.looks += 1
        return self.looks * 0.001


def test_depths_are_timed_once_and_priced_alike() -> None:
    costs = measure_costs(_Clock(), tuple(BIT_DEPTHS))
    assert [cost.codec for cost in costs] == list(BIT_DEPTHS)
    assert len({(cost.encode_s_per_byte, cost.decode_s_per_byte) for cost in costs}) == 1
