"""Moves the cut of a running stream to and fro, and says what each switch did. The stream itself is made in `cell.py`.

Times come from one monotonic clock in this process. A switch that is refused (a node went away, a container had no
memory) is written down with its reason, and the next one is tried.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from experiments.neukonfig_2021.conditions import RATES_MBPS, Cell, turn
from experiments.neukonfig_2021.memory import MemoryWatch, memory_of
from seamline.core.session.commands import SwitchRecord
from seamline.core.switching import PreparationMode, strategy_named
from seamline.core.vocabulary.errors import SeamlineError
from seamline.core.vocabulary.plans import Plan
from seamline.runtime.api.stream import Stream
from seamline.runtime.origin.results import Result
from seamline.runtime.shared.clock import now_s
from seamline.testbed.relay import Network

WARM_S = 2.0
SETTLE_S = 0.6
GRID_QUIET_S = 1.0
SWITCH_TIMEOUT_S = 90.0
LATE_FACTOR = 2.0
N_SURELY = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one switch did. Terms of equations 2-5 of the paper in seconds, 0 where a strategy has none.

    to_mbps: what the link became. downtime_s: by the strategy's equation, that of `spawn` for a standby whose guess was
    wrong. edge_gap_s: the edge accepted nothing. answer_gap_s: longest time between two answers around it, less the
    usual one. degraded_s: from the change of the link to the new plan serving. n_dropped: camera frames dropped between
    request and settling, beyond the usual. n_late: answers that took more than twice the usual time. latency_s: medians
    before, during, after.
    """

    to_mbps: float
    t_update_s: float
    t_initialisation_s: float
    t_exec_s: float
    t_switch_s: float
    downtime_s: float
    prepare_s: float
    edge_gap_s: float
    answer_gap_s: float
    degraded_s: float
    n_dropped: int
    n_late: int
    latency_before_s: float
    latency_during_s: float
    latency_after_s: float
    sent_bytes: int
    is_wrong_guess: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A stream to work on. plans: by their place in `RATES_MBPS`. pids: of the edge (this process) and the cloud."""

    stream: Stream
    plans: Sequence[Plan]
    network: Network
    pids: tuple[int, int]


class Answers:
    """Every answer of a stream as it is delivered, with its times."""

    def __init__(self, stream: Stream, frames: Iterator[np.ndarray], fps: float) -> None:
        self._stream, self._frames, self._fps = stream, frames, fps
        self._lock = threading.Lock()
        self._taken: list[tuple[float, float]] = []
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for result in self._stream.run(self._frames, fps=self._fps, live=True):
            self._take(result)

    def _take(self, result: Result) -> None:
        with self._lock:
            self._taken.append((result.accepted_s + result.latency_s, result.latency_s))

    def between(self, from_s: float, to_s: float) -> list[tuple[float, float]]:
        """(answered at, latency) of the answers in a stretch of time."""
        with self._lock:
            return sorted(one for one in self._taken if from_s <= one[0] <= to_s)

    def end(self) -> None:
        self._thread.join(timeout=60.0)


@contextmanager
def filmed(bench: Bench, fps: float) -> Iterator[Answers]:
    """A camera films into the stream; at the end its last frames are waited for."""
    ended = threading.Event()
    answers = Answers(bench.stream, camera(ended), fps)
    try:
        yield answers
    finally:
        ended.set()
        bench.stream.stop()
        answers.end()


def camera(ended: threading.Event) -> Iterator[np.ndarray]:
    """Random frames at network size, the same every time."""
    frames = np.random.default_rng(7).integers(0, 256, (8, 224, 224, 3), dtype=np.uint8)
    number = 0
    while not ended.is_set():
        yield frames[number % len(frames)]
        number += 1


def switch_in_turn(cell: Cell, bench: Bench) -> dict[str, Any]:
    """`n_switches` switches, one every `period_s`, and what each did; counts are those of the whole stream."""
    with filmed(bench, cell.fps) as answers:
        time.sleep(WARM_S)
        watch = MemoryWatch(bench.pids)
        before = watch.reset()
        get_standby(cell, bench)
        time.sleep(SETTLE_S)
        measured = switches_of(cell, bench, answers, quiet_s=max(WARM_S, 2 * cell.period_s))
        time.sleep(max(1.0, cell.period_s))
        peak, after = watch.peak, memory_of(bench.pids)
        watch.close()
    measured["frames"] |= counts_of(bench.stream)
    return {
        **measured,
        "memory": {"before": asdict(before), "peak": asdict(peak), "after": asdict(after)},
        "fps_answered": measured["frames"]["answered"] / max(1e-9, now_s() - bench.stream.recorder.started_s),
    }


def counts_of(stream: Stream) -> dict[str, int]:
    """What has become of the frames of `stream`."""
    counts = stream.frames.counts()
    names = ("accepted", "answered", "lost", "duplicated", "out_of_order")
    return {**{name: getattr(counts, name) for name in names}, "dropped": counts.dropped_before_acceptance}


def switches_of(cell: Cell, bench: Bench, answers: Answers, *, quiet_s: float) -> dict[str, Any]:
    """After `quiet_s` without a switch, which says what is usual: the switches, those refused, and the usual drops."""
    counts = bench.stream.frames.counts
    began_s, n_dropped = now_s(), counts().dropped_before_acceptance
    time.sleep(quiet_s)
    dropped_per_s = (counts().dropped_before_acceptance - n_dropped) / quiet_s
    usual_s = statistics.median([latency for _, latency in answers.between(began_s, now_s())] or [0.0])
    seen, refused = [], []
    began_s = now_s()
    for number in range(cell.n_switches):
        if number >= N_SURELY and cell.budget_s is not None and now_s() - began_s > cell.budget_s:
            break
        place = turn(number, cell.n_plans)
        try:
            seen.append(_one_switch(cell, bench, answers, place, dropped_per_s, usual_s))
        except (SeamlineError, FutureTimeout) as error:
            refused.append({"plan": str(bench.plans[place]), "reason": str(error) or "no word in time"})
            time.sleep(SETTLE_S)
    return {
        "switches": [asdict(one) for one in seen],
        "refused": refused,
        "frames": {"dropped_per_s_usual": dropped_per_s},
    }


def get_standby(cell: Cell, bench: Bench) -> None:
    """Give a standby its first guess: no other link speed has been seen yet."""
    bench.stream.stand_by(bench.plans[1])
    until_s = now_s() + SWITCH_TIMEOUT_S
    keeps_standby = strategy_named(cell.strategy).keeps_standby
    while keeps_standby and bench.stream.controller.standby is None and now_s() < until_s:
        time.sleep(0.05)


def _one_switch(cell: Cell, bench: Bench, answers: Answers, place: int, dropped_per_s: float, usual_s: float) -> Seen:
    stream, target = bench.stream, bench.plans[place]
    began_s = now_s()
    n_dropped = stream.frames.counts().dropped_before_acceptance
    is_wrong = strategy_named(cell.strategy).keeps_standby and stream.controller.standby != target
    if cell.is_shaped:
        bench.network.set_link("edge", "cloud", rate_mbps=RATES_MBPS[place])
    record = stream.switch(target).result(timeout=SWITCH_TIMEOUT_S)
    served_s = record.at_s + record.prepare_s
    time.sleep(max(0.0 if cell.is_grid else SETTLE_S, cell.period_s - (now_s() - began_s)))
    ended_s = now_s()
    n_dropped = stream.frames.counts().dropped_before_acceptance - n_dropped
    around = answers.between(began_s - 2.0 / cell.fps, ended_s)
    before = [latency for at_s, latency in answers.between(began_s - 2.0, began_s)]
    during = [latency for at_s, latency in around if record.at_s <= at_s <= served_s + usual_s]
    after = [latency for at_s, latency in around if at_s > served_s + usual_s]
    intervals = [there[0] - here[0] for here, there in pairwise(around)]
    return Seen(
        to_mbps=RATES_MBPS[place],
        **_terms(record, is_wrong),
        prepare_s=record.prepare_s,
        edge_gap_s=record.pause_s + record.switch_s,
        answer_gap_s=max(0.0, max(intervals, default=0.0) - 1.0 / cell.fps),
        degraded_s=served_s - began_s,
        n_dropped=max(0, round(n_dropped - dropped_per_s * (ended_s - began_s))),
        n_late=sum(latency > LATE_FACTOR * usual_s for _, latency in around),
        latency_before_s=statistics.median(before or [0.0]),
        latency_during_s=statistics.median(during or before or [0.0]),
        latency_after_s=statistics.median(after or [0.0]),
        sent_bytes=record.sent_bytes,
        is_wrong_guess=is_wrong,
    )


def _terms(record: SwitchRecord, is_wrong_guess: bool) -> dict[str, float]:
    """The terms of equations 2-5 that this strategy has, and its downtime by its equation."""
    named = strategy_named(record.strategy)
    terms = {"t_update_s": 0.0, "t_initialisation_s": 0.0, "t_exec_s": 0.0, "t_switch_s": record.switch_s}
    equation = named.equation
    if is_wrong_guess:  # made on demand, as by spawn
        equation = strategy_named("spawn-container" if named.mode is PreparationMode.CONTAINER else "spawn").equation
    match equation:
        case "t_update":
            terms["t_update_s"] = record.pause_s + record.switch_s
            downtime_s = terms["t_update_s"]
        case "t_initialisation + t_switch":
            terms["t_initialisation_s"] = record.prepare_s - record.switch_s
            downtime_s = record.prepare_s
        case "t_exec + t_switch":
            terms["t_exec_s"] = record.prepare_s - record.switch_s
            downtime_s = record.prepare_s
        case _:
            terms["t_exec_s"] = record.load_s if record.strategy == "live" else 0.0
            downtime_s = record.switch_s
    return {**terms, "downtime_s": downtime_s}
