"""Load of a node: how long a stage put now would wait in its compute queue, estimated by the stages before it."""

from __future__ import annotations

JOB_GAIN = 0.2


def observe_job(mean_s: float, took_s: float) -> float:
    """Mean time (EWMA) of a node's stages, after one more that took `took_s`."""
    return mean_s + JOB_GAIN * (took_s - mean_s)


def queue_s(n_waiting: int, mean_s: float) -> float:
    """How long a stage put now would wait behind `n_waiting` others."""
    return n_waiting * mean_s
