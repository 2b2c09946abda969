"""Link shaping, one direction of a physical link as arithmetic: when a chunk leaves and arrives. No sockets, no clock.

Theory of operation. A link is a serialiser followed by a delay line. The serialiser is busy for ``bits / rate`` with
each chunk and takes the next when it is free, whoever that belongs to: one link is shared by all connections across it.
Departures are computed from the time the link became free, not from when the caller woke up, so a late wake-up costs no
rate, and an idle link saves up no burst. Jitter moves the delay, a new draw every 10 ms. TCP hides a lost packet behind
its repair (`core.link.loss`): a chunk in which one is lost arrives later, and what follows it in the same connection
waits for it (`Arrivals`), while other connections go on.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from seamline.core.link.loss import PACKET_BYTES, held_up_s

MAX_CHUNK_BYTES = 65536
CHUNK_S = 0.002
"""A chunk is about two milliseconds of the link: fine enough to share it fairly, coarse enough for a busy computer."""

JITTER_PERIOD_S = 0.010


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkShape:
    """rate_bps: 0.0 is unlimited. delay_s: one way. jitter_s: at most `delay_s`. loss_ratio: of packets, below 1."""

    rate_bps: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss_ratio: float = 0.0

    def serialisation_s(self, n_bytes: int) -> float:
        return n_bytes * 8.0 / self.rate_bps if self.rate_bps else 0.0

    @property
    def chunk_bytes(self) -> int:
        """Bytes served at once: about `CHUNK_S` of the rate, and a packet at least."""
        if not self.rate_bps:
            return MAX_CHUNK_BYTES
        return max(PACKET_BYTES, min(MAX_CHUNK_BYTES, int(self.rate_bps * CHUNK_S / 8.0)))


@dataclass(slots=True)
class LinkDirection:
    """The state of one direction. free_at_s: when the serialiser can begin the next chunk. is_silent: nothing moves."""

    shape: LinkShape
    seed: int = 0
    free_at_s: float = 0.0
    is_silent: bool = False
    n_carried_bytes: int = 0
    _random: random.Random = field(init=False, repr=False)
    _jitter_s: float = field(init=False, default=0.0)
    _jitter_until_s: float = field(init=False, default=-1.0)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def serve(self, n_bytes: int, *, ready_s: float) -> float:
        """Send a chunk that has waited since `ready_s`; returns when it arrives at the other end."""
        begins_s = max(self.free_at_s, ready_s)
        self.free_at_s = begins_s + self.shape.serialisation_s(n_bytes)
        self.n_carried_bytes += n_bytes
        return self.free_at_s + self._delay_s(begins_s, n_bytes)

    def reshape(self, shape: LinkShape, *, now_s: float) -> None:
        """Take a new shape at once: what is left of the chunk in service goes on at the new rate."""
        left_bits = max(0.0, self.free_at_s - now_s) * self.shape.rate_bps
        self.free_at_s = min(self.free_at_s, now_s) + (left_bits / shape.rate_bps if shape.rate_bps else 0.0)
        self.shape = shape
        self._jitter_until_s = -1.0

    def silence(self) -> None:
        self.is_silent = True

    def restore(self, *, now_s: float) -> None:
        """Go on; the time spent silent has carried nothing."""
        if self.is_silent:
            self.is_silent = False
            self.free_at_s = max(self.free_at_s, now_s)

    def _delay_s(self, at_s: float, n_bytes: int) -> float:
        shape = self.shape
        delay_s = shape.delay_s
        if shape.jitter_s:
            if at_s >= self._jitter_until_s:
                self._jitter_s = self._random.uniform(-shape.jitter_s, shape.jitter_s)
                self._jitter_until_s = at_s + JITTER_PERIOD_S
            delay_s += self._jitter_s
        if shape.loss_ratio:
            delay_s += held_up_s(n_bytes, shape.loss_ratio, shape.delay_s, self._random.random())
        return delay_s


@dataclass(slots=True)
class Arrivals:
    """Arrival times of one connection across one link: TCP hands bytes over in order, so they never overtake."""

    last_s: float = 0.0

    def in_order(self, arrival_s: float) -> float:
        self.last_s = max(self.last_s, arrival_s)
        return self.last_s


def changed(
    shape: LinkShape,
    *,
    rate_bps: float | None = None,
    delay_s: float | None = None,
    loss_ratio: float | None = None,
) -> LinkShape:
    """`shape` with the values that are given. A delay below the jitter takes the jitter down with it."""
    rate_bps = shape.rate_bps if rate_bps is None else rate_bps
    delay_s = shape.delay_s if delay_s is None else delay_s
    loss_ratio = shape.loss_ratio if loss_ratio is None else loss_ratio
    jitter_s = min(shape.jitter_s, delay_s)
    return replace(shape, rate_bps=rate_bps, delay_s=delay_s, jitter_s=jitter_s, loss_ratio=loss_ratio)
