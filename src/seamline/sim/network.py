"""Virtual time, and the links of a scene in it: first in, first out, each direction by itself, shared by all messages.

A message over several links is not held up in between: it enters the next link as its first bit arrives, and leaves it
no sooner than its last bit has come. While it trickles through a fast link behind a slow one, others may pass. Small
control messages (pings, receipts, statuses) do not wait behind bulk data, as they have a lane of their own, but an
outage stops them too. What else goes wrong on the way is `Weather`. Nothing is lost here: TCP repairs what packets are
lost, and what is under way as a connection breaks is `mesh.py`'s.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

from seamline.config.trace import Trace
from seamline.core.link.loss import held_up_s
from seamline.core.vocabulary.links import Link, LinkEstimate
from seamline.core.vocabulary.ports import BATCH_BYTES, LEASE_S, LEAST_CHUNK_BYTES, QUEUE_S
from seamline.sim.rates import RateCurve
from seamline.sim.scene import Scene

CONTROL_BYTES = 128

Span = tuple[float, float]
"""(start_s, stop_s)."""

Entry = tuple[float, int, Callable[..., None], tuple[Any, ...]]


@dataclass(slots=True)
class Schedule:
    """The clock of one simulated run: what happens next, in order of time and, at one time, in the order planned."""

    now_s: float = 0.0
    _entries: list[Entry] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def at(self, at_s: float, what: Callable[..., None], *arguments: Any) -> None:
        """`what(*arguments)` happens at `at_s`, or now if that has passed."""
        now_s = self.now_s
        heappush(self._entries, (at_s if at_s > now_s else now_s, next(self._numbers), what, arguments))

    def stop(self) -> None:
        """Nothing of what was planned happens any more."""
        self._entries.clear()

    def run(self, until_s: float) -> None:
        """Let everything happen up to `until_s`, or until `stop`."""
        entries = self._entries
        while entries:
            entry = heappop(entries)
            at_s, _, what, arguments = entry
            if at_s > until_s:
                heappush(entries, entry)
                return
            self.now_s = at_s
            what(*arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """Faults of the network. partitions: per direction, when nothing gets through (what was sent waits).

    reordered_ratio: of control messages, held up by as much as `reordered_s`, so that later ones pass them.
    doubled_ratio: of control messages, that come twice. damaged_ratio: of all messages but requests, whose checksum is
    found to be wrong where they arrive, or of which the rest never comes: they are lost. All until `messy_until_s`.
    """

    partitions: Mapping[Link, tuple[Span, ...]] = field(default_factory=dict)
    reordered_ratio: float = 0.0
    reordered_s: float = 0.05
    doubled_ratio: float = 0.0
    damaged_ratio: float = 0.0
    messy_until_s: float = math.inf

    def clear_s(self, pair: Link, at_s: float) -> float:
        """When a message can get through that could at `at_s` but for partitions."""
        for start_s, stop_s in self.partitions.get(pair, ()):
            if start_s <= at_s < stop_s:
                at_s = stop_s
        return at_s


@dataclass(slots=True)
class Hop:
    """One direction of one physical link. free_s: when what was sent so far is through."""

    trace: Trace
    curve: RateCurve
    steady_delay_s: float
    free_s: float = 0.0

    def delay_s(self, at_s: float) -> float:
        """One way."""
        return self.trace.delays_s[self.trace.index_at(at_s)] if self.trace.delays_s else self.steady_delay_s

    def loss_ratio(self, at_s: float) -> float:
        return self.trace.loss_ratios[self.trace.index_at(at_s)] if self.trace.loss_ratios else 0.0


@dataclass(slots=True)
class Network:
    """All paths between the nodes of a scene. Messages must be sent in the order of their times.

    n_damaged: messages that were lost so.
    """

    paths: Mapping[Link, tuple[Hop, ...]]
    jitter_s: float
    rng: random.Random
    weather: Weather | None = None
    last_arrival_s: dict[Link, float] = field(default_factory=dict)
    last_control_s: dict[Link, float] = field(default_factory=dict)
    n_damaged: int = 0

    @staticmethod
    def of(scene: Scene, weather: Weather | None = None) -> Network:
        curves = [RateCurve.of(link.trace) for link in scene.links]
        hops = {
            (index, forwards): Hop(link.trace, curves[index], link.delay_s)
            for index, link in enumerate(scene.links)
            for forwards in (True, False)
        }
        paths = {pair: tuple(hops[step] for step in steps) for pair, steps in scene.routes().items()}
        return Network(paths=paths, jitter_s=scene.jitter_s, rng=random.Random(scene.seed), weather=weather)

    def send(self, pair: Link, n_bytes: int, now_s: float) -> float:
        """Put a message on its way behind those before it; returns when it has arrived whole."""
        if self.weather is not None:
            now_s = self.weather.clear_s(pair, now_s)
        head_s, arrived_s, lost_s = now_s, now_s, 0.0
        for hop in self.paths[pair]:
            begins_s = max(head_s, hop.free_s)
            hop.free_s = hop.curve.finish_s(begins_s, 8.0 * n_bytes)
            delay_s = hop.delay_s(begins_s)
            head_s, arrived_s = begins_s + delay_s, max(hop.free_s, arrived_s) + delay_s
            if hop.trace.loss_ratios and (loss_ratio := hop.loss_ratio(begins_s)) > 0.0:
                lost_s += held_up_s(n_bytes, loss_ratio, delay_s, self.rng.random())
        arrived_s += lost_s + self.rng.random() * self.jitter_s
        if self.weather is not None:
            arrived_s = self.weather.clear_s(pair, arrived_s)
        arrived_s = max(arrived_s, self.last_arrival_s.get(pair, 0.0))
        self.last_arrival_s[pair] = arrived_s
        return arrived_s

    def send_control(self, pair: Link, now_s: float, n_bytes: int = CONTROL_BYTES) -> float:
        """The same for a small message in the lane beside the bulk."""
        head_s, arrived_s = now_s, now_s
        for hop in self.paths[pair]:
            through_s, delay_s = hop.curve.finish_s(head_s, 8.0 * n_bytes), hop.delay_s(head_s)
            head_s, arrived_s = head_s + delay_s, max(through_s, arrived_s) + delay_s
        arrived_s = max(arrived_s + self.rng.random() * self.jitter_s, self.last_control_s.get(pair, 0.0))
        self.last_control_s[pair] = arrived_s
        return arrived_s

    def control_arrivals(self, pair: Link, now_s: float, n_bytes: int = CONTROL_BYTES) -> Iterable[float]:
        """`send_control` in the weather there is: every time at which the message arrives."""
        if (weather := self.weather) is None:
            return (self.send_control(pair, now_s, n_bytes),)
        arrived_s = weather.clear_s(pair, self.send_control(pair, weather.clear_s(pair, now_s), n_bytes))
        if now_s >= weather.messy_until_s:
            return (arrived_s,)
        rng = self.rng
        if rng.random() < weather.reordered_ratio:  # behind what is sent later, which is not held up by it
            arrived_s = weather.clear_s(pair, arrived_s + rng.random() * weather.reordered_s)
        if rng.random() < weather.doubled_ratio:
            return arrived_s, weather.clear_s(pair, arrived_s + rng.random() * weather.reordered_s)
        return (arrived_s,)

    def is_damaged(self, now_s: float) -> bool:
        """Whether the message that is sent now will be lost to damage."""
        weather = self.weather
        if weather is None or not weather.damaged_ratio or now_s >= weather.messy_until_s:
            return False
        is_lost = self.rng.random() < weather.damaged_ratio
        self.n_damaged += is_lost
        return is_lost

    def forget(self, pair: Link, now_s: float) -> None:
        """The connection broke: what was under way is not sent on, and holds up nothing that is sent later."""
        self.last_arrival_s.pop(pair, None)
        self.last_control_s.pop(pair, None)
        for hop in self.paths[pair]:
            hop.free_s = min(hop.free_s, now_s)

    def stalls_s(self, pair: Link, n_bytes: int, now_s: float) -> float:
        """When a batch of a message that is sent now begins to cross for longer than a lease; inf when none does.

        Batches follow the path (`fabric/bulk/path.py`): they are as long as what it carried when the message was sent.
        """
        head_s = now_s
        for hop in self.paths[pair]:
            at_s, left_bytes = max(head_s, hop.free_s), n_bytes
            head_s = at_s + hop.delay_s(at_s)
            if hop.curve.finish_s(at_s, 8.0 * n_bytes) - at_s <= LEASE_S:
                continue
            wanted_bytes = int(hop.trace.rate_bps_at(now_s) * QUEUE_S / 8.0)
            batch_bytes = min(BATCH_BYTES, max(LEAST_CHUNK_BYTES, wanted_bytes))
            while left_bytes > 0:
                through_s = hop.curve.finish_s(at_s, 8.0 * min(batch_bytes, left_bytes))
                if through_s - at_s > LEASE_S:
                    return at_s
                at_s, left_bytes = through_s, left_bytes - batch_bytes
        return math.inf

    def silences(self, pair: Link, until_s: float) -> Iterable[Span]:
        """When nothing gets from one end of `pair` to the other."""
        for hop in self.paths[pair]:
            yield from hop.curve.outages(until_s)
        if self.weather is not None:
            yield from self.weather.partitions.get(pair, ())

    def rate_bps(self, pair: Link, at_s: float) -> float:
        """What `pair` could carry at `at_s`: the slowest link on the way."""
        return min(hop.trace.rate_bps_at(at_s) for hop in self.paths[pair])

    def round_trip_s(self, pair: Link, at_s: float) -> float:
        return 2.0 * sum(hop.delay_s(at_s) for hop in self.paths[pair])

    def truth(self, pair: Link, at_s: float) -> LinkEstimate:
        """`pair` as it is at `at_s`, in the form of an estimate."""
        return LinkEstimate(
            source=pair[0],
            target=pair[1],
            rtt_s=self.round_trip_s(pair, at_s),
            goodput_bps=self.rate_bps(pair, at_s),
            measured_at_s=at_s,
        )

    def varies_rate(self, pair: Link) -> bool:
        return any(len(set(hop.trace.rates_bps)) > 1 for hop in self.paths[pair])

    def varies_delay(self, pair: Link) -> bool:
        return any(len(set(hop.trace.delays_s)) > 1 for hop in self.paths[pair])
