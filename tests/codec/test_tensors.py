"""Claims about `codec.tensors`: what survives each codec, and that a false description never gets through."""

from __future__ import annotations

import builtins
import struct
import sys
import threading
from random import Random
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seamline.codec import decode, encode, measure_costs, sample_frame
from seamline.codec.jpeg import claimed_shape
from seamline.core.vocabulary.errors import CodecError
from seamline.core.vocabulary.plans import Codec
from seamline.core.vocabulary.profiles import DTYPE_BYTES

N_DAMAGED = 20 * settings.default.max_examples
floats = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    elements=st.floats(-6e4, 6e4, width=32),
)


def roundtrip(tensors: dict[str, np.ndarray[Any, Any]], codec: Codec) -> dict[str, np.ndarray[Any, Any]]:
    encoded = encode(tensors, codec)
    return decode(encoded.encoding, encoded.buffers)


def feature_map() -> np.ndarray[Any, Any]:
    return np.maximum(np.random.default_rng(1).standard_normal((1, 8, 14, 14), np.float32) * 3, 0)


@pytest.mark.parametrize("dtype", sorted(DTYPE_BYTES))
def test_raw_keeps_every_bit_of_every_dtype(dtype: str) -> None:
    tensor = np.random.default_rng(0).integers(0, 2, (3, 0, 2)).astype(dtype), np.arange(6).reshape(2, 3).astype(dtype)
    back = roundtrip({"empty": tensor[0], "full": tensor[1]}, Codec.RAW)
    assert list(back) == ["empty", "full"]
    for before, after in zip(tensor, back.values(), strict=True):
        assert after.dtype == before.dtype
        np.testing.assert_array_equal(after, before)


def test_raw_copies_nothing() -> None:
    tensor = feature_map()
    assert np.shares_memory(roundtrip({"a": tensor}, Codec.RAW)["a"], tensor)


@given(floats)
def test_f16_rounds_like_ieee_half_or_leaves_alone(tensor: np.ndarray[Any, Any]) -> None:
    after = roundtrip({"a": tensor}, Codec.F16)["a"]
    assert after.dtype == np.float32
    assert after.shape == tensor.shape
    if not np.array_equal(after, tensor):
        np.testing.assert_array_equal(after, tensor.astype(np.float16).astype(np.float32))


@given(floats)
def test_u8_is_off_by_at_most_half_a_level_and_keeps_zero(tensor: np.ndarray[Any, Any]) -> None:
    after = roundtrip({"a": tensor}, Codec.U8)["a"]
    assert after.shape == tensor.shape
    if tensor.size:
        level = (max(0.0, tensor.max()) - min(0.0, tensor.min())) / 255
        # 0.001 level for the scale itself, rounded to float32
        assert np.abs(after - tensor).max() <= 0.501 * level + 1e-30
        assert not after[tensor == 0].any()


@pytest.mark.parametrize("value", [0.0, 7.25, -3.5, 1e-42, 3e38])
def test_u8_gives_a_constant_tensor_back(value: float) -> None:
    tensor = np.full((2, 3), value, np.float32)
    np.testing.assert_allclose(roundtrip({"a": tensor}, Codec.U8)["a"], tensor, rtol=1e-6, atol=1e-37)


NOT_HELD = {
    Codec.F16: [[np.inf, 1.5], [-np.inf, 1.5], [np.nan, 1.5], [1e9 + 0.5, 1.5], [1e-6, 3.3e-6]],
    Codec.U8: [[np.inf, 1.5], [-np.inf, 1.5], [np.nan, 1.5], [256.0, -1.0], [1e9, 0.0]],
    Codec.Q4: [[np.inf, 1.5], [-np.inf, 1.5], [np.nan, 1.5], [256.0, -1.0], [1e9, 0.0]],
}


