"""Claims about `fabric.wire`: what is packed comes back, and nothing else is ever accepted or crashes."""

from __future__ import annotations

import math
import struct
import tracemalloc
from dataclasses import fields
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from msgspec.structs import replace

from seamline.core.link import report
from seamline.core.vocabulary.errors import WireError, WireVersion
from seamline.core.vocabulary.limits import MAX_TENSORS
from seamline.core.vocabulary.profiles import DTYPE_BYTES
from seamline.fabric import wire
from seamline.fabric.integrity import checksum
from seamline.fabric.messages import (
    WIRE_VERSION,
    EnergyReport,
    FrameData,
    LinkReport,
    Message,
    Ping,
    Prepared,
    Profiled,
    ProfileModel,
    ResultData,
    SegmentTimed,
    StageReport,
    Status,
)
from seamline.fabric.wire import pack, unpack

HEADER = FrameData(
    stream="s", frame=7, attempt=0, generation=3, model_id="vgg19", plan="edge[0:14]f16 > cloud[14:45]", stage=1, seq=9,
    encoding=b"\x91\x01", reports=(StageReport("edge", 0.001, 0.0, 0.02, 0.001, 1024),),
)  # fmt: skip
N_DAMAGED = 30 * settings.default.max_examples
PREFIX_BYTES, CHECKED_FROM = 32, 16
RECORD_BYTES = 88


def tensors_of(*shapes: tuple[int, ...]) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def reseal(message: bytearray) -> bytearray:
    """`message` with its checksum made right again, as a hostile peer would."""
    struct.pack_into("<Q", message, 8, checksum(memoryview(message)[CHECKED_FROM:]))
    return message


def sealed(guarded: bytes) -> bytes:
    """A message of this version that has `guarded` behind its checksum."""
    return struct.pack("<3sBIQ", b"SLM", WIRE_VERSION, 0, checksum(guarded)) + guarded


@given(
    st.lists(
        st.sampled_from(sorted(DTYPE_BYTES)).flatmap(
            lambda dtype: hnp.arrays(np.dtype(dtype), hnp.array_shapes(min_dims=0, max_dims=16, min_side=0, max_side=2))
        ),
        max_size=4,
    )
)
def test_header_and_tensors_come_back_bit_for_bit(tensors: list[np.ndarray[Any, Any]]) -> None:
    header, back = unpack(pack(HEADER, tensors))
    assert header == HEADER
    assert [(t.dtype, t.shape, t.tobytes()) for t in back] == [(t.dtype, t.shape, t.tobytes()) for t in tensors]


def test_thousands_of_tensors_travel_in_one_message() -> None:
    tensors = [np.full((1,) * (number % 17), number, np.int32) for number in range(MAX_TENSORS)]
    _, back = unpack(pack(HEADER, tensors))
    assert [(int(tensor.max()), tensor.ndim) for tensor in back] == [(n, n % 17) for n in range(MAX_TENSORS)]
    with pytest.raises(WireError, match="exceeds"):
        pack(HEADER, [*tensors, tensors[0]])


def test_strided_and_big_endian_tensors_come_back_as_they_look() -> None:
    strided = np.arange(24, dtype=np.int32).reshape(2, 3, 4).transpose(2, 0, 1)[::2]
    swapped = np.arange(5, dtype=">f4")
    _, back = unpack(pack(Ping(1), [strided, swapped]))
    np.testing.assert_array_equal(back[0], strided)
    np.testing.assert_array_equal(back[1], swapped)


def test_tensors_are_aligned_views_into_the_message() -> None:
    message = bytearray(pack(HEADER, tensors_of((3,), (1, 5, 7), (2, 2))))
    whole = np.frombuffer(message, np.uint8)
    _, back = unpack(message)
    for tensor in back:
        assert np.shares_memory(tensor, whole)
        offset = tensor.ctypes.data - whole.ctypes.data
        assert offset % wire.ALIGNMENT_BYTES == 0


def test_tensors_of_a_read_only_message_are_read_only() -> None:
    _, (tensor,) = unpack(bytes(pack(Ping(1), tensors_of((3,)))))
    assert not tensor.flags.writeable


def test_the_format_of_version_3_does_not_drift() -> None:
    """The bytes of a known message: a change here needs a new `WIRE_VERSION`."""
    message = bytearray(pack(Ping(5), [np.array([1, 2], np.uint8)]))
    header = msgspec.msgpack.encode({"kind": "ping", "seq": 5, "clock_s": None})
    record = struct.pack("<BB6x8qQQ", 3, 1, 2, 0, 0, 0, 0, 0, 0, 0, 192, 2)
    guarded = struct.pack("<QIHH", 194, len(header), 1, 0) + record + header
    start = struct.pack("<3sBIQ", b"SLM", 3, 0, checksum(guarded.ljust(176, b"\0") + b"\1\2"))
    assert bytes(message) == (start + guarded).ljust(192, b"\0") + b"\1\2"


