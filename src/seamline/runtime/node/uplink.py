"""The uplink of a node: everything that leaves it for its peers, with the link measurement and the accounting of bytes.

Small messages without tensors leave at once on the control lane; tensors queue in the outbox, one thread per peer.
Frames and probes carry a number that the receiver acknowledges with a `Receipt`, from which the link meter learns.
Whose turn it is to be pinged, probed or told a status is the `heartbeat`'s business; arrivals are `handlers.py`'s.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np

from seamline.core.vocabulary.errors import FabricError, PeerLost
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Array, Fabric, Lane, Parts
from seamline.fabric import messages as msg
from seamline.fabric.wire import pack_parts
from seamline.runtime.node.links import LinkMeter
from seamline.runtime.shared.clock import now_s
from seamline.runtime.shared.energy import EnergyAccount
from seamline.runtime.shared.outbox import Outbox, Outgoing

log = logging.getLogger(__name__)

SMALL_RESULT_BYTES = 16 * 1024
"""Answers up to this size travel as control messages: they need not queue behind tensors."""

MAX_URGENT_BYTES = 256 * 1024
"""A header beyond this size (the profile of a large model) travels in chunks: nothing urgent may wait behind it."""


class Uplink:
    """Owner of a node's outbox, of its link meter and of the count of bytes; safe from any thread.

    switching_bytes: control bytes sent so far for switches, by kind of message. The bytes of frames and their results
    are charged to `energy`, since they are what radios are charged for.
    """

    def __init__(self, fabric: Fabric, links: LinkMeter, energy: EnergyAccount) -> None:
        self.links = links
        self.switching_bytes: Counter[str] = Counter()
        self._fabric = fabric
        self._energy = energy
        self._outbox = Outbox(fabric)

    # -- messages ------------------------------------------------------------------------------------------------------

    def send(self, target: NodeId, header: msg.Message, tensors: tuple[Array, ...] = ()) -> None:
        """Send one message: bulk through the outbox, a bare header at once. Raises `FabricError`."""
        message = pack_parts(header, tensors)
        n_bytes = sum(map(len, message))
        if tensors or n_bytes > MAX_URGENT_BYTES:
            self._outbox.put(target, Outgoing(message=message))
            return
        if isinstance(header, msg.Prepare | msg.Release):
            self.switching_bytes[type(header).__name__] += n_bytes
        self._fabric.send(target, b"".join(message), Lane.CONTROL)

    def send_best_effort(self, target: NodeId, header: msg.Message) -> None:
        """Send one bare header that a node which went away does not need: an answer, a ping, a status."""
        try:
            self.send(target, header)
        except FabricError as error:
            log.debug("%s not sent to %s: %s", type(header).__name__, target, error)

    # -- frames --------------------------------------------------------------------------------------------------------

    def next_seq(self) -> int:
        """Return the number of a frame or probe that will be acknowledged."""
        return self.links.next_seq()

    def send_frame(
        self, target: NodeId, frame: msg.FrameData, buffers: Sequence[Array], *, failed: Callable[[FabricError], None]
    ) -> None:
        """Queue a frame for its next stage; `failed` gets the error, on the sending thread, when it could not leave.

        Raises `PeerLost` after `close`.
        """
        message = pack_parts(frame, buffers)
        self._energy.sent(sum(map(len, message)))
        self._put_measured(target, frame.seq, message, failed)

    def send_result(self, target: NodeId, result: msg.ResultData, outputs: tuple[Array, ...]) -> None:
        """Send a frame's answer to its origin, a small one ahead of bulk.

        Raises `WireError` when no message can hold it, `FabricError` when it cannot leave.
        """
        message = pack_parts(result, outputs)
        n_bytes = sum(map(len, message))
        self._energy.sent(n_bytes)
        if n_bytes <= SMALL_RESULT_BYTES:
            self._fabric.send(target, b"".join(message), Lane.CONTROL)
        else:
            self._outbox.put(target, Outgoing(message=message))

    def acknowledge(self, target: NodeId, seq: int) -> None:
        """Tell the sender of a frame or probe that it has arrived whole."""
        try:
            self.send(target, msg.Receipt(seq=seq, clock_s=now_s()))
        except PeerLost:
            log.debug("receipt not sent to %s", target)

    def answer_ping(self, source: NodeId, ping: msg.Ping) -> None:
        """Send a ping of `source` back at once. Raises `PeerLost`."""
        self.links.heard(source, ping.clock_s)
        self.send(source, msg.Pong(seq=ping.seq, clock_s=now_s()))

    # -- measurement ---------------------------------------------------------------------------------------------------

    def ping(self, targets: Iterable[NodeId]) -> None:
        """Measure the round trip to each of `targets`."""
        for target in targets:
            self.send_best_effort(target, msg.Ping(seq=self.links.pinging(target), clock_s=now_s()))

    def probe(self, target: NodeId, seq: int, n_bytes: int) -> None:
        """Measure the goodput to `target` with `n_bytes` of padding. Raises `PeerLost` after `close`."""
        message = pack_parts(msg.Probe(seq=seq), (np.zeros(n_bytes, dtype=np.uint8),))
        self._put_measured(target, seq, message, None)

    def _put_measured(
        self, target: NodeId, seq: int, message: Parts, failed: Callable[[FabricError], None] | None
    ) -> None:
        before_send = partial(self.links.sending, target, seq, sum(map(len, message)))
        self._outbox.put(target, Outgoing(message=message, before_send=before_send, failed=failed))

    # -- life ----------------------------------------------------------------------------------------------------------

    def on_peer(self, peer: NodeId, alive: bool) -> None:
        """A peer came or went; what still waits for one that went fails."""
        self.links.peer(peer, alive)
        if not alive:
            self._outbox.forget(peer)

    def close(self) -> None:
        """End the sending threads; what waits for them fails."""
        self._outbox.close()
