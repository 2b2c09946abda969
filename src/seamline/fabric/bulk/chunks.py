"""Chunking of messages on the data lane: cut, and joined again.

A fabric must not be handed a tensor in one piece on a slow link: Zenoh then holds megabytes in front of urgent messages
and gives up on a link that is congested for long (ecosystem A1). How long a piece may be says `path.py`. A chunk is a
fixed header and a slice of the message. The chunks of one message follow each other in order, because a sender
serialises its messages per target; so per source there is at most one message in flight. Nothing is repaired here: a
message with a missing chunk is dropped, and the sender learns from the receipt that does not come. A chunk's header has
a checksum of its own, since a damaged number would misplace what follows; a damaged slice is found by the checksum of
the message (`wire.py`). A note of shared memory (`shared_memory.py`) goes as a message of one chunk, in its turn.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seamline.core.vocabulary.errors import WireError, WireVersion
from seamline.core.vocabulary.limits import MAX_MESSAGE_BYTES
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Parts
from seamline.fabric.bulk.window import Position
from seamline.fabric.integrity import checksum32
from seamline.fabric.messages import WIRE_VERSION

_START = struct.Struct("<3sBI")
_PLACE = struct.Struct("<QQQQ")
_HEADER_BYTES = _START.size + _PLACE.size
_CHUNK, _NOTE = b"SLC", b"SLN"
_FIRST_ROOM_BYTES = 4 << 20

EXPIRE_S = 20.0
"""Silence after which a partial message is dropped; a chunk takes 5 s at 0.1 Mbit/s."""

REPEAT_S = 2.0
"""A lane on which only numbers from before came for so long begins anew with what comes."""

MAX_RUNS_PER_SOURCE = 4
MAX_RUNS = 512
"""Senders of which the state is kept; names and incarnations are whatever a peer writes."""


def whole(message: Parts, incarnation: int, number: int, *, is_note: bool = False) -> bytes:
    """`message` as its only chunk, copied once. is_note: it says where a message lies."""
    place = _PLACE.pack(incarnation, number, 0, sum(map(len, message)))
    return b"".join((_START.pack(_NOTE if is_note else _CHUNK, WIRE_VERSION, checksum32(place)), place, *message))


def cut(
    message: bytes | bytearray | memoryview, incarnation: int, number: int, chunk_bytes: Callable[[], int]
) -> Iterator[bytes]:
    """The chunks of `message`, each ready to send. number: counts up per sender and target, from 0.

    incarnation: a random u64 that tells this run of the sender from an earlier one with the same name. chunk_bytes:
    asked before each chunk how long it may be.
    """
    view = memoryview(message).cast("B")
    offset, total = 0, len(view)
    while True:
        piece = view[offset : offset + chunk_bytes()]
        place = _PLACE.pack(incarnation, number, offset, total)
        yield b"".join((_START.pack(_CHUNK, WIRE_VERSION, checksum32(place)), place, piece))
        offset += len(piece)
        if offset >= total:
            return


def is_note(chunk: bytes) -> bool:
    """Whether the message that `chunk` completes is a note of shared memory."""
    return chunk.startswith(_NOTE)


def position_of(chunk: bytes | bytearray | memoryview) -> tuple[int, Position]:
    """(sender's incarnation, position) of `chunk`. Raises `WireError` when it is malformed."""
    incarnation, number, offset, _ = _read_header(memoryview(chunk).cast("B"))
    return incarnation, (number, offset + len(chunk) - _HEADER_BYTES)


class Assembler:
    """Joins chunks to messages, per source and incarnation. Not thread-safe: one thread feeds it.

    Memory is taken as bytes come in, not as they are announced, and nobody can hold it against the others: a partial
    message that gets no chunk for `expire_s` is dropped, and so is the largest one of a source when its own together
    would exceed `max_message_bytes`, the largest of all beyond `max_total_bytes`, and the one idle for longest when a
    source or all have too many. Whoever sends in another's name has another incarnation, and so hurts no message but
    its own; should it know the right one, a false number closes the lane for `REPEAT_S` at most.

    max_message_bytes: largest message of any source. max_total_bytes: received bytes of all unfinished messages.
    given_up: hears of messages dropped for their sender's silence or for memory, with the reason in words.
    n_dropped: messages given up (a gap, a newer message, too much memory, too long silent). n_refused: chunks that
    repeat or precede what has already been delivered.
    """

    def __init__(
        self,
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        max_total_bytes: int = 2 * MAX_MESSAGE_BYTES,
        expire_s: float = EXPIRE_S,
        clock: Callable[[], float] = time.monotonic,
        given_up: Callable[[NodeId, str], None] = lambda source, words: None,
    ) -> None:
        self.max_message_bytes = max_message_bytes
        self.max_total_bytes = max_total_bytes
        self.n_dropped = 0
        self.n_refused = 0
        self._expire_s = expire_s
        self._clock = clock
        self._given_up = given_up
        self._swept_s = clock()
        self._runs: dict[tuple[NodeId, int], _Run] = {}  # of the longest idle first

    @property
    def held_bytes(self) -> int:
        """Received bytes of all unfinished messages."""
        return sum(run.n_received for run in self._runs.values())

    def add(self, source: NodeId, chunk: bytes | bytearray | memoryview) -> memoryview | None:
        """The message that `chunk` completes, read-only, or None.

        Raises `WireError` when `chunk` is malformed or announces more than `max_message_bytes`.
        """
        view = memoryview(chunk).cast("B")
        incarnation, number, offset, total = _read_header(view)
        payload = view[_HEADER_BYTES:]
        if offset + len(payload) > total or (not payload and total):
            raise WireError(f"a chunk of `{source}` does not fit its message of {total} bytes")
        if total > self.max_message_bytes:
            raise WireError(
                f"`{source}` announces a message of {total} bytes, at most {self.max_message_bytes} are taken"
            )
        now_s = self._clock()
        self._expire(now_s)
        run = self._run(source, incarnation, now_s)
        if number < run.next_number and not offset and now_s - run.taken_s >= REPEAT_S:
            self._drop_partial(run)
            run.next_number = number
        if number < run.next_number or (number == run.next_number and offset < run.n_received):
            self.n_refused += 1
            return None
        run.taken_s = now_s
        return self._join(run, number, offset, total, payload)

    def forget(self, source: NodeId) -> None:
        """`source` is gone: drop what it left unfinished. Its incarnation stays known, in case it was only silent."""
        for (owner, _), run in self._runs.items():
            if owner == source:
                self._drop_partial(run)

    def _run(self, source: NodeId, incarnation: int, now_s: float) -> _Run:
        """State of one run of `source`, now the latest to have sent."""
        run = self._runs.pop((source, incarnation), None)
        if run is None:
            run = _Run(source, taken_s=now_s)
            self._make_room([key for key in self._runs if key[0] == source], MAX_RUNS_PER_SOURCE)
            self._make_room(list(self._runs), MAX_RUNS)
        self._runs[source, incarnation] = run
        run.heard_s = now_s
        return run

    def _make_room(self, keys: list[tuple[NodeId, int]], n_max: int) -> None:
        """Let the longest idle of `keys` go, so that one more is not too many."""
        for key in keys[: max(0, len(keys) + 1 - n_max)]:
            self._drop_partial(self._runs.pop(key))

    def _expire(self, now_s: float) -> None:
        if now_s - self._swept_s < self._expire_s / 8.0:
            return
        self._swept_s = now_s
        for run in self._runs.values():
            if run.partial is not None and now_s - run.heard_s >= self._expire_s:
                self._given_up(run.source, f"{run.n_received} of {run.total} bytes came, then nothing")
                self._drop_partial(run)

    def _join(self, run: _Run, number: int, offset: int, total: int, payload: memoryview) -> memoryview | None:
        if number > run.next_number:
            self._drop_partial(run)
            run.next_number = number
        if offset != run.n_received or (run.partial is not None and run.total != total):
            self._give_up(run)
            return None
        if len(payload) == total:
            run.next_number += 1
            return payload.toreadonly()
        if not self._has_memory(run, len(payload)):
            self._given_up(run.source, f"there is no memory for it after {run.n_received} of {total} bytes")
            self._give_up(run)
            return None
        run.total = total
        run.append(payload)
        if run.n_received < total or run.partial is None:
            return None
        message = run.partial.data.toreadonly()
        run.partial, run.n_received, run.next_number = None, 0, run.next_number + 1
        return message

    def _has_memory(self, run: _Run, n_bytes: int) -> bool:
        """Whether `run` may take `n_bytes` more, after larger messages were dropped for it: its source's, then any."""
        own = [one for one in self._runs.values() if one.source == run.source]
        limits = ((own, self.max_message_bytes), (list(self._runs.values()), self.max_total_bytes))
        return all(self._make_memory(runs, most_bytes, run, n_bytes) for runs, most_bytes in limits)

    def _make_memory(self, runs: Sequence[_Run], most_bytes: int, run: _Run, n_bytes: int) -> bool:
        while sum(one.n_received for one in runs) + n_bytes > most_bytes:
            largest = max(runs, key=lambda one: one.n_received)  # of equals the longest idle
            if largest.n_received < run.n_received + n_bytes or largest is run:
                return False
            words = f"another one took its memory after {largest.n_received} of {largest.total} bytes"
            self._given_up(largest.source, words)
            self._give_up(largest)
        return True

    def _give_up(self, run: _Run) -> None:
        """Drop the current message; its remaining chunks are refused."""
        if run.partial is None:
            self.n_dropped += 1
        self._drop_partial(run)
        run.next_number += 1

    def _drop_partial(self, run: _Run) -> None:
        if run.partial is not None:
            self.n_dropped += 1
        run.partial, run.n_received = None, 0


def _read_header(view: memoryview) -> tuple[int, int, int, int]:
    if len(view) < _HEADER_BYTES:
        raise WireError(f"{len(view)} bytes are too few for a chunk")
    magic, version, expected = _START.unpack_from(view, 0)
    if magic not in (_CHUNK, _NOTE):
        raise WireError("the bytes of a peer are not a chunk of a Seamline message")
    if version != WIRE_VERSION:
        raise WireVersion(
            f"the peer speaks wire version {version}, this node {WIRE_VERSION}",
            hint="run the same release on all nodes",
        )
    if checksum32(view[_START.size : _HEADER_BYTES]) != expected:
        raise WireError("the header of a chunk is damaged: its checksum does not match")
    incarnation, number, offset, total = _PLACE.unpack_from(view, _START.size)
    return incarnation, number, offset, total


@dataclass(slots=True)
class _Run:
    """State of one run of a sender: the message expected or in flight. total: its announced size, once some is here.

    heard_s: when a chunk came last. taken_s: when one did that was not refused.
    """

    source: NodeId
    next_number: int = 0
    n_received: int = 0
    total: int = 0
    heard_s: float = 0.0
    taken_s: float = 0.0
    partial: np.ndarray[tuple[int], np.dtype[np.uint8]] | None = None

    def append(self, payload: memoryview) -> None:
        """Add `payload`; room grows with what has come, so that an announcement alone takes none."""
        n_bytes = self.n_received + len(payload)
        if self.partial is None or n_bytes > len(self.partial):
            room = min(self.total, max(_FIRST_ROOM_BYTES, 4 * n_bytes))
            grown = np.empty(room, np.uint8)  # not bytearray: that would touch every page now
            if self.partial is not None:
                grown[: self.n_received] = self.partial[: self.n_received]
            self.partial = grown
        self.partial[self.n_received : n_bytes] = payload
        self.n_received = n_bytes
