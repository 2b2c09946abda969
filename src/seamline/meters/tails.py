"""Profile of a device that computes a few tails of a model and nothing else, such as models deployed on a server.

Each tail is timed whole, so a plan that hands over there takes what was measured; what lies between two of them is
their difference.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Mapping

from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import Engine
from seamline.core.vocabulary.profiles import (
    Block,
    Boundary,
    CodecCost,
    Cut,
    DeviceInfo,
    FrameInfo,
    ModelInfo,
    Profile,
    Quantiles,
)
from seamline.meters.profiler import accepted_input

MIN_RUNS, MAX_RUNS = 3, 25
LEAST_S = 1e-6


def profile_tails(
    engine: Engine,
    model_id: str,
    model_name: str,
    cuts: tuple[Cut, ...],
    device: DeviceInfo,
    tails: tuple[int, ...],
    *,
    frame: FrameInfo | None,
    budget_s: float,
    now_s: Callable[[], float],
    codecs: tuple[CodecCost, ...] = (),
) -> Profile:
    """Measure the segments from each of `tails`, in order, to the end, spending about `budget_s`.

    Raises `ModelError` when one does not run.
    """
    last = cuts[-1].index
    taken_s = {start: _time(engine, model_id, Segment(start, last), budget_s / len(tails), now_s) for start in tails}
    blocks, boundaries = _between(taken_s, last)
    return Profile(
        model=ModelInfo(name=model_name, sha256=model_id),
        device=device,
        cuts=cuts,
        blocks=blocks,
        whole_s=taken_s[tails[0]],
        frame=frame,
        codecs=codecs,
        boundaries=boundaries,
        tails=tails,
    )


def _time(engine: Engine, model_id: str, segment: Segment, budget_s: float, now_s: Callable[[], float]) -> Quantiles:
    ready = engine.prepare(model_id, segment)
    feed = accepted_input(ready, 0)
    until_s, took_s = now_s() + budget_s, list[float]()
    while len(took_s) < MIN_RUNS or (len(took_s) < MAX_RUNS and now_s() < until_s):
        begun_s = now_s()
        ready.run(feed)
        took_s.append(now_s() - begun_s)
    median_s = statistics.median(took_s)
    return Quantiles(median=median_s, p90=max(median_s, statistics.quantiles(took_s, n=10)[-1]))


def _between(taken_s: Mapping[int, Quantiles], last: int) -> tuple[tuple[Block, ...], tuple[Boundary, ...]]:
    """Blocks and overheads by which a segment from each tail to `last` takes what was measured."""
    edges = sorted({0, *taken_s, last})
    known = {last: 0.0} | {start: times.median for start, times in taken_s.items()}
    blocks = [
        Block(from_cut=here, to_cut=there, compute_s=_span(known.get(here, 0.0), known[there]))
        for here, there in itertools.pairwise(edges)
    ]
    boundaries, rest_s = [], 0.0
    for block in reversed(blocks):
        rest_s += block.compute_s.median
        missing_s = known.get(block.from_cut, 0.0) - rest_s
        if block.from_cut > 0 and missing_s > 0.0:
            boundaries.append(Boundary(cut=block.from_cut, overhead_s=2.0 * missing_s))
    return tuple(blocks), tuple(boundaries)


def _span(before_s: float, after_s: float) -> Quantiles:
    span_s = max(LEAST_S, before_s - after_s)
    return Quantiles(median=span_s, p90=span_s)
