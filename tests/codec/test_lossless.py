"""Claims about the lossless codec: every bit survives, bytes are saved, and no false plane takes memory."""

from __future__ import annotations

import tracemalloc
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seamline.codec import decode, encode
from seamline.codec.lossless import MAX_EXPANSION
from seamline.core.vocabulary.errors import CodecError
from seamline.core.vocabulary.plans import Codec
from seamline.core.vocabulary.profiles import DTYPE_BYTES

N_DAMAGED = 10 * settings.default.max_examples
Tensor = np.ndarray[Any, Any]
any_tensor = st.sampled_from(sorted(DTYPE_BYTES)).flatmap(
    lambda dtype: hnp.arrays(np.dtype(dtype), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6))
)


def roundtrip(tensor: Tensor) -> Tensor:
    encoded = encode({"a": tensor}, Codec.LOSSLESS)
    return decode(encoded.encoding, encoded.buffers)["a"]


def relu_map() -> Tensor:
    return np.maximum(np.random.default_rng(1).standard_normal((1, 8, 56, 56), np.float32), 0)


@given(any_tensor)
def test_every_bit_of_every_dtype_and_shape_survives(tensor: Tensor) -> None:
    after = roundtrip(tensor)
    assert (after.dtype, after.shape) == (tensor.dtype, tensor.shape)
    assert after.tobytes() == tensor.tobytes()  # bytes, so that NaNs and negative zeros count


def test_non_contiguous_tensors_are_sent_as_they_look() -> None:
    tensor = relu_map().transpose(0, 2, 3, 1)[:, ::2]
    np.testing.assert_array_equal(roundtrip(tensor), tensor)


def test_a_map_with_zeros_takes_fewer_bytes_and_noise_no_more_than_raw() -> None:
    tensor = relu_map()
    assert encode({"a": tensor}, Codec.LOSSLESS).n_bytes < 0.75 * tensor.nbytes
    noise = np.random.default_rng(2).integers(0, 256, 40_000).astype(np.uint8)
    encoded = encode({"a": noise}, Codec.LOSSLESS)
    assert sum(buffer.nbytes for buffer in encoded.buffers) == noise.nbytes


def test_a_constant_tensor_stays_within_the_expansion_that_receivers_accept() -> None:
    tensor = np.zeros((1, 64, 112, 112), np.float32)
    encoded = encode({"a": tensor}, Codec.LOSSLESS)
    assert tensor.nbytes / MAX_EXPANSION <= encoded.buffers[0].nbytes < 1.1 * tensor.nbytes / MAX_EXPANSION
    np.testing.assert_array_equal(decode(encoded.encoding, encoded.buffers)["a"], tensor)


def describe(shape: list[int], planes: list[int], dtype: str = "uint8") -> bytes:
    return msgspec.msgpack.encode([["a", dtype, shape, "lossless", 1.0, 0, 0, b"", b"", planes]])


def refused_without_memory(encoding: bytes, buffer: Tensor, match: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(CodecError, match=match):
            decode(encoding, [buffer])
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_bomb_of_ratio_ten_thousand_is_refused_before_memory_is_taken() -> None:
    bomb = np.frombuffer(zstandard.ZstdCompressor().compress(bytes(64 << 20)), np.uint8)
    assert (64 << 20) / bomb.size > 1e4
    refused_without_memory(describe([64 << 20], [bomb.size]), bomb, "claims to hold")


def test_a_bomb_behind_an_honest_description_is_refused_before_memory_is_taken() -> None:
    bomb = np.frombuffer(zstandard.ZstdCompressor().compress(bytes(64 << 20)), np.uint8)
    refused_without_memory(describe([bomb.size + 1], [bomb.size]), bomb, "where .* were announced")


def test_a_frame_that_hides_its_size_is_refused() -> None:
    compressor = zstandard.ZstdCompressor(write_content_size=False)
    hidden = np.frombuffer(compressor.compress(bytes(64 << 20)), np.uint8)
    refused_without_memory(describe([hidden.size + 1], [hidden.size]), hidden, "where .* were announced")


def test_a_payload_beyond_the_size_of_a_message_is_refused_before_memory_is_taken() -> None:
    padded = np.zeros(5 << 20, np.uint8)
    refused_without_memory(describe([MAX_EXPANSION * padded.size], [padded.size]), padded, "the most is")


@pytest.mark.parametrize(
    ("shape", "planes", "dtype"),
    [
        ([8], [8], "float32"), ([8], [2, 2, 2, 3], "float32"), ([8], [8, 0, 0, 0], "float32"), ([8], [9], "uint8"),
        ([8], [], "uint8"), ([8], [2**40], "uint8"), ([2**40] * 8, [8], "uint8"), ([7], [8], "uint8"),
        ([9], [8], "uint8"), ([8], [8], "object"),
    ],
)  # fmt: skip
def test_planes_that_do_not_fit_are_refused(shape: list[int], planes: list[int], dtype: str) -> None:
    buffer = np.arange(8, dtype=np.uint8)
    np.testing.assert_array_equal(decode(describe([8], [8]), [buffer])["a"], buffer)
    with pytest.raises(CodecError):
        decode(describe(shape, planes, dtype), [buffer])


def test_mutated_payloads_are_refused_or_decoded_but_never_crash() -> None:
    random = Random(1)
    encoded = encode({"a": relu_map()[:, :1, :24, :24], "b": np.arange(300)}, Codec.LOSSLESS)
    for _ in range(N_DAMAGED):
        parts = [bytearray(encoded.encoding), *(bytearray(buffer.tobytes()) for buffer in encoded.buffers)]
        for _ in range(random.randint(1, 4)):
            part = random.choice(parts)
            part[random.randrange(len(part))] = random.choice((0, 127, 255, random.randrange(256)))
        try:
            back = decode(bytes(parts[0]), [np.frombuffer(part, np.uint8) for part in parts[1:]])
        except CodecError:
            continue
        assert [tensor.size for tensor in back.values()] == [576, 300]