@pytest.mark.parametrize(("codec", "values"), [(codec, values) for codec in NOT_HELD for values in NOT_HELD[codec]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_that_a_codec_cannot_hold_keep_every_bit(codec: Codec, values: list[float], dtype: str) -> None:
    tensors = {"odd": np.array(values, dtype), "x": feature_map()}
    back = roundtrip(tensors, codec)
    assert back["odd"].dtype.name == dtype
    np.testing.assert_array_equal(back["odd"], tensors["odd"])
    assert not np.array_equal(back["x"], tensors["x"]), "the others are rounded all the same"


@pytest.mark.parametrize("codec", [Codec.F16, Codec.U8, Codec.Q4])
@pytest.mark.parametrize(
    "values",
    [
        np.arange(6400)[::-1],  # positions in a table
        np.arange(2049),  # the first whole number that float16 does not hold
        np.array([0, 1, 1, 0]),  # a mask
        np.array([0, -1e9, 0]),  # a mask to be added
        np.array([1.7e9, 1.7e9 + 128]),  # seconds since 1970
        np.array([-3, 252]),
        np.array([7]),
        np.eye(300),  # one-hot
    ],
)
def test_whole_numbers_keep_every_bit(codec: Codec, values: np.ndarray[Any, Any]) -> None:
    for dtype in ("float32", "float64"):
        tensor = values.astype(dtype)
        np.testing.assert_array_equal(roundtrip({"a": tensor}, codec)["a"], tensor)


def test_masks_take_a_quarter_of_the_bytes_and_stay_exact() -> None:
    mask = (np.random.default_rng(0).random((4, 100)) > 0.5).astype(np.float32)
    assert encode({"mask": mask}, Codec.U8).buffers[0].nbytes * 4 == mask.nbytes


@pytest.mark.parametrize("codec", [Codec.F16, Codec.U8, Codec.Q4])
def test_named_tensors_keep_every_bit(codec: Codec) -> None:
    tensors = {"boxes": feature_map(), "half": feature_map().astype(np.float16), "x": feature_map()}
    encoded = encode(tensors, codec, exact=("boxes", "half"))
    back = decode(encoded.encoding, encoded.buffers)
    for name in ("boxes", "half"):
        np.testing.assert_array_equal(back[name], tensors[name])
    assert not np.array_equal(back["x"], tensors["x"])


@pytest.mark.parametrize("codec", [Codec.F16, Codec.U8, Codec.Q4])
def test_integers_and_booleans_travel_raw_under_lossy_codecs(codec: Codec) -> None:
    tensors = {"ids": np.array([2**62, -1]), "mask": np.array([[True, False]])}
    back = roundtrip({**tensors, "x": feature_map()}, codec)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(back[name], tensor)
    assert back["x"].dtype == np.float32


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("codec", [Codec.F16, Codec.U8, Codec.Q6])
def test_other_float_widths_come_back_as_they_were(dtype: str, codec: Codec) -> None:
    tensor = feature_map().astype(dtype)
    after = roundtrip({"a": tensor}, codec)["a"]
    assert after.dtype == tensor.dtype
    np.testing.assert_allclose(after, tensor, atol=float(tensor.max()) / 127)


@pytest.mark.parametrize("codec", [Codec.F16, Codec.U8, Codec.Q6])
def test_non_contiguous_tensors_are_sent_as_they_look(codec: Codec) -> None:
    tensor = feature_map().transpose(0, 2, 3, 1)[:, ::2]
    np.testing.assert_allclose(roundtrip({"a": tensor}, codec)["a"], tensor, atol=float(tensor.max()) / 127)


def test_lossy_codecs_take_half_and_a_quarter_of_the_bytes() -> None:
    tensors = {"a": feature_map()}
    raw, f16, u8 = (sum(b.nbytes for b in encode(tensors, codec).buffers) for codec in ("raw", "f16", "u8"))
    assert (f16 * 2, u8 * 4) == (raw, raw)


def test_sessions_serve_many_threads_at_once() -> None:
    tensor = feature_map()
    expected = {codec: roundtrip({"a": tensor}, codec)["a"] for codec in (Codec.F16, Codec.U8)}
    wrong: list[str] = []

    def work(codec: Codec) -> None:
        for _ in range(30):
            if not np.array_equal(roundtrip({"a": tensor}, codec)["a"], expected[codec]):
                wrong.append(codec)

    threads = [threading.Thread(target=work, args=(codec,)) for codec in expected for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def photo() -> np.ndarray[Any, Any]:
    return sample_frame(224, 224)[:120]


def test_jpeg_keeps_the_look_and_the_colour_order_of_a_frame() -> None:
    frame = photo()
    encoded = encode({"frame": frame}, Codec.JPEG)
    after = decode(encoded.encoding, encoded.buffers)["frame"]
    assert after.shape == frame.shape
    assert after.dtype == np.uint8
    error = np.abs(after.astype(int) - frame.astype(int)).mean(axis=(0, 1))
    assert error.max() < 8  # levels of 255 per colour; swapped colours would differ by about 60
    assert encoded.n_bytes < frame.nbytes / 4


@pytest.mark.parametrize(
    "tensors",
    [
        {"other": np.zeros((4, 4, 3), np.uint8)},
        {"frame": np.zeros((4, 4, 3), np.uint8), "more": np.zeros(1)},
        {"frame": np.zeros((4, 4), np.uint8)},
        {"frame": np.zeros((4, 4, 3), np.float32)},
        {"frame": np.zeros((0, 4, 3), np.uint8)},
        {},
    ],
)
def test_jpeg_refuses_everything_but_one_rgb_frame(tensors: dict[str, np.ndarray[Any, Any]]) -> None:
    with pytest.raises(CodecError):
        encode(tensors, Codec.JPEG)


def test_a_jpeg_that_claims_another_size_is_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = encode({"frame": photo()}, Codec.JPEG)
    data = bytearray(encoded.buffers[0].tobytes())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 65000, 65000)
    assert claimed_shape(bytes(data)) == (65000, 65000, 3)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded before the size was checked"))
    with pytest.raises(CodecError, match="65000"):
        decode(encoded.encoding, [np.frombuffer(data, np.uint8)])


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"PNG", b"\xff\xd8\xff\xe0\x00\x04ab" * 3, b"\xff\xd8" + b"\xff" * 9]
)
def test_bytes_without_a_jpeg_header_are_refused(data: bytes) -> None:
    encoding = msgspec.msgpack.encode([["frame", "uint8", [4, 4, 3], "jpeg"]])
    with pytest.raises(CodecError):
        decode(encoding, [np.frombuffer(data, np.uint8)])


