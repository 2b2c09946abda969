"""Profile check: error of a profile's predictions on random segments, measured and predicted.

Nothing here is corrected for or learnt from; that is `profiler.py`'s and `core.link.estimator`'s work.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seamline.core.cost.profiled import profiled_s
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import Engine, RunnableSegment, Tensors
from seamline.core.vocabulary.profiles import Profile
from seamline.meters.profiler import fitting_tensor, random_tensor
from seamline.meters.rounds import Rounds

N_RUNS = 7
N_TOGETHER = 4
"""Segments prepared at once and run in turn, the whole model between rounds: none finds its own data in the caches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentCheck:
    """Check of a segment. predicted_s: by the profile. measured_s: median of its runs in quiet rounds (see `Rounds`).

    drift_ratio: how much longer the whole model took beside these runs than when it was profiled. A loaded or throttled
    machine is no error of the profile, real frames tell of it; so it is divided out of measured_s.
    """

    segment: Segment
    predicted_s: float
    measured_s: float
    drift_ratio: float

    @property
    def error_ratio(self) -> float:
        """By how much the prediction is too long (positive) or too short, relative to what was measured."""
        return self.predicted_s / self.measured_s - 1.0


def check_profile(
    engine: Engine,
    model_id: str,
    profile: Profile,
    *,
    n_segments: int,
    spent_s: Callable[[], float],
    between: Callable[[], object] = lambda: None,
    seed: int = 0,
) -> Iterator[SegmentCheck]:
    """Run `n_segments` random segments of a model that `engine` knows, or all there are, and compare with `profile`.

    spent_s: the clock that `profile` was measured with. between: called before each run, not timed.
    Raises `ModelError` when a segment does not run.
    """
    segments = random_segments(profile, n_segments, seed)
    for at in range(0, len(segments), N_TOGETHER):
        yield from _check_together(engine, model_id, profile, segments[at : at + N_TOGETHER], spent_s, between, seed)


def random_segments(profile: Profile, n_segments: int, seed: int) -> list[Segment]:
    """Different segments between candidate cuts (or the ends), each as likely; all there are if they are fewer."""
    last = profile.cuts[-1].index
    ends = [cut.index for cut in profile.cuts if cut.is_candidate or cut.index in (0, last)]
    every = [Segment(start, stop) for start in ends for stop in ends if start < stop]
    return random.Random(seed).sample(every, min(n_segments, len(every)))


def error_quantiles(checks: Sequence[SegmentCheck]) -> tuple[float, float]:
    """Median and 90th percentile of the errors' size."""
    median, p90 = np.quantile([abs(check.error_ratio) for check in checks], (0.5, 0.9))
    return float(median), float(p90)


def _check_together(
    engine: Engine,
    model_id: str,
    profile: Profile,
    segments: Sequence[Segment],
    spent_s: Callable[[], float],
    between: Callable[[], object],
    seed: int,
) -> Iterator[SegmentCheck]:
    whole_s = profile.whole_s.median
    together = [Segment(0, profile.cuts[-1].index), *segments]
    runnable = [engine.prepare(model_id, segment) for segment in together]
    feeds = [_feed(engine, model_id, segment, ready, seed) for segment, ready in zip(together, runnable, strict=True)]

    def run(at: int) -> float:
        between()
        begin_s = spent_s()
        outputs = runnable[at].run(feeds[at])
        took_s = spent_s() - begin_s
        del outputs  # as a stage lets go of its results: not while the clock runs
        return took_s

    run(0)  # warms up
    rounds: Rounds[int] = Rounds({at: [] for at in range(1, len(together))}, [run(0)])
    for _ in range(N_RUNS + 1):
        for at, times_s in rounds.times_s.items():
            times_s.append(run(at))
        rounds.anchors_s.append(run(0))
    for at, measured in rounds.quantiles_s(whole_s).items():
        yield SegmentCheck(
            segment=together[at],
            predicted_s=profiled_s(profile, together[at]),
            measured_s=measured.median,
            drift_ratio=float(np.median(rounds.anchors_s)) / whole_s,
        )


def _feed(engine: Engine, model_id: str, segment: Segment, ready: RunnableSegment, seed: int) -> Tensors:
    """Outputs of the layers before `segment` on random inputs."""
    known: Tensors = {}
    if segment.start > 0:
        before = engine.prepare(model_id, Segment(0, segment.start))
        first = {spec.name: random_tensor(spec, seed + at) for at, spec in enumerate(before.inputs)}
        known = before.run(first)
    return {spec.name: fitting_tensor(known.get(spec.name), spec, seed) for spec in ready.inputs}
