"""Bulk lane of a fabric: messages cut into chunks, a window of bytes ahead per target, and credits that reopen it.

One message at a time goes to each target. The receiver joins the chunks (`chunks.py`) and credits what it has taken;
the sender waits for room in its window (`window.py`), which follows the path (`path.py`), and a target that is lost
ends the wait at once. Between nodes of one machine a message goes through shared memory where that can be, and a note
of it takes its place (`shared_memory.py`). How chunks and credits travel is given by the fabric (`zenoh.py`); nothing
here knows a network.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from seamline.core.vocabulary.errors import PeerLost
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import OnMessage, Parts
from seamline.fabric.bulk.chunks import Assembler, cut, is_note, position_of, whole
from seamline.fabric.bulk.same_host import Place
from seamline.fabric.bulk.shared_memory import SharedReader, SharedSlots
from seamline.fabric.bulk.window import Window, pack_credit, unpack_credit
from seamline.fabric.roster import Roster

MOST_AT_ONCE_BYTES = 768 * 1024
"""On their way to one target while a message leaves on the thread of whoever has made it: Zenoh's queue takes them."""

_CLOSE_S = 1.0


def nowhere() -> Place | None:
    """The place of a node that shares no memory."""
    return None


class BulkSender:
    """Owner of the windows towards all targets; safe from any thread.

    put: sends one chunk to a node. place: where this node stands, for targets that stand beside it.
    """

    def __init__(
        self,
        incarnation: int,
        roster: Roster,
        put: Callable[[NodeId, bytes], None],
        place: Callable[[], Place | None] = nowhere,
    ) -> None:
        self._incarnation = incarnation
        self._roster = roster
        self._put = put
        self._place = place
        self._lanes: dict[NodeId, _Lane] = {}
        self._lanes_lock = threading.Lock()

    def send(self, target: NodeId, message: Parts) -> None:
        """Send one message in chunks, after those before it to the same target; waits while the window is full.

        Raises `PeerLost` when `target` is not alive, is replaced or dies meanwhile.
        """
        with self._lanes_lock:
            lane = self._lanes.get(target) or self._lanes.setdefault(target, _Lane(self._place))
        with lane.lock:
            self._send(target, lane, message)

    def is_free(self, target: NodeId, n_bytes: int) -> bool:
        """Whether a message of so many bytes would leave in one piece and at once."""
        lane = self._lanes.get(target)
        if lane is None or lane.lock.locked():
            return False
        if lane.slots.has_room(n_bytes):
            return lane.window.has_room(0)
        if lane.window.in_flight_bytes + n_bytes > MOST_AT_ONCE_BYTES:
            return False
        return n_bytes <= lane.window.chunk_bytes and lane.window.has_room(n_bytes)

    def on_credit(self, source: NodeId, payload: bytes) -> None:
        """A target has taken chunks. Raises `WireError` for bytes that are no credit."""
        incarnation, position = unpack_credit(payload)
        if incarnation == self._incarnation and (lane := self._lanes.get(source)) is not None:
            lane.window.credit(position)

    def wake(self, target: NodeId) -> None:
        """Let whoever waits for room towards `target` see whether it is there; one that is gone holds no memory."""
        if (lane := self._lanes.get(target)) is None:
            return
        lane.window.wake()
        if self._roster.epoch(target) != lane.epoch and lane.lock.acquire(blocking=False):
            lane.slots.close()
            lane.lock.release()

    def wake_all(self) -> None:
        for target in tuple(self._lanes):
            self.wake(target)

    def close(self) -> None:
        """Let whoever waits for room see that nobody is there, and give up shared memory."""
        self.wake_all()
        for lane in tuple(self._lanes.values()):
            if lane.lock.acquire(timeout=_CLOSE_S):  # whoever sends ends now, unless the network holds it
                lane.slots.close()
                lane.lock.release()

    def _send(self, target: NodeId, lane: _Lane, message: Parts) -> None:
        epoch = self._roster.require_alive(target)
        if epoch != lane.epoch:
            lane.epoch = epoch
            lane.window.reset()
            lane.slots.close()
        n_bytes = sum(map(len, message))
        if (note := lane.slots.put(message, n_bytes)) is not None:
            self._send_chunks(target, lane, self._only(lane, (note,), is_note=True))
            return
        if (offer := lane.slots.offer(n_bytes)) is not None:
            self._send_chunks(target, lane, self._only(lane, (offer,), is_note=True))
        if n_bytes <= lane.window.chunk_bytes:
            self._send_chunks(target, lane, self._only(lane, message))
        else:
            whole_message = b"".join(message)
            chunks = cut(whole_message, self._incarnation, lane.number(), lambda: lane.window.chunk_bytes)
            self._send_chunks(target, lane, chunks)

    def _only(self, lane: _Lane, message: Parts, *, is_note: bool = False) -> Iterable[bytes]:
        return (whole(message, self._incarnation, lane.number(), is_note=is_note),)

    def _send_chunks(self, target: NodeId, lane: _Lane, chunks: Iterable[bytes]) -> None:
        window, epoch = lane.window, lane.epoch
        for chunk in chunks:
            if not window.wait_room(len(chunk), lambda: self._roster.epoch(target) != epoch):
                window.reset()
                lane.slots.close()
                raise PeerLost(f"`{target}` was lost while a message was sent to it")
            window.sent(position_of(chunk)[1], len(chunk))
            self._put(target, chunk)


class BulkReceiver:
    """Joins chunks to messages; for one thread at a time, but for `owed`.

    credit: sends a credit. given_up: hears of messages that were dropped before they were whole, with the reason.
    place: where this node stands, for sources that stand beside it.
    """

    def __init__(
        self,
        max_message_bytes: int,
        *,
        credit: Callable[[NodeId, bytes], None],
        given_up: Callable[[NodeId, str], None] = lambda source, words: None,
        place: Callable[[], Place | None] = nowhere,
    ) -> None:
        self._assembler = Assembler(max_message_bytes=max_message_bytes, given_up=given_up)
        self._shared = SharedReader(place)
        self._credit = credit
        self._owed: dict[NodeId, bytes] = {}

    def on_chunk(self, source: NodeId, chunk: bytes, on_message: OnMessage) -> None:
        """Join `chunk` to its message and hand over a whole one, and credit the sender, whatever becomes of it.

        Raises `WireError` for bytes that are no chunk.
        """
        try:
            message = self._assembler.add(source, chunk)
            self._owed[source] = pack_credit(*position_of(chunk))
            if message is not None and is_note(chunk):
                message = self._shared.take(source, message)
            if message is not None:
                on_message(source, message)
        finally:
            if (credit := self.owed(source)) is not None:
                self._credit(source, credit)

    def owed(self, target: NodeId) -> bytes | None:
        """The credit that is due to `target`, for whoever has something to send there at once; asked once."""
        return self._owed.pop(target, None)

    def forget(self, source: NodeId) -> None:
        """Drop what has arrived of a message of a node that is gone."""
        self._assembler.forget(source)
        self._shared.forget(source)


class _Lane:
    """Lane to one target: the owner of `lock` is sending."""

    __slots__ = ("epoch", "lock", "next_number", "slots", "window")

    def __init__(self, place: Callable[[], Place | None]) -> None:
        self.lock = threading.Lock()
        self.window = Window()
        self.slots = SharedSlots(place)
        self.epoch = -1
        self.next_number = 0

    def number(self) -> int:
        """The number of the next message."""
        number, self.next_number = self.next_number, self.next_number + 1
        return number