def test_missing_opencv_is_said_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_cv2(name: str, *args: Any) -> Any:
        if name == "cv2":
            raise ImportError(name)
        return real_import(name, *args)

    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_cv2)
    with pytest.raises(CodecError, match="pip install opencv-python-headless"):
        encode({"frame": np.zeros((4, 4, 3), np.uint8)}, Codec.JPEG)
    assert [cost.codec for cost in measure_costs(_StepClock())] == [c for c in Codec if c is not Codec.JPEG]


GOOD = ["a", "float32", [2, 3], "u8", 0.5, 3]


@pytest.mark.parametrize(
    "description",
    [
        b"\xff\xff",
        msgspec.msgpack.encode({"a": 1}),
        msgspec.msgpack.encode([]),
        msgspec.msgpack.encode([GOOD, GOOD]),
        *(
            msgspec.msgpack.encode([[new if at == index else old for at, old in enumerate(GOOD)]])
            for index, new in [
                (0, "x" * 5000), (1, "object"), (1, "int32"), (2, [2, 4]), (2, [-2, -3]), (2, [2**40] * 8),
                (2, [1] * 17), (3, "pickle"), (3, "raw"), (3, "jpeg"), (4, float("nan")), (4, 0.0), (4, -1.0),
                (4, float("inf")), (5, 256), (5, -1),
            ]
        ),
    ],
)  # fmt: skip
def test_a_description_that_does_not_fit_its_buffers_is_refused(description: bytes) -> None:
    buffer = np.arange(6, dtype=np.uint8)
    assert decode(msgspec.msgpack.encode([GOOD]), [buffer])["a"].shape == (2, 3)
    with pytest.raises(CodecError):
        decode(description, [buffer])


def test_two_descriptions_with_one_name_are_refused() -> None:
    buffers = [np.arange(6, dtype=np.uint8)] * 2
    with pytest.raises(CodecError, match="twice"):
        decode(msgspec.msgpack.encode([GOOD, GOOD]), buffers)


def test_mutated_descriptions_are_refused_or_decoded_but_never_crash() -> None:
    random = Random(1)
    encoded = encode({"a": feature_map()[:, :1, :2, :2], "b": np.arange(3)}, Codec.U8)
    for _ in range(N_DAMAGED):
        description = bytearray(encoded.encoding)
        for _ in range(random.randint(1, 4)):
            description[random.randrange(len(description))] = random.choice((0, 127, 255, random.randrange(256)))
        try:
            back = decode(bytes(description), encoded.buffers)
        except CodecError:
            continue
        assert [tensor.size for tensor in back.values()] == [4, 3]


class _StepClock:
    """Every look at it takes a millisecond."""

    def __init__(self) -> None:
        self.looks = 0

    def now_s(self) -> float:
        self.looks += 1
        return self.looks * 0.001


def test_costs_are_seconds_per_uncompressed_byte() -> None:
    costs = measure_costs(_StepClock(), (Codec.RAW, Codec.U8))
    assert [cost.codec for cost in costs] == [Codec.RAW, Codec.U8]
    for cost in costs:
        assert cost.encode_s_per_byte == pytest.approx(0.001 / 602_112)
        assert cost.decode_s_per_byte == pytest.approx(0.001 / 602_112)
