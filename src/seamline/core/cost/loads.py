"""Load of a node: what frames of all streams ask of it, as it reports it and as plans are priced by it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from seamline.core.vocabulary.plans import Segment

MAX_SEGMENT_LOADS = 16
"""In one report; what is beyond is added up in one that names no model."""


@dataclass(frozen=True, slots=True)
class StageLoad:
    """What one stream brings to one node: frames a second, and seconds of work of each."""

    rate_per_s: float = 0.0
    busy_s: float = 0.0

    @property
    def work(self) -> float:
        """Seconds of work a second."""
        return self.rate_per_s * self.busy_s


NO_LOAD = StageLoad()


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentLoad:
    """Load of a node by one segment of one model, whatever streams it is of; model_id "" for several together.

    busy_s: mean work of a frame. wait_s: mean wait of the frames lately, before they were computed.
    """

    model_id: str
    segment: Segment
    n_streams: int
    rate_per_s: float
    busy_s: float
    wait_s: float


@dataclass(frozen=True, slots=True)
class NodeLoad:
    """Sums over the streams j of a node, of rate r_j and work b_j of a frame; they make up its queue (`cost.waiting`).

    rate_per_s: of r_j. work: of r_j b_j, seconds of work a second. square_s: of r_j b_j^2. squared_work: of
    (r_j b_j)^2. n_streams: how many they are. n_workers: frames that it computes at once.
    """

    rate_per_s: float = 0.0
    work: float = 0.0
    square_s: float = 0.0
    squared_work: float = 0.0
    n_streams: float = 0
    n_workers: int = 1

    @property
    def spare(self) -> float:
        """Seconds of work a second that it could do besides, of one worker."""
        return max(0.0, self.n_workers - self.work)

    def plus(self, load: StageLoad) -> NodeLoad:
        """This load and that of one more stream."""
        return self._with(load, 1)

    def less(self, load: StageLoad) -> NodeLoad:
        """This load without that of one stream, as far as it is in it: nothing where there is no other."""
        return self._with(load, -1) if self.n_streams > 1 else NodeLoad(n_workers=self.n_workers)

    def scaled(self, factor: float) -> NodeLoad:
        """The load of that share of the streams."""
        return NodeLoad(
            self.rate_per_s * factor,
            self.work * factor,
            self.square_s * factor,
            self.squared_work * factor,
            self.n_streams * factor,
            self.n_workers,
        )

    def with_all(self, other: NodeLoad) -> NodeLoad:
        """This load, and all streams of `other` here."""
        return NodeLoad(
            self.rate_per_s + other.rate_per_s,
            self.work + other.work,
            self.square_s + other.square_s,
            self.squared_work + other.squared_work,
            self.n_streams + other.n_streams,
            self.n_workers,
        )

    def _with(self, load: StageLoad, sign: int) -> NodeLoad:
        return NodeLoad(
            max(0.0, self.rate_per_s + sign * load.rate_per_s),
            max(0.0, self.work + sign * load.work),
            max(0.0, self.square_s + sign * load.work * load.busy_s),
            max(0.0, self.squared_work + sign * load.work * load.work),
            self.n_streams + sign,
            self.n_workers,
        )


def node_load(segments: Iterable[SegmentLoad], n_workers: int = 1) -> NodeLoad:
    """Sums over what a node reports; streams of one segment are taken to be alike."""
    rate, work, square_s, squared_work, n_streams = 0.0, 0.0, 0.0, 0.0, 0
    for one in segments:
        own = one.rate_per_s * one.busy_s
        rate, work = rate + one.rate_per_s, work + own
        square_s, squared_work = square_s + own * one.busy_s, squared_work + own * own / max(1, one.n_streams)
        n_streams += one.n_streams
    return NodeLoad(rate, work, square_s, squared_work, n_streams, n_workers)
