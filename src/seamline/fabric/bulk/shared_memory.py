"""Shared memory between two nodes of one machine: messages are written once, and read where they lie.

The sender owns slots of anonymous memory (memfd_create(2)); a *note* of some bytes takes the message's place on the
bulk lane, in its turn and within its window, sealed where messages are. Nothing has a name, so nothing is left behind
when a process is killed. A slot's life stands in the slot itself, in one word that both sides write::

    OFFERED --receiver has opened it--> FREE --sender writes a message--> FULL --receiver's last view is gone--> FREE

An *offer* says where a slot is (process, descriptor, and a random number that lies in it) and where its sender stands.
The receiver opens it through /proc, which the kernel allows to the same user in the same process namespace; finds the
number there, which proves that both see one memory; and sees that nothing shaped is between them (`same_host.py`).
Until the word says FREE the network carries everything, and it does so again when all slots are taken: nobody waits.

A receiver maps messages read-only, and takes only memory that is sealed against shrinking, which cannot make it fault.
The checksum of a message is checked as that of any other. Processes of one user can change each other's memory anyway.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
import struct
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from seamline.core.vocabulary.errors import WireError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Parts
from seamline.fabric.bulk.same_host import Place

LEAST_SHARED_BYTES = 16 * 1024
"""What is smaller is sent quicker than shared: an offer and a mapping cost more than the copy."""

MOST_SHARED_BYTES = 16 << 20
N_SLOTS = 8
"""Per target; those in use are as many as messages whose tensors somebody still holds."""

GIVEN_UP_S = 10.0
"""A slot that is full for so long is left to who holds it; one that is not accepted for so long was refused."""

_FREE, _FULL, _OFFERED = range(3)
_WORD = struct.Struct("<Q")
_STATE_AT, _CLOSED_AT, _NUMBER_AT = 0, 8, 16
_NUMBER_BYTES = 16
_DATA_AT = mmap.ALLOCATIONGRANULARITY
_SEALS = getattr(fcntl, "F_SEAL_SHRINK", 0) | getattr(fcntl, "F_SEAL_GROW", 0) | getattr(fcntl, "F_SEAL_SEAL", 0)
_NAME = "seamline"

Number = Annotated[bytes, msgspec.Meta(min_length=_NUMBER_BYTES, max_length=_NUMBER_BYTES)]


class Offer(msgspec.Struct, frozen=True, tag="offer"):
    """A slot that may be used from when its state is FREE. place: where the sender stands."""

    number: Number
    process: Annotated[int, msgspec.Meta(ge=1, le=1 << 32)]
    descriptor: Annotated[int, msgspec.Meta(ge=0, le=1 << 32)]
    place: Place


class Here(msgspec.Struct, frozen=True, tag="here"):
    """A message of `n_bytes` lies in slot `number`."""

    number: Number
    n_bytes: Annotated[int, msgspec.Meta(ge=0, le=MOST_SHARED_BYTES)]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Offer | Here)


class SharedSlots:
    """The slots of one sender for one target. One thread at a time, but for `has_room`.

    place: where this node stands, None where it shares no memory.
    """

    def __init__(self, place: Callable[[], Place | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._place = place
        self._clock = clock
        self._slots: tuple[_Slot, ...] = ()
        self._offered: _Slot | None = None
        self._is_refused = False

    def has_room(self, n_bytes: int) -> bool:
        """Whether a message of so many bytes would be shared now."""
        return n_bytes >= LEAST_SHARED_BYTES and any(slot.takes(n_bytes) for slot in self._slots)

    def put(self, message: Parts, n_bytes: int) -> bytes | None:
        """Write `message` into a slot; the note that says where it lies, None when no slot takes it."""
        if n_bytes < LEAST_SHARED_BYTES:
            return None
        slot = next((slot for slot in self._slots if slot.takes(n_bytes)), None)
        if slot is None:
            return None
        slot.write(message)
        slot.since_s = self._clock()
        return _ENCODER.encode(Here(number=slot.number, n_bytes=n_bytes))

    def offer(self, n_bytes: int) -> bytes | None:
        """The note that offers one slot more, of `n_bytes` at least; None when none would help."""
        if self._is_refused or not LEAST_SHARED_BYTES <= n_bytes <= MOST_SHARED_BYTES:
            return None
        now_s = self._clock()
        if self._offered is not None and self._offered.is_in(_OFFERED):
            self._is_refused = now_s - self._offered.since_s > GIVEN_UP_S
            return None
        self._make_room(now_s)
        if len(self._slots) >= N_SLOTS or (place := self._place()) is None:
            self._is_refused = not self._slots
            return None
        try:
            slot = _Slot(n_bytes, now_s)
        except OSError:
            self._is_refused = True  # no memory, no descriptors: the network carries what comes
            return None
        self._offered = slot
        self._slots = (*self._slots, slot)
        offer = Offer(number=slot.number, process=os.getpid(), descriptor=slot.descriptor, place=place)
        return _ENCODER.encode(offer)

    def close(self) -> None:
        """Give all slots up: the target is gone, or another. What its readers hold stays theirs."""
        slots, self._slots, self._offered = self._slots, (), None
        self._is_refused = False
        for slot in slots:
            slot.close()

    def _make_room(self, now_s: float) -> None:
        """Give up slots that somebody holds for long, and the smallest free one when there are too many."""
        gone = [slot for slot in self._slots if slot.is_in(_FULL) and now_s - slot.since_s > GIVEN_UP_S]
        if len(self._slots) - len(gone) >= N_SLOTS:
            gone += sorted((slot for slot in self._slots if slot.is_in(_FREE)), key=lambda slot: slot.room_bytes)[:1]
        self._slots = tuple(slot for slot in self._slots if slot not in gone)
        for slot in gone:
            slot.close()


class SharedReader:
    """The slots that others have offered to this node. For one thread at a time.

    place: where this node stands, None where it shares no memory.
    """

    def __init__(self, place: Callable[[], Place | None]) -> None:
        self._place = place
        self._slots: dict[NodeId, dict[bytes, _Mapped]] = {}

    def take(self, source: NodeId, note: memoryview) -> memoryview | None:
        """The message that a note of `source` says is there, read-only and to be read where it lies; None for an offer.

        Raises `WireError` for bytes that are no note, and for a message that is not there.
        """
        try:
            said = _DECODER.decode(note)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise WireError(f"a note of shared memory is malformed ({exc})") from exc
        if isinstance(said, Offer):
            self._accept(source, said)
            return None
        if (slot := self._slots.get(source, {}).get(said.number)) is None:
            raise WireError("a message lies in shared memory that is not open here")
        return slot.read(said.n_bytes)

    def forget(self, source: NodeId) -> None:
        """Let go what `source` has given up; if it is only out of reach and does not know it, its slots are in use."""
        kept = {number: slot for number, slot in self._slots.pop(source, {}).items() if not slot.is_gone}
        if kept:
            self._slots[source] = kept

    def _accept(self, source: NodeId, offer: Offer) -> None:
        place = self._place()
        if place is None or not place.is_beside(offer.place):
            return
        self.forget(source)
        if len(self._slots.get(source, {})) < 2 * N_SLOTS:  # more are open than a sender ever has
            with suppress(OSError, ValueError):  # another namespace, another user, or no memory: it stays offered
                mapped = _Mapped(offer)
                self._slots.setdefault(source, {})[offer.number] = mapped  # whoever only claims a name leaves nothing


class _Slot:
    """Memory of a sender. since_s: when it was offered or filled."""

    def __init__(self, n_bytes: int, now_s: float) -> None:
        self.number = secrets.token_bytes(_NUMBER_BYTES)
        self.since_s = now_s
        self.room_bytes = -(-n_bytes // _DATA_AT) * _DATA_AT
        self.descriptor = os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.descriptor, _DATA_AT + self.room_bytes)
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _SEALS)
            self._memory = mmap.mmap(self.descriptor, _DATA_AT + self.room_bytes)
        except BaseException:
            os.close(self.descriptor)
            raise
        self._memory[_NUMBER_AT : _NUMBER_AT + _NUMBER_BYTES] = self.number
        self._set(_OFFERED)

    def is_in(self, state: int) -> bool:
        return _word(self._memory, _STATE_AT) == state

    def takes(self, n_bytes: int) -> bool:
        return n_bytes <= self.room_bytes and self.is_in(_FREE)

    def write(self, message: Parts) -> None:
        with memoryview(self._memory) as memory:
            at = _DATA_AT
            for part in message:
                memory[at : at + len(part)] = part
                at += len(part)
        self._set(_FULL)

    def close(self) -> None:
        """Memory goes with the last who has it mapped, here too."""
        _WORD.pack_into(self._memory, _CLOSED_AT, 1)
        os.close(self.descriptor)

    def _set(self, state: int) -> None:
        _WORD.pack_into(self._memory, _STATE_AT, state)


class _Mapped:
    """Slot of another process, as its reader has it. Raises `OSError` or `ValueError` when it cannot be opened."""

    def __init__(self, offer: Offer) -> None:
        path = f"/proc/{offer.process}/fd/{offer.descriptor}"
        if not os.readlink(path).startswith(f"/memfd:{_NAME}"):
            raise ValueError("that is not a slot")  # before it is opened: whatever else it is stays untouched
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
                raise ValueError("that memory may shrink")
            n_bytes = os.fstat(descriptor).st_size
            if not _DATA_AT < n_bytes <= _DATA_AT + MOST_SHARED_BYTES:
                raise ValueError("that is too much, or nothing")
            self._head = mmap.mmap(descriptor, _DATA_AT)
            self._data = mmap.mmap(descriptor, n_bytes - _DATA_AT, prot=mmap.PROT_READ, offset=_DATA_AT)
        finally:
            os.close(descriptor)
        if self._head[_NUMBER_AT : _NUMBER_AT + _NUMBER_BYTES] != offer.number:
            raise ValueError("that is another memory")
        self._path = Path(path)
        self._taken: weakref.ref[np.ndarray[tuple[int], np.dtype[np.uint8]]] | None = None
        self._release()

    @property
    def is_gone(self) -> bool:
        """Whether its sender has given it up, or is no more; messages that are still held stay readable."""
        return _word(self._head, _CLOSED_AT) != 0 or not self._path.exists()

    def read(self, n_bytes: int) -> memoryview:
        if n_bytes > len(self._data) or _word(self._head, _STATE_AT) != _FULL or self._taken is not None:
            raise WireError("a message in shared memory is not where it was said to be")
        message = np.frombuffer(self._data, np.uint8, n_bytes)
        self._taken = weakref.ref(message, self._release)  # whatever is read in the message keeps it
        return message.data

    def _release(self, _: object = None) -> None:
        """Nobody reads the message any more."""
        self._taken = None
        _WORD.pack_into(self._head, _STATE_AT, _FREE)


def _word(memory: mmap.mmap, at: int) -> int:
    return int(_WORD.unpack_from(memory, at)[0])
