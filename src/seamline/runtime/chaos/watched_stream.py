"""A stream whose answers are known beforehand: what it answers, when, and what is wrong with that.

The oracle of `seamline chaos` for frames: each accepted one is answered once, in order, without an error, and as the
unsplit model answers the same picture.
"""

from __future__ import annotations

import itertools
import threading
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np

from seamline.core.vocabulary.ports import Array, Engine, FrameArray
from seamline.heads.agreement import relative_error
from seamline.model import StoredModel
from seamline.model.metadata.preprocess import FRAME
from seamline.runtime.api.stream import DRAIN_TIMEOUT_S, Stream
from seamline.runtime.origin.results import Result
from seamline.runtime.shared.clock import now_s

TOLERANCE = 1e-4
"""Relative deviation that other fused kernels may cause, as `seamline verify` accepts it; a wrong frame has about 1."""

N_PICTURES = 8
MOST_COMPLAINTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAnswers:
    """Pictures, uint8[H, W, 3], and what the unsplit model answers to each."""

    pictures: tuple[FrameArray, ...]
    outputs: tuple[dict[str, Array], ...]

    @staticmethod
    def of(engine: Engine, model: StoredModel, seed: int) -> KnownAnswers:
        """Of random pictures, every one another. model: one that takes pictures."""
        assert model.preprocess is not None
        rng = np.random.default_rng(seed)
        shape = (N_PICTURES, model.preprocess.height, model.preprocess.width, 3)
        pictures = tuple(rng.integers(0, 256, shape, dtype=np.uint8))
        whole = engine.prepare(model.model_id, model.whole)
        return KnownAnswers(pictures=pictures, outputs=tuple(dict(whole.run({FRAME: picture})) for picture in pictures))

    def deviation(self, result: Result) -> float:
        """Of an answer to one of the pictures, in their order over and over."""
        assert result.stamp is not None
        expected = self.outputs[result.stamp.number % len(self.outputs)]
        if result.outputs.keys() != expected.keys():
            return float("inf")
        return relative_error(result.outputs, expected)


class WatchedStream:
    """Runs `stream` on pictures without end at a camera's pace, on a thread of its own, until `finish`."""

    def __init__(self, stream: Stream, known: KnownAnswers, fps: float) -> None:
        self.stream = stream
        self.largest_deviation = 0.0
        self.complaints: list[str] = []
        self._known = known
        self._fps = fps
        self._arrived_s = array("d")
        self._lost_s: list[float] = []
        self._thread = threading.Thread(target=self._run, name=f"watched {stream.model.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def last_answer_s(self) -> float:
        return self._arrived_s[-1] if self._arrived_s else 0.0

    def finish(self) -> None:
        """Accept no more frames, wait for the answers that are due, and miss those that did not come."""
        self.stream.stop()
        self._thread.join(DRAIN_TIMEOUT_S + 5.0)
        if self._thread.is_alive():
            self._complain("it does not end")
        n_missing = self.stream.frames.counts().accepted - len(self._arrived_s) - len(self._lost_s)
        self._lose(n_missing)

    def n_answers(self, from_s: float, to_s: float) -> int:
        return bisect_right(self._arrived_s, to_s) - bisect_left(self._arrived_s, from_s)

    def n_lost(self, from_s: float, to_s: float) -> int:
        """Accepted frames without an answer, by when the next one was answered."""
        return sum(from_s <= at_s <= to_s for at_s in self._lost_s)

    def gap_s(self, from_s: float, to_s: float) -> float:
        """The longest time without an answer that touches this span."""
        first = max(0, bisect_left(self._arrived_s, from_s) - 1)
        arrived_s = self._arrived_s[first : bisect_right(self._arrived_s, to_s) + 1] or array("d", [from_s, to_s])
        return max((later - earlier for earlier, later in itertools.pairwise(arrived_s)), default=to_s - from_s)

    def _run(self) -> None:
        try:
            pictures = itertools.cycle(self._known.pictures)
            for result in self.stream.run(pictures, fps=self._fps, live=True):
                self._take(result)
        except Exception as error:  # whatever it is, the run goes on with the other stream and fails at its end
            self._complain(f"it ended with {error!r}")

    def _take(self, result: Result) -> None:
        n_due = len(self._arrived_s) + len(self._lost_s)
        if result.frame < n_due:
            self._complain(f"frame {result.frame} came again, or late: {n_due} was due")
            return
        self._lose(result.frame - n_due)
        self._arrived_s.append(now_s())
        if result.error is not None:
            self._complain(f"frame {result.frame} failed: {result.error}")
            return
        deviation = self._known.deviation(result)
        self.largest_deviation = max(self.largest_deviation, deviation)
        if not deviation <= TOLERANCE:
            self._complain(f"frame {result.frame} by {result.plan} deviates by {deviation:.2g} from the unsplit model")

    def _lose(self, n_frames: int) -> None:
        if n_frames > 0:
            self._complain(f"{n_frames} accepted frames were not answered")
            self._lost_s += [now_s()] * n_frames

    def _complain(self, words: str) -> None:
        if len(self.complaints) < MOST_COMPLAINTS:
            self.complaints.append(f"stream of {self.stream.model.name}: {words}")