def test_another_version_is_refused_naming_both() -> None:
    message = bytearray(pack(Ping(1)))
    message[3] = 7
    with pytest.raises(WireVersion, match="version 7, this node 3"):
        unpack(message)


@pytest.mark.parametrize(
    ("format_", "at", "value"),
    [
        ("<I", 4, 1), ("<Q", 16, 0), ("<Q", 16, 2**63), ("<Q", 16, 2**64 - 1),
        ("<I", 24, 0), ("<I", 24, 2**32 - 1), ("<H", 28, 0), ("<H", 28, 2**16 - 1), ("<H", 30, 1),
        ("<B", 32, 255), ("<B", 32, 1), ("<B", 33, 9), ("<B", 33, 255), ("<B", 33, 1), ("<B", 34, 1),
        ("<q", 40, -3), ("<q", 40, 2**62), ("<q", 40, 4), ("<q", 56, 1),
        ("<Q", 104, 0), ("<Q", 104, 64), ("<Q", 104, 2**63), ("<Q", 112, 0), ("<Q", 112, 2**63), ("<Q", 112, 52),
    ],
)  # fmt: skip
def test_a_false_size_is_refused_even_with_a_right_checksum(format_: str, at: int, value: int) -> None:
    message = bytearray(pack(Ping(1), tensors_of((3, 4), (2,))))
    struct.pack_into(format_, message, at, value)
    reseal(message)
    with pytest.raises(WireError):
        unpack(message)


def test_extents_that_multiply_to_zero_or_wrap_around_are_refused() -> None:
    for dims in [(0, 2**62, 2**62), (2**32, 2**32), (2**63 - 1, 2)]:
        message = bytearray(pack(Ping(1), [np.zeros((0,) * len(dims), np.uint8)]))
        struct.pack_into(f"<{len(dims)}q", message, 40, *dims)
        with pytest.raises(WireError):
            unpack(reseal(message))


def test_a_claim_of_gigabytes_takes_no_memory() -> None:
    message = bytearray(pack(Ping(1), tensors_of((4,))))
    struct.pack_into("<q", message, 40, 2**40)
    struct.pack_into("<Q", message, 112, 2**42)
    reseal(message)
    tracemalloc.start()
    with pytest.raises(WireError):
        unpack(message)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1_000_000


def test_booleans_other_than_0_and_1_are_refused() -> None:
    message = bytearray(pack(Ping(1), [np.array([True, False])]))
    message[-1] = 2
    with pytest.raises(WireError, match="boolean"):
        unpack(reseal(message))


def test_overlapping_tensors_are_refused() -> None:
    message = bytearray(pack(Ping(1), tensors_of((16,), (16,))))
    first_offset = struct.unpack_from("<Q", message, 104)[0]
    struct.pack_into("<Q", message, 104 + RECORD_BYTES, first_offset)
    with pytest.raises(WireError, match="where they belong"):
        unpack(reseal(message))


def test_unknown_kinds_and_wrong_types_are_refused() -> None:
    for body in [{"kind": "shutdown"}, {"kind": "ping", "seq": "x"}, {"seq": 1}, [1, 2], None]:
        encoded = msgspec.msgpack.encode(body)
        guarded = struct.pack("<QIHH", PREFIX_BYTES + len(encoded), len(encoded), 0, 0) + encoded
        with pytest.raises(WireError, match="header"):
            unpack(sealed(guarded))


def test_a_deeply_nested_header_is_refused() -> None:
    encoded = b"\x81\xa4kind" + b"\x91" * 200_000 + b"\x90"
    guarded = struct.pack("<QIHH", PREFIX_BYTES + len(encoded), len(encoded), 0, 0) + encoded
    with pytest.raises(WireError):
        unpack(sealed(guarded))


def test_what_cannot_be_sent_is_refused_by_the_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    for tensor in [np.array(["a"]), np.array([1j]), np.zeros((1,) * 17, np.uint8), np.array([None])]:
        with pytest.raises(WireError, match="cannot be sent"):
            pack(Ping(1), [tensor])
    endless = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (*(1,) * 8, 0, 1 << 32), (0,) * 10)
    with pytest.raises(WireError, match="an extent is too large"):
        pack(Ping(1), [endless])
    monkeypatch.setattr(wire, "MAX_MESSAGE_BYTES", 1000)
    with pytest.raises(WireError, match="1000"):
        pack(Ping(1), tensors_of((300,)))
    with pytest.raises(WireError, match="exceeds"):
        pack(Profiled(1, profile=bytes(wire.MAX_HEADER_BYTES)))


