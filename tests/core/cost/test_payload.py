"""What crosses a cut under which codec, by hand-counted bytes."""

from dataclasses import replace

import pytest

from seamline.core.cost.payload import LEVELS_HEADER_BYTES, offered_codecs, payload_bytes, with_calibrated_sizes
from seamline.core.vocabulary.calibration import CutCalibration
from seamline.core.vocabulary.errors import PlanError
from seamline.core.vocabulary.plans import Codec
from seamline.core.vocabulary.profiles import (
    Block,
    CodecCost,
    Cut,
    DeviceInfo,
    FrameInfo,
    ModelInfo,
    Profile,
    Quantiles,
    TensorSpec,
)


def test_codecs_shrink_float_tensors_and_leave_others_raw():
    mixed = Cut(
        index=3,
        after="x",
        tensors=(
            TensorSpec(name="f", dtype="float32", shape=(1, 100)),
            TensorSpec(name="i", dtype="int64", shape=(10,)),
        ),
        payload_bytes=480,
    )
    assert payload_bytes(mixed, Codec.RAW, None) == 480
    assert payload_bytes(mixed, Codec.F16, None) == 200 + 80
    assert payload_bytes(mixed, Codec.U8, None) == 100 + 16 + 80


def test_a_cut_without_tensors_counts_as_one_float32():
    bare = Cut(index=1, after="x", tensors=(), payload_bytes=400)
    assert payload_bytes(bare, Codec.F16, None) == 200
    assert payload_bytes(bare, Codec.U8, None) == 116


def test_at_the_input_of_a_frame_model_the_camera_frame_travels(make_cuts):
    cut, frame = make_cuts(100, 10)[0], FrameInfo(raw_bytes=300, jpeg_bytes=50)
    assert offered_codecs(cut, frame) == (Codec.RAW, Codec.JPEG)
    assert payload_bytes(cut, Codec.RAW, frame) == 300
    assert payload_bytes(cut, Codec.JPEG, frame) == 50
    with pytest.raises(PlanError, match="codec u8 does not exist at cut 0"):
        payload_bytes(cut, Codec.U8, frame)


def test_without_frame_figures_the_input_tensors_travel_and_jpeg_does_not_exist(make_cuts):
    cut = make_cuts(100, 10)[0]
    assert payload_bytes(cut, Codec.U8, None) == 116
    assert Codec.JPEG not in offered_codecs(cut, None)
    assert offered_codecs(cut, FrameInfo(raw_bytes=300)) == (Codec.RAW,)


def test_no_codec_exists_where_more_crosses_than_one_message_carries():
    deep = TensorSpec(name="t", dtype="float32", shape=(1,) * 17)
    assert offered_codecs(Cut(index=0, after="input", tensors=(deep,), payload_bytes=4), None) == ()
    assert offered_codecs(Cut(index=1, after="x", tensors=(), payload_bytes=1 << 30), None) == ()
    assert Codec.RAW in offered_codecs(Cut(index=1, after="x", tensors=(), payload_bytes=1 << 29), None)


def test_a_tensor_that_must_keep_every_bit_is_priced_so() -> None:
    at = TensorSpec(name="at", dtype="float32", shape=(10,), exact=True)
    free = TensorSpec(name="a", dtype="float32", shape=(10,))
    cut = Cut(index=1, after="l", tensors=(at, free), payload_bytes=80)
    assert Codec.F16 in offered_codecs(cut, None)
    alone = Cut(index=1, after="l", tensors=(at,), payload_bytes=40)
    assert offered_codecs(alone, None) == (Codec.RAW, Codec.LOSSLESS), "nothing there may lose a bit"
    assert payload_bytes(cut, Codec.F16, None) == 40 + 20
    assert payload_bytes(cut, Codec.U8, None) == 40 + 10 + LEVELS_HEADER_BYTES
    assert payload_bytes(cut, Codec.Q3, None) == 40 + 4 + LEVELS_HEADER_BYTES


def test_calibrated_sizes_are_those_of_real_frames() -> None:
    free = TensorSpec(name="a", dtype="float32", shape=(1000,))
    first = Cut(index=0, after="x", tensors=(), payload_bytes=4)
    cuts = (first, Cut(index=1, after="l", tensors=(free,), payload_bytes=4000))
    spent_s = Quantiles(median=0.1, p90=0.1)
    u8 = CodecCost(codec=Codec.U8, encode_s_per_byte=1e-9, decode_s_per_byte=1e-9)
    lossless = CodecCost(codec=Codec.LOSSLESS, encode_s_per_byte=3e-9, decode_s_per_byte=2e-9)
    profile = Profile(
        model=ModelInfo(name="m"), device=DeviceInfo(name="here"), cuts=cuts,
        blocks=(Block(from_cut=0, to_cut=1, compute_s=spent_s),), whole_s=spent_s, codecs=(u8, lossless),
    )  # fmt: skip
    measured = [
        CutCalibration(cut=cut, codec=codec, n_frames=20, max_change_ratio=0.1, sent_bytes=258.0)
        for cut, codec in ((1, Codec.Q4), (1, Codec.U8), (9, Codec.Q4))
    ]
    (added,) = with_calibrated_sizes(profile, measured).codecs[2:]
    assert (added.codec, added.cut, added.compression_ratio) == (Codec.Q4, 1, 258.0 / 516)
    assert added.encode_s_per_byte == 3e-9, "an old profile knows nothing quicker"
    own = CodecCost(codec=Codec.Q4, encode_s_per_byte=2e-9, decode_s_per_byte=1e-9)
    (added,) = with_calibrated_sizes(replace(profile, codecs=(own,)), measured).codecs[1:]
    assert added == replace(own, cut=1, compression_ratio=0.5)
