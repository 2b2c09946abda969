"""Chunking of messages on the data lane: cut, and joined again.

A fabric must not be handed a tensor in one piece: Zenoh then holds megabytes in front of urgent messages and gives up
on a link that is congested for long (ecosystem A1). A chunk is a fixed header and a slice of the message. The chunks
of one message follow each other in order, because a sender serialises its messages per target; so per source there is
at most one message in flight, and that bounds memory. Nothing is repaired here: a message with a missing chunk is
dropped, and the sender learns from the receipt that does not come.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from seamline.core.vocabulary.errors import WireError, WireVersion
from seamline.core.vocabulary.limits import MAX_MESSAGE_BYTES
from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric.messages import WIRE_VERSION
from seamline.fabric.window import Position

CHUNK_BYTES = 63 * 1024
"""Two of Zenoh's batches with their headers. Measured with six in a window, 600 kB at 100 Mbit/s and 20 ms round trip:
71.9 ms (ideal 68.0); with chunks of 128 KiB 84.3, because credits come too rarely. Loopback is 2 ms either way."""

_HEADER = struct.Struct("<3sB4xQQQQ")
_MAGIC = b"SLC"
_N_RETIRED = 8


def cut(message: bytes | bytearray | memoryview, incarnation: int, number: int) -> Iterator[bytearray]:
    """The chunks of `message`, each ready to send. number: counts up per sender and target, from 0.

    incarnation: a random u64 that tells this run of the sender from an earlier one with the same name.
    """
    view = memoryview(message).cast("B")
    for offset in range(0, max(1, len(view)), CHUNK_BYTES):
        piece = view[offset : offset + CHUNK_BYTES]
        chunk = bytearray(_HEADER.size + len(piece))
        _HEADER.pack_into(chunk, 0, _MAGIC, WIRE_VERSION, incarnation, number, offset, len(view))
        chunk[_HEADER.size :] = piece
        yield chunk


def position_of(chunk: bytes | bytearray | memoryview) -> tuple[int, Position]:
    """(sender's incarnation, position) of `chunk`. Raises `WireError` when it is malformed."""
    incarnation, number, offset, _ = _read_header(memoryview(chunk).cast("B"))
    return incarnation, (number, offset + len(chunk) - _HEADER.size)


class Assembler:
    """Joins chunks to messages, per source. Not thread-safe: one thread feeds it.

    max_message_bytes: largest message of any source. max_total_bytes: all unfinished messages together.
    n_dropped: messages given up (a gap, a newer message or incarnation, too much memory). n_refused: chunks that
    repeat or precede what has already been delivered, or come from an incarnation that was replaced.
    """

    def __init__(
        self, *, max_message_bytes: int = MAX_MESSAGE_BYTES, max_total_bytes: int = 2 * MAX_MESSAGE_BYTES
    ) -> None:
        self.max_message_bytes = max_message_bytes
        self.max_total_bytes = max_total_bytes
        self.n_dropped = 0
        self.n_refused = 0
        self._sources: dict[NodeId, _Source] = {}

    @property
    def held_bytes(self) -> int:
        """Announced sizes of all unfinished messages; memory is taken as their bytes come in."""
        return sum(source.partial.size for source in self._sources.values() if source.partial is not None)

    def add(self, source: NodeId, chunk: bytes | bytearray | memoryview) -> memoryview | None:
        """The message that `chunk` completes, read-only, or None.

        Raises `WireError` when `chunk` is malformed or announces more than `max_message_bytes`.
        """
        view = memoryview(chunk).cast("B")
        incarnation, number, offset, total = _read_header(view)
        payload = view[_HEADER.size :]
        if offset + len(payload) > total or (not payload and total):
            raise WireError(f"a chunk of `{source}` does not fit its message of {total} bytes")
        if total > self.max_message_bytes:
            raise WireError(
                f"`{source}` announces a message of {total} bytes, at most {self.max_message_bytes} are taken"
            )
        state = self._source(source, incarnation)
        if state is None or number < state.next_number or (number == state.next_number and offset < state.n_received):
            self.n_refused += 1
            return None
        return self._join(state, number, offset, total, payload)

    def forget(self, source: NodeId) -> None:
        """`source` is gone: drop what it left unfinished. Its incarnation stays known, in case it was only silent."""
        if (state := self._sources.get(source)) is not None:
            self._drop_partial(state)

    def _source(self, source: NodeId, incarnation: int) -> _Source | None:
        """State of `source`, reset for a new incarnation; None for a late chunk of a replaced one."""
        state = self._sources.setdefault(source, _Source(incarnation=incarnation))
        if state.incarnation != incarnation:
            if incarnation in state.retired:
                return None
            self._drop_partial(state)
            state.retired.append(state.incarnation)
            state.incarnation, state.next_number = incarnation, 0
        return state

    def _join(self, state: _Source, number: int, offset: int, total: int, payload: memoryview) -> memoryview | None:
        if number > state.next_number:
            self._drop_partial(state)
            state.next_number = number
        if offset != state.n_received or (state.partial is not None and state.partial.size != total):
            self._give_up(state)
            return None
        if len(payload) == total:
            state.next_number += 1
            return payload.toreadonly()
        if state.partial is None:
            if self.held_bytes + total > self.max_total_bytes:
                self._give_up(state)
                return None
            state.partial = np.empty(total, np.uint8)  # not bytearray: that would touch every page now
        state.partial[offset : offset + len(payload)] = payload
        state.n_received = offset + len(payload)
        if state.n_received < total:
            return None
        message = state.partial.data.toreadonly()
        state.partial, state.n_received, state.next_number = None, 0, state.next_number + 1
        return message

    def _give_up(self, state: _Source) -> None:
        """Drop the current message; its remaining chunks are refused."""
        if state.partial is None:
            self.n_dropped += 1
        self._drop_partial(state)
        state.next_number += 1

    def _drop_partial(self, state: _Source) -> None:
        if state.partial is not None:
            self.n_dropped += 1
        state.partial, state.n_received = None, 0


def _read_header(view: memoryview) -> tuple[int, int, int, int]:
    if len(view) < _HEADER.size:
        raise WireError(f"{len(view)} bytes are too few for a chunk")
    magic, version, incarnation, number, offset, total = _HEADER.unpack_from(view, 0)
    if magic != _MAGIC:
        raise WireError("the bytes of a peer are not a chunk of a Seamline message")
    if version != WIRE_VERSION:
        raise WireVersion(
            f"the peer speaks wire version {version}, this node {WIRE_VERSION}",
            hint="run the same release on all nodes",
        )
    return incarnation, number, offset, total


@dataclass(slots=True)
class _Source:
    """State of one sender: the message expected or in flight, and the incarnations it had before."""

    incarnation: int
    next_number: int = 0
    n_received: int = 0
    partial: np.ndarray[tuple[int], np.dtype[np.uint8]] | None = None
    retired: deque[int] = field(default_factory=lambda: deque(maxlen=_N_RETIRED))
