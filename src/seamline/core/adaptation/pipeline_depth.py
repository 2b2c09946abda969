"""Pipeline depth: the number of frames in flight at which the bottleneck never idles and no frame queues.

A frame takes `latency_s`, and the slowest stage or link of the plan is free again every `bottleneck_s`: x = latency_s /
bottleneck_s frames fill the pipeline. Where the source brings frames more slowly than that, they never meet, and one
more or less in flight is no matter. Where it brings more, n > x frames queue for the bottleneck: each takes
n bottleneck_s, and one is answered every bottleneck_s. With n < x none waits, and one is answered every latency_s / n.
The newest answer is as old as a frame takes and half of the time between two, on average, so n + 1 frames are better
than n where x (1 + 1 / 2n) > n + 3/2.

A frame that sets out no sooner than `bottleneck_s` after the one before finds the bottleneck free. So a source that
waits for room may have x frames in flight beyond that depth, rounded up, that far apart: the pace of a full pipeline,
at the latency of an empty one. Not so a live one, whose newest frame matters: where links vary, the frame ahead is held
up, and that cost 1 % in mean latency over twelve recorded networks at 10 frames/s (worst 7 %).
"""

from __future__ import annotations

import math

from seamline.core.vocabulary.objectives import Goal, Objective, Weights

MAX_IN_FLIGHT = 8

LEAST_GAIN = 0.15
"""One frame more must fill so much of itself: where x is 1.1, an error of the prediction is as large."""


def wants_pace(goal: Goal) -> bool:
    """Whether `goal` asks for answers at a high pace, at the price of frames that wait in a full pipeline."""
    return goal.bottleneck_s > 0.0 if isinstance(goal, Weights) else goal is Objective.THROUGHPUT


def pipeline_depth(latency_s: float, bottleneck_s: float, *, period_s: float, wants_pace: bool) -> int:
    """Frames that may be in flight at once, 1 to `MAX_IN_FLIGHT`.

    period_s: between two frames of the source, 0.0 when it waits for room. wants_pace: fill the pipeline whatever the
    source brings.
    """
    n_filling = latency_s / bottleneck_s if bottleneck_s > 0.0 else math.inf
    if n_filling >= MAX_IN_FLIGHT:
        return MAX_IN_FLIGHT
    if wants_pace:
        return min(MAX_IN_FLIGHT, int(n_filling) + 1)
    if period_s >= bottleneck_s:
        return max(1, round(n_filling))
    n = max(1, int(n_filling))
    is_one_more_better = n_filling * (1.0 + 0.5 / n) > n + 1.5
    return n + 1 if is_one_more_better else n


def paced_depth(latency_s: float, bottleneck_s: float) -> int:
    """Frames that may be in flight at once, 1 to `MAX_IN_FLIGHT`, if each sets out `bottleneck_s` after another."""
    n_filling = latency_s / bottleneck_s if bottleneck_s > 0.0 else math.inf
    return MAX_IN_FLIGHT if n_filling >= MAX_IN_FLIGHT else max(1, math.ceil(n_filling - LEAST_GAIN))
