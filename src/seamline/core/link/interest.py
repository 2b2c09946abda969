"""Interest in what a node measures, held by whoever decides by it, under a lease: without any a node is silent.

An origin asks each node of its stream to measure the links to the others and to report on them, for `INTEREST_S`, and
asks again every `RENEW_S`; a tool that shows links does the same once. What is not asked for again lapses, so that a
stream which has ended, has no frames, or whose origin has died, costs nobody anything. The asking side of a stream is
`core.session.link_interest`.
"""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import dataclass

from seamline.core.vocabulary.nodes import NodeId

RENEW_S = 1.0
INTEREST_S = 3.0
"""Two messages in a row may be lost before a link that is needed is left alone."""

MAX_INTEREST_S = 60.0
MAX_PER_ASKER = 64
"""Streams of one origin; the interest that lapses first makes room."""


@dataclass(frozen=True, slots=True)
class _Interest:
    targets: frozenset[NodeId]
    until_s: float


class Interests:
    """Owner of the interest that others, and streams here, hold in the outgoing links of one node."""

    def __init__(self) -> None:
        self._held: dict[NodeId, dict[str, _Interest]] = {}

    @property
    def askers(self) -> tuple[NodeId, ...]:
        """Nodes that are reported to."""
        return tuple(self._held)

    @property
    def targets(self) -> frozenset[NodeId]:
        """Ends of the links that are measured."""
        return frozenset().union(*(one.targets for streams in self._held.values() for one in streams.values()))

    @property
    def lapses_s(self) -> float:
        """Time at which the next interest lapses; inf without any."""
        ends_s = [one.until_s for streams in self._held.values() for one in streams.values()]
        return min(ends_s, default=math.inf)

    def hold(self, asker: NodeId, stream: str, targets: Set[NodeId], for_s: float, now_s: float) -> bool:
        """`asker` is interested in the links to `targets` for its `stream`; whether anything else is measured or
        reported to anybody else from now on."""
        before = self.askers, self.targets
        streams = self._held.setdefault(asker, {})
        streams[stream] = _Interest(frozenset(targets), now_s + min(max(0.0, for_s), MAX_INTEREST_S))
        if len(streams) > MAX_PER_ASKER:
            del streams[min(streams, key=lambda name: streams[name].until_s)]
        return before != (self.askers, self.targets)

    def lapse(self, now_s: float) -> bool:
        """Drop what has lapsed; whether there was any."""
        if now_s < self.lapses_s:
            return False
        for asker, streams in list(self._held.items()):
            for stream in [name for name, one in streams.items() if now_s >= one.until_s]:
                del streams[stream]
            if not streams:
                del self._held[asker]
        return True
