"""Claims about `fabric.bulk.shared_memory`: a sender's slots and a reader of the same process, and a lane over both."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

from seamline.core.vocabulary.errors import WireError
from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric.bulk.same_host import Place
from seamline.fabric.bulk.shared_memory import (
    GIVEN_UP_S,
    LEAST_SHARED_BYTES,
    MOST_SHARED_BYTES,
    N_SLOTS,
    Here,
    Offer,
    SharedReader,
    SharedSlots,
)

pytestmark = pytest.mark.needs("linux")

EDGE = NodeId("edge")
HERE, THERE = ("tcp/127.0.0.1:7447", "tcp/127.0.0.1:40000"), ("tcp/127.0.0.1:40000", "tcp/127.0.0.1:7447")
BESIDE = Place(network=1, links=(THERE,))
LONG = bytes(range(256)) * (LEAST_SHARED_BYTES // 128)


class Pair:
    """Sender and reader on one machine, and a clock."""

    def __init__(self, reader: Place | None = BESIDE) -> None:
        self.now_s = 0.0
        self.slots = SharedSlots(lambda: Place(network=1, links=(HERE,)), clock=lambda: self.now_s)
        self.reader = SharedReader(lambda: reader)

    def offer(self, n_bytes: int = len(LONG)) -> bool:
        """Whether there was something to offer."""
        if (note := self.slots.offer(n_bytes)) is None:
            return False
        assert self.reader.take(EDGE, memoryview(note)) is None
        return True

    def pass_on(self, message: bytes = LONG) -> memoryview | None:
        """`message` at the reader; None when no slot takes it."""
        note = self.slots.put((message[:7], message[7:]), len(message))
        return None if note is None else self.reader.take(EDGE, memoryview(note))


def test_a_message_is_read_where_it_was_written_and_cannot_be_changed_there() -> None:
    pair = Pair()
    assert pair.pass_on() is None, "nothing was offered yet"
    assert pair.offer()
    message = pair.pass_on()
    assert message == LONG
    assert message.readonly


def test_a_slot_is_written_again_as_soon_as_nobody_reads_it() -> None:
    pair = Pair()
    pair.offer()
    tensor = np.frombuffer(pair.pass_on() or b"", np.uint8)[3:]  # a view of a view, as messages are unpacked
    assert not pair.slots.has_room(len(LONG))
    assert pair.pass_on() is None
    assert tensor.tobytes() == LONG[3:]
    del tensor
    assert pair.slots.has_room(len(LONG))
    assert pair.pass_on(LONG[::-1]) == LONG[::-1]


def test_while_messages_are_held_more_slots_are_offered_up_to_a_bound() -> None:
    pair = Pair()
    held = []
    while pair.offer():
        held.append(pair.pass_on())
    assert held == [LONG] * N_SLOTS


def test_what_is_small_or_very_large_is_not_shared() -> None:
    pair = Pair()
    assert not pair.offer(LEAST_SHARED_BYTES - 1)
    assert not pair.offer(MOST_SHARED_BYTES + 1)
    pair.offer()
    assert pair.pass_on(LONG[: LEAST_SHARED_BYTES - 1]) is None
    assert pair.pass_on(LONG * 2) is None, "larger than the slot"


def test_a_larger_slot_takes_the_place_of_a_smaller_one() -> None:
    pair = Pair()
    held = []
    for _ in range(N_SLOTS):
        pair.offer()
        held.append(pair.pass_on())
    held.clear()
    assert pair.offer(2 * len(LONG))
    assert pair.pass_on(LONG * 2) == LONG * 2


def test_a_slot_that_is_held_for_long_is_left_to_its_holder() -> None:
    pair = Pair()
    held = []
    while pair.offer():
        held.append(pair.pass_on())
    pair.now_s = GIVEN_UP_S + 1.0
    assert pair.offer()
    assert pair.pass_on(LONG[::-1]) == LONG[::-1]
    assert held == [LONG] * N_SLOTS


@pytest.mark.parametrize(
    "reader",
    [
        pytest.param(Place(network=2, links=(THERE,)), id="in another network namespace"),
        pytest.param(Place(network=1, links=(("tcp/127.0.0.1:40000", "tcp/127.0.0.1:9"),)), id="behind a relay"),
        pytest.param(None, id="of a node that shares nothing"),
    ],
)
def test_an_offer_is_left_alone(reader: Place | None) -> None:
    pair = Pair(reader)
    assert pair.offer()
    assert pair.pass_on() is None
    assert not pair.offer(), "it may still be accepted"
    pair.now_s = GIVEN_UP_S + 1.0
    assert not pair.offer()
    assert not pair.offer(), "it was refused"
    pair.slots.close()
    assert pair.offer(), "another one may be there"


def test_only_the_memory_that_was_offered_is_opened(tmp_path: Path) -> None:
    pair = Pair()
    offer = msgspec.msgpack.decode(pair.slots.offer(len(LONG)) or b"", type=Offer)
    loose = os.memfd_create("seamline", os.MFD_ALLOW_SEALING)  # could shrink under its reader
    os.ftruncate(loose, 1 << 20)
    with (tmp_path / "file").open("w+b") as file:
        file.truncate(1 << 20)
        wrong = [
            msgspec.structs.replace(offer, number=bytes(16)),
            msgspec.structs.replace(offer, descriptor=loose),
            msgspec.structs.replace(offer, descriptor=file.fileno()),
            msgspec.structs.replace(offer, descriptor=1 << 20),
        ]
        for each in wrong:
            assert pair.reader.take(EDGE, memoryview(msgspec.msgpack.encode(each))) is None
            with pytest.raises(WireError, match="not open here"):
                pair.reader.take(EDGE, memoryview(msgspec.msgpack.encode(Here(number=each.number, n_bytes=1))))
    os.close(loose)


def test_names_that_offer_nothing_to_open_leave_nothing() -> None:
    pair = Pair()
    offer = msgspec.msgpack.decode(pair.slots.offer(len(LONG)) or b"", type=Offer)
    wrong = memoryview(msgspec.msgpack.encode(msgspec.structs.replace(offer, number=bytes(16))))
    nowhere = memoryview(msgspec.msgpack.encode(Here(number=bytes(16), n_bytes=1)))
    for name in ("a", "b"):
        assert pair.reader.take(NodeId(name), wrong) is None
        with pytest.raises(WireError):
            pair.reader.take(NodeId(name), nowhere)
    assert pair.reader._slots == {}


def test_a_message_that_is_not_there_is_refused() -> None:
    pair = Pair()
    pair.offer()
    note = msgspec.msgpack.decode(pair.slots.put((LONG,), len(LONG)) or b"", type=Here)
    too_long = msgspec.structs.replace(note, n_bytes=MOST_SHARED_BYTES)
    with pytest.raises(WireError, match="not where it was said"):
        pair.reader.take(EDGE, memoryview(msgspec.msgpack.encode(too_long)))
    assert pair.reader.take(EDGE, memoryview(msgspec.msgpack.encode(note))) == LONG
    with pytest.raises(WireError, match="not where it was said"):
        pair.reader.take(EDGE, memoryview(msgspec.msgpack.encode(note)))
    for noise in (b"", b"\xff", LONG):
        with pytest.raises(WireError, match="malformed"):
            pair.reader.take(EDGE, memoryview(noise))


def test_a_reader_that_has_lost_its_sender_for_a_moment_still_finds_its_messages() -> None:
    pair = Pair()
    pair.offer()
    pair.reader.forget(EDGE)
    assert pair.pass_on() == LONG


def test_what_is_held_outlives_both_ends_and_nothing_else_does() -> None:
    pair = Pair()
    before = _n_descriptors_and_mappings()
    pair.offer()
    message = pair.pass_on()
    pair.slots.close()
    pair.reader.forget(EDGE)
    assert message == LONG
    del message
    assert _n_descriptors_and_mappings() == before


def _n_descriptors_and_mappings() -> tuple[int, int]:
    gc.collect()  # earlier tests' tracebacks
    return len(os.listdir("/proc/self/fd")), Path("/proc/self/maps").read_text().count("memfd:seamline")
