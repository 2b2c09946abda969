"""Claims about `fabric.bulk.chunks`: whole messages, once, in order, in bounded memory, whatever chunks arrive."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.core.vocabulary.errors import WireError, WireVersion
from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric.bulk import chunks
from seamline.fabric.bulk.chunks import Assembler
from seamline.fabric.integrity import checksum32
from seamline.fabric.messages import WIRE_VERSION

EDGE, FOG = NodeId("edge"), NodeId("fog")
HEADER_BYTES = 40
CHUNK_BYTES = 1000


def cut(whole: bytes, incarnation: int, number: int, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    return chunks.cut(whole, incarnation, number, lambda: chunk_bytes)


def message(n_bytes: int, seed: int = 0) -> bytes:
    return bytes((seed + at * 7) % 251 for at in range(n_bytes))


BIG = message(3 * CHUNK_BYTES + 100)


def feed(assembler: Assembler, pieces: list[bytes], source: NodeId = EDGE) -> list[bytes]:
    return [bytes(whole) for piece in pieces if (whole := assembler.add(source, piece)) is not None]


@pytest.mark.parametrize("n_bytes", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_a_message_comes_back_whole_from_its_chunks(n_bytes: int) -> None:
    pieces = list(cut(message(n_bytes), 1, 0))
    assert len(pieces) == max(1, -(-n_bytes // CHUNK_BYTES))
    assert feed(Assembler(), pieces) == [message(n_bytes)]


def test_messages_of_several_sources_may_interleave() -> None:
    assembler = Assembler()
    whole = []
    for ours, theirs in zip(cut(BIG, 1, 0), cut(BIG[::-1], 1, 0), strict=True):
        whole += feed(assembler, [ours], EDGE) + feed(assembler, [theirs], FOG)
    assert whole == [BIG, BIG[::-1]]
    assert assembler.held_bytes == 0


def test_a_repeated_chunk_is_refused_and_harms_nothing() -> None:
    assembler = Assembler()
    pieces = [piece for piece in cut(BIG, 1, 0) for _ in range(2)]
    assert feed(assembler, pieces) == [BIG]
    assert assembler.n_refused == len(pieces) // 2


def test_a_message_with_a_missing_chunk_is_dropped_and_the_next_one_arrives() -> None:
    assembler = Assembler()
    first, second = list(cut(BIG, 1, 0)), list(cut(BIG[::-1], 1, 1))
    assert feed(assembler, first[:1] + first[2:] + second) == [BIG[::-1]]
    assert assembler.n_dropped == 1


def test_a_message_cut_short_is_dropped_when_the_next_one_begins() -> None:
    assembler = Assembler()
    assert feed(assembler, [*list(cut(BIG, 1, 0))[:2], *cut(b"next", 1, 1)]) == [b"next"]
    assert (assembler.n_dropped, assembler.held_bytes) == (1, 0)


def test_two_incarnations_of_a_name_do_not_hurt_each_others_messages() -> None:
    assembler = Assembler()
    old, new = list(cut(BIG, 1, 5)), list(cut(BIG[::-1], 2, 0))
    assert feed(assembler, [*old[:2], *new[:2], *old[2:], *new[2:]]) == [BIG, BIG[::-1]]
    assert (assembler.n_dropped, assembler.n_refused) == (0, 0)


def test_a_receiver_that_starts_late_takes_the_messages_from_there_on() -> None:
    assert feed(Assembler(), [*list(cut(BIG, 1, 41))[2:], *cut(BIG, 1, 42)]) == [BIG]


def test_forgetting_a_lost_peer_frees_its_memory() -> None:
    assembler = Assembler()
    feed(assembler, list(cut(BIG, 1, 0))[:2])
    assert assembler.held_bytes == 2 * CHUNK_BYTES
    assembler.forget(EDGE)
    assert assembler.held_bytes == 0
    assert feed(assembler, list(cut(BIG, 1, 1))) == [BIG]


def test_a_message_beyond_the_limit_is_refused_before_memory_is_taken() -> None:
    assembler = Assembler(max_message_bytes=len(BIG) - 1)
    with pytest.raises(WireError, match="announces"):
        assembler.add(EDGE, next(cut(BIG, 1, 0)))
    assert assembler.held_bytes == 0


def test_unfinished_messages_of_all_peers_together_stay_within_the_limit() -> None:
    assembler = Assembler(max_total_bytes=4 * CHUNK_BYTES)
    feed(assembler, list(cut(BIG, 1, 0))[:3], EDGE)
    feed(assembler, list(cut(BIG[::-1], 1, 0))[:1], FOG)
    assert assembler.held_bytes == 4 * CHUNK_BYTES
    assert feed(assembler, list(cut(BIG[::-1], 1, 0))[1:], FOG) == [BIG[::-1]], "the largest one makes room"
    assert feed(assembler, list(cut(BIG, 1, 0))[3:], EDGE) == []
    assert feed(assembler, list(cut(BIG, 1, 1)), EDGE) == [BIG]


def announce(n_bytes: int, incarnation: int = 9, number: int = 0, payload: bytes = bytes(CHUNK_BYTES)) -> bytes:
    """The first chunk of a message that says it will have `n_bytes`."""
    return chunk(incarnation, number, 0, n_bytes, payload)


def chunk(incarnation: int, number: int, offset: int, total: int, payload: bytes) -> bytes:
    place = struct.pack("<QQQQ", incarnation, number, offset, total)
    return struct.pack("<3sBI", b"SLC", WIRE_VERSION, checksum32(place)) + place + payload


@pytest.mark.parametrize("n_strangers", [4, 5, 300, 3000])
def test_announcements_that_nothing_follows_lock_nobody_out_and_take_no_memory(n_strangers: int) -> None:
    assembler = Assembler()
    ours = list(cut(BIG, 1, 0))
    feed(assembler, ours[:1])
    for number in range(n_strangers):
        assembler.add(NodeId(f"src{number}"), announce(512 << 20, payload=b"some"))
        if number % 100 == 0:
            feed(assembler, ours[:1])  # it goes on sending, which a repeated chunk shows as well
    assert feed(assembler, ours[1:]) == [BIG]
    assert assembler.held_bytes <= 4 * n_strangers
    assert len(assembler._runs) <= chunks.MAX_RUNS
    taken = sum(run.partial.nbytes for run in assembler._runs.values() if run.partial is not None)
    assert taken <= chunks.MAX_RUNS * chunks._FIRST_ROOM_BYTES


def test_whoever_sends_in_anothers_name_hurts_only_its_own_messages() -> None:
    assembler = Assembler()
    whole = []
    for number in range(10):
        for at, piece in enumerate(cut(BIG, 1, number)):
            for false in (announce(512 << 20, 100 * number + at), announce(2 * CHUNK_BYTES, 7, 2**63)):
                whole += feed(assembler, [bytearray(false)])
            with pytest.raises(WireError):
                assembler.add(EDGE, announce(3, payload=b"more"))
            whole += feed(assembler, [piece])
    assert whole == [BIG] * 10
    assert len(assembler._runs) <= chunks.MAX_RUNS_PER_SOURCE


def test_a_partial_message_that_gets_no_chunk_expires_and_one_that_trickles_in_does_not() -> None:
    now_s = 0.0
    assembler = Assembler(expire_s=20.0, clock=lambda: now_s)
    slow = list(cut(BIG, 1, 0))
    assembler.add(FOG, announce(1 << 20))
    whole = []
    for piece in slow:
        whole += feed(assembler, [piece])
        now_s += 15.0
    assert whole == [BIG]
    assert (assembler.n_dropped, assembler.held_bytes) == (1, 0)


def test_who_really_sent_gigabytes_makes_room_for_a_small_message() -> None:
    assembler = Assembler(max_total_bytes=16 * CHUNK_BYTES)
    for source in range(4):
        feed(assembler, list(cut(bytes(20 * CHUNK_BYTES), 1, 0))[:4], NodeId(f"src{source}"))
    assert assembler.held_bytes == 16 * CHUNK_BYTES
    assert feed(assembler, list(cut(BIG, 1, 0))) == [BIG]


def test_one_source_takes_no_more_memory_than_one_message_may_have() -> None:
    said: list[str] = []
    assembler = Assembler(max_message_bytes=len(BIG), given_up=lambda source, words: said.append(f"{source}: {words}"))
    for incarnation in range(4):
        feed(assembler, list(cut(BIG, incarnation, 0))[:3])
        assert assembler.held_bytes <= len(BIG)
    assert feed(assembler, list(cut(BIG[::-1], 1, 0)), FOG) == [BIG[::-1]]
    assert said[0] == f"edge: another one took its memory after {3 * CHUNK_BYTES} of {len(BIG)} bytes"


def test_what_expires_is_said_once() -> None:
    now_s = 0.0
    said: list[str] = []
    assembler = Assembler(
        expire_s=20.0, clock=lambda: now_s, given_up=lambda source, words: said.append(f"{source}: {words}")
    )
    assembler.add(FOG, announce(1 << 20))
    for now_s in (10.0, 21.0, 30.0, 60.0):
        feed(assembler, list(cut(b"x", 1, int(now_s))))
    assert said == [f"fog: {CHUNK_BYTES} of {1 << 20} bytes came, then nothing"]


def test_a_false_number_of_the_right_run_closes_the_lane_for_a_moment_only() -> None:
    now_s = 0.0
    assembler = Assembler(clock=lambda: now_s)
    assert feed(assembler, list(cut(BIG, 1, 3))) == [BIG]
    assert feed(assembler, list(cut(b"false", 1, 2**63))) == [b"false"]
    assert feed(assembler, list(cut(BIG, 1, 4))) == []
    now_s = chunks.REPEAT_S
    for number in (5, 6):
        assert feed(assembler, list(cut(BIG, 1, number))) == [BIG]
    assert feed(assembler, list(cut(BIG, 1, 5))) == []


def test_another_version_is_refused_naming_both() -> None:
    piece = bytearray(next(cut(b"x", 1, 0)))
    piece[3] = 9
    with pytest.raises(WireVersion, match="version 9, this node 3"):
        Assembler().add(EDGE, piece)


def test_a_flipped_bit_in_the_header_of_a_chunk_is_found_and_misplaces_nothing() -> None:
    assembler, pieces = Assembler(), list(cut(BIG, 1, 0))
    for at in range(8 * HEADER_BYTES):
        damaged = bytearray(pieces[0])
        damaged[at // 8] ^= 1 << at % 8
        with pytest.raises(WireError):
            assembler.add(EDGE, damaged)
    assert feed(assembler, pieces) == [BIG]


@pytest.mark.parametrize(
    "bad",
    [
        b"", b"SLC\x01", b"x" * 60,
        chunk(1, 0, 5, 4, b"x"),
        chunk(1, 0, 2**64 - 1, 2**64 - 1, b"x"),
        chunk(1, 0, 0, 4, b"xxxxx"),
        chunk(1, 0, 0, 4, b""),
    ],
)  # fmt: skip
def test_malformed_chunks_are_wire_errors(bad: bytes) -> None:
    with pytest.raises(WireError):
        Assembler().add(EDGE, bad)


@given(st.data())
def test_any_order_repetition_or_damage_of_chunks_yields_only_sent_messages_each_once(data: st.DataObject) -> None:
    sent = [message(n_bytes, seed) for seed, n_bytes in enumerate((40, 5, 64, 33))]
    pieces = [piece for number, whole in enumerate(sent) for piece in cut(whole, 1, number, 16)]
    order = data.draw(st.lists(st.sampled_from(range(len(pieces))), max_size=40))
    assembler = Assembler(max_total_bytes=128)
    arrived = []
    for index in order:
        arrived += feed(assembler, [pieces[index]])
        assert assembler.held_bytes <= 128
    assert arrived == [whole for whole in sent if whole in arrived]
