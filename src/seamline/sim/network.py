"""The links of a scene in virtual time: first in, first out, each direction by itself, shared by all who cross it.

A message over several links is not held up in between: it enters the next link as its first bit arrives, and leaves it
no sooner than its last bit has come. While it trickles through a fast link behind a slow one, others may pass. Small
control messages (pings, receipts, statuses) do not wait behind bulk data, as they have a lane of their own, but an
outage stops them too.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from seamline.config.trace import Trace
from seamline.core.link.loss import held_up_s
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.sim.rates import RateCurve
from seamline.sim.scene import Scene

CONTROL_BYTES = 128

Pair = tuple[NodeId, NodeId]


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
    """All paths between the nodes of a scene. Messages must be sent in the order of their times."""

    paths: Mapping[Pair, tuple[Hop, ...]]
    jitter_s: float
    rng: random.Random
    last_arrival_s: dict[Pair, float] = field(default_factory=dict)

    @staticmethod
    def of(scene: Scene) -> Network:
        curves = [RateCurve.of(link.trace) for link in scene.links]
        hops = {
            (index, forwards): Hop(link.trace, curves[index], link.delay_s)
            for index, link in enumerate(scene.links)
            for forwards in (True, False)
        }
        paths = {pair: tuple(hops[step] for step in steps) for pair, steps in scene.routes().items()}
        return Network(paths=paths, jitter_s=scene.jitter_s, rng=random.Random(scene.seed))

    def send(self, pair: Pair, n_bytes: int, now_s: float) -> float:
        """Put a message on its way behind those before it; returns when it has arrived whole."""
        head_s, arrived_s, lost_s = now_s, now_s, 0.0
        for hop in self.paths[pair]:
            begins_s = max(head_s, hop.free_s)
            hop.free_s = hop.curve.finish_s(begins_s, 8.0 * n_bytes)
            delay_s = hop.delay_s(begins_s)
            head_s, arrived_s = begins_s + delay_s, max(hop.free_s, arrived_s) + delay_s
            if hop.trace.loss_ratios and (loss_ratio := hop.loss_ratio(begins_s)) > 0.0:
                lost_s += held_up_s(n_bytes, loss_ratio, delay_s, self.rng.random())
        arrived_s += lost_s + self.rng.random() * self.jitter_s
        arrived_s = max(arrived_s, self.last_arrival_s.get(pair, 0.0))
        self.last_arrival_s[pair] = arrived_s
        return arrived_s

    def send_control(self, pair: Pair, now_s: float, n_bytes: int = CONTROL_BYTES) -> float:
        """The same for a small message in the lane beside the bulk."""
        head_s, arrived_s = now_s, now_s
        for hop in self.paths[pair]:
            through_s, delay_s = hop.curve.finish_s(head_s, 8.0 * n_bytes), hop.delay_s(head_s)
            head_s, arrived_s = head_s + delay_s, max(through_s, arrived_s) + delay_s
        return arrived_s + self.rng.random() * self.jitter_s

    def rate_bps(self, pair: Pair, at_s: float) -> float:
        """What `pair` could carry at `at_s`: the slowest link on the way."""
        return min(hop.trace.rate_bps_at(at_s) for hop in self.paths[pair])

    def round_trip_s(self, pair: Pair, at_s: float) -> float:
        return 2.0 * sum(hop.delay_s(at_s) for hop in self.paths[pair])

    def truth(self, pair: Pair, at_s: float) -> LinkEstimate:
        """`pair` as it is at `at_s`, in the form of a belief."""
        return LinkEstimate(
            source=pair[0],
            target=pair[1],
            rtt_s=self.round_trip_s(pair, at_s),
            goodput_bps=self.rate_bps(pair, at_s),
            measured_at_s=at_s,
        )

    def varies_rate(self, pair: Pair) -> bool:
        return any(len(set(hop.trace.rates_bps)) > 1 for hop in self.paths[pair])

    def varies_delay(self, pair: Pair) -> bool:
        return any(len(set(hop.trace.delays_s)) > 1 for hop in self.paths[pair])