def status(queue_s: float = 0.0, link: LinkReport | None = None, energy: EnergyReport | None = None) -> Status:
    return Status(
        tier="fog", incarnation="a", version="1", engine="e", threads=1, n_cores=1, memory_bytes=1, free_memory_bytes=1,
        queue_s=queue_s, models=(), links=() if link is None else (link,), energy=energy,
    )  # fmt: skip


def of_a_stage(compute_s: float) -> ResultData:
    return ResultData("s", 1, 0, 2, (), (StageReport("fog", 0.0, 0.0, compute_s, 0.0, 10),))


GOOD_LINK = LinkReport("edge", 0.01, 1e6, 0.1, 3, 0.0)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_or_endless_is_refused_wherever_a_peer_says_one(number: float) -> None:
    said: list[Message] = [
        status(number),
        status(link=LinkReport("edge", 0.01, number, 0.1, 3, 0.0)),
        status(link=LinkReport("edge", number, 1e6, 0.1, 3, 0.0)),
        status(link=replace(GOOD_LINK, average_bps=number)),
        status(link=replace(GOOD_LINK, average_std_ratio=number)),
        status(link=replace(GOOD_LINK, oscillating_for_s=number)),
        status(energy=EnergyReport("modelled", "node", number)),
        of_a_stage(number),
        Prepared(1, "s", 2, number),
        ProfileModel(1, "m", "edge", number),
        SegmentTimed(1, number),
    ]
    for header in said:
        with pytest.raises(WireError, match="Expected `float`"):
            unpack(pack(header))
    assert unpack(pack(of_a_stage(0.5)))[0] == of_a_stage(0.5)


GOOD = bytes(
    pack(ResultData("s", 1, 0, 2, ("logits",), HEADER.reports), [np.arange(20, dtype=np.float32), np.array([True])])
)


def damaged(random: Random) -> bytearray:
    """`GOOD` after one to four accidents, half of them past the checksum."""
    message = bytearray(GOOD)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(max(1, len(message)))
        match random.choice(["set", "cut", "repeat", "insert", "drop"]):
            case "set" if message:
                message[at] = random.choice((0, 1, 127, 255, random.randrange(256)))
            case "cut":
                del message[at:]
            case "repeat":
                message += message[at : at + random.randint(1, 200)]
            case "insert":
                message[at:at] = random.randbytes(random.randint(0, 16))
            case "drop":
                del message[at : at + random.randint(1, 16)]
    if len(message) > PREFIX_BYTES and random.random() < 0.5:
        reseal(message)
    return message


def test_mutated_truncated_and_repeated_bytes_are_refused_or_a_message() -> None:
    random = Random(1)
    for _ in range(N_DAMAGED):
        message = damaged(random)
        try:
            _, tensors = unpack(message)
        except WireError:
            continue
        assert sum(tensor.nbytes for tensor in tensors) <= len(message)
        assert all(np.shares_memory(t, np.frombuffer(message, np.uint8)) for t in tensors if t.size)


def test_any_flipped_bit_of_header_padding_or_tensor_is_found() -> None:
    for at in range(8 * len(GOOD)):
        message = bytearray(GOOD)
        message[at // 8] ^= 1 << at % 8
        with pytest.raises(WireError):
            unpack(message)


@given(st.binary(max_size=300))
def test_random_bytes_are_never_a_message(noise: bytes) -> None:
    for message in (noise, GOOD[:16] + noise, GOOD[:PREFIX_BYTES] + noise):
        with pytest.raises(WireError):
            unpack(message)


def test_a_report_of_a_link_has_the_fields_that_the_core_tells_and_an_older_node_may_leave_the_newest_out() -> None:
    told = [one.name for one in fields(report.LinkReport)]
    assert list(LinkReport.__struct_fields__) == told
    oldest = {name: getattr(GOOD_LINK, name) for name in told[:6]}
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(oldest), type=LinkReport) == GOOD_LINK
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode({**oldest, "oscillating_for_s": -1.0}), type=LinkReport)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4)])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "bool", "int64"])
def test_a_message_in_parts_is_the_same_and_copies_no_tensor(shape: tuple[int, ...], dtype: str) -> None:
    tensor = np.ones(shape, dtype)
    parts = wire.pack_parts(Ping(1), [tensor])
    assert b"".join(parts) == pack(Ping(1), [tensor])
    assert tensor.size == 0 or np.shares_memory(np.frombuffer(parts[-1], np.uint8), tensor)
