"""Load meter of a node: how many frames of which segments come, and what they take, by stream and added up.

A stream counts from the moment its segments are asked for, with what its origin expects; so others see a load that is
on its way before its first frame. From then on its rate is the exponentially weighted count of its frames: within some
`MEMORY_S` an expectation that was wrong, or a plan that only stands by, is what it really is. Of one stream the newest
generation counts, since a frame visits a node once. A stream that has released all of its segments is forgotten.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from seamline.core.cost.loads import MAX_SEGMENT_LOADS, SegmentLoad, StageLoad
from seamline.core.vocabulary.plans import Segment

MEMORY_S = 3.0
"""Time constant of rates."""

GAIN = 0.2
"""Of the newest frame in the means of work and waiting."""

LEAST_RATE_PER_S = 0.01
"""A stream that holds nothing here and brings less is forgotten."""


@dataclass(slots=True)
class _Stream:
    """rate_per_s: as of `at_s`. n_computed: frames of the newest generation."""

    model_id: str
    segment: Segment
    at_s: float
    newest: int
    rate_per_s: float = 0.0
    busy_s: float = 0.0
    wait_s: float = 0.0
    n_computed: int = 0
    generations: set[int] = field(default_factory=set)

    def rate(self, now_s: float) -> float:
        return self.rate_per_s * math.exp(-max(0.0, now_s - self.at_s) / MEMORY_S)


class LoadMeter:
    """Owner of what is known of the load of one node; times are readings of its clock."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}

    def expect(
        self, stream: str, generation: int, model_id: str, segment: Segment, load: StageLoad, now_s: float
    ) -> None:
        """Frames of `generation` will come, `load` by what their origin knows."""
        known = self._of(stream, generation, model_id, segment, now_s)
        known.generations.add(generation)
        if known.newest == generation and not known.n_computed:
            known.rate_per_s, known.at_s = max(known.rate(now_s), load.rate_per_s), now_s
            known.busy_s = load.busy_s or known.busy_s

    def arrived(self, stream: str, generation: int, model_id: str, segment: Segment, now_s: float) -> None:
        """A frame has come."""
        known = self._of(stream, generation, model_id, segment, now_s)
        known.rate_per_s, known.at_s = known.rate(now_s) + 1.0 / MEMORY_S, now_s

    def computed(self, stream: str, generation: int, wait_s: float, busy_s: float) -> None:
        """A frame was through, after `wait_s`; it kept a worker busy for `busy_s`, its share of a batch."""
        known = self._streams.get(stream)
        if known is None or known.newest != generation:
            return
        gain = GAIN if known.n_computed else 1.0
        known.busy_s += gain * (busy_s - known.busy_s)
        known.wait_s += gain * (wait_s - known.wait_s)
        known.n_computed += 1

    def released(self, stream: str, generation: int) -> None:
        """The stream holds a generation no more."""
        known = self._streams.get(stream)
        if known is not None:
            known.generations.discard(generation)
            if not known.generations:
                del self._streams[stream]

    def report(self, now_s: float) -> tuple[SegmentLoad, ...]:
        """Load by segment, the heaviest first, and what is beyond `MAX_SEGMENT_LOADS` together."""
        groups: dict[tuple[str, Segment], list[_Stream]] = {}
        for name, one in list(self._streams.items()):
            if not one.generations and one.rate(now_s) < LEAST_RATE_PER_S:
                del self._streams[name]
            else:
                groups.setdefault((one.model_id, one.segment), []).append(one)
        loads = [_together(model_id, segment, streams, now_s) for (model_id, segment), streams in groups.items()]
        loads.sort(key=lambda one: -one.rate_per_s * one.busy_s)
        if len(loads) <= MAX_SEGMENT_LOADS:
            return tuple(loads)
        kept, groups_left = loads[: MAX_SEGMENT_LOADS - 1], loads[MAX_SEGMENT_LOADS - 1 :]
        left = [one for load in groups_left for one in groups[load.model_id, load.segment]]
        return (*kept, _together("", Segment(0, 0), left, now_s))

    def _of(self, stream: str, generation: int, model_id: str, segment: Segment, now_s: float) -> _Stream:
        known = self._streams.get(stream)
        if known is None:
            known = self._streams[stream] = _Stream(model_id, segment, now_s, generation)
        elif generation > known.newest:
            known.newest, known.model_id, known.segment, known.n_computed = generation, model_id, segment, 0
        return known


def _together(model_id: str, segment: Segment, streams: list[_Stream], now_s: float) -> SegmentLoad:
    """The mean work weighs by rate, so that rate and work multiply to what all bring."""
    rates = [one.rate(now_s) for one in streams]
    whole = sum(rates)
    shares = [rate / whole for rate in rates] if whole > 0.0 else [1.0 / len(rates)] * len(rates)
    return SegmentLoad(
        model_id=model_id,
        segment=segment,
        n_streams=len(streams),
        rate_per_s=whole,
        busy_s=sum(share * one.busy_s for share, one in zip(shares, streams, strict=True)),
        wait_s=sum(share * one.wait_s for share, one in zip(shares, streams, strict=True)),
    )
