"""The oracle sees answers that are wrong, missing, doubled, late or an error, and a stream that breaks."""

from array import array
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from seamline.core.session.frame_counts import FrameCounts
from seamline.core.vocabulary.stamps import FrameStamp
from seamline.runtime.chaos.watched_stream import KnownAnswers, WatchedStream

KNOWN = KnownAnswers(
    pictures=tuple(np.full((2, 2, 3), value, np.uint8) for value in range(3)),
    outputs=tuple({"scores": np.array([value, 1.0], np.float32)} for value in range(3)),
)


def answer(frame: int, *, picture: int | None = None, value: float | None = None, error: str | None = None) -> Any:
    """Frame `frame` made from picture number `picture`, answered as it should be unless `value` is given."""
    number = frame if picture is None else picture
    scores = np.array([number % 3 if value is None else value, 1.0], np.float32)
    stamp = FrameStamp(source="list", number=number, at_s=None, unix_s=0.0)
    outputs = {} if error else {"scores": scores}
    return SimpleNamespace(frame=frame, outputs=outputs, error=error, stamp=stamp, plan="edge[0:2]")


class Answering:
    """A stream that gives `results`, each when it is asked for it, after `n_accepted` frames."""

    def __init__(self, results: list[Any], n_accepted: int | None = None) -> None:
        self.model = SimpleNamespace(name="toy")
        self.frames = SimpleNamespace(counts=lambda: FrameCounts(accepted=n_accepted or len(results)))
        self._results = results

    def run(self, pictures: Any, *, fps: float, live: bool) -> Iterator[Any]:
        assert live
        for result in self._results:
            if isinstance(result, Exception):
                raise result
            yield result

    def stop(self) -> None: ...


def watched(results: list[Any], n_accepted: int | None = None) -> WatchedStream:
    made = WatchedStream(Answering(results, n_accepted), KNOWN, fps=10.0)  # type: ignore[arg-type]
    made.start()
    made.finish()
    return made


def test_right_answers_in_order_are_nothing_to_complain_of_also_when_a_camera_dropped_pictures():
    found = watched([answer(0), answer(1, picture=2), answer(2, picture=7)])
    assert found.complaints == []
    assert found.largest_deviation == 0.0
    assert found.n_answers(0.0, found.last_answer_s) == 3


@pytest.mark.parametrize(
    ("results", "n_accepted", "words"),
    [
        ([answer(0), answer(1, value=0.5)], None, "frame 1 by edge[0:2] deviates by 0.35 from the unsplit model"),
        ([answer(0, value=float("nan"))], None, "frame 0 by edge[0:2] deviates by nan from the unsplit model"),
        ([answer(0), answer(2)], 3, "1 accepted frames were not answered"),
        ([answer(0)], 4, "3 accepted frames were not answered"),
        ([answer(0), answer(0)], 1, "frame 0 came again, or late: 1 was due"),
        ([answer(0, error="gave up")], None, "frame 0 failed: gave up"),
        ([answer(0), OSError("gone")], 1, "it ended with OSError('gone')"),
    ],
)
def test_what_must_not_be_is_said(results, n_accepted, words):
    assert watched(results, n_accepted).complaints == [f"stream of toy: {words}"]


def test_lost_frames_belong_to_the_span_in_which_they_were_missed():
    found = watched([answer(0), answer(3)], 4)
    assert found.n_lost(0.0, found.last_answer_s) == 2
    assert found.n_lost(0.0, found.last_answer_s - 60.0) == 0


def test_a_gap_reaches_over_the_ends_of_the_span_that_it_touches():
    found = watched([answer(number) for number in range(4)])
    found._arrived_s[:] = array("d", [10.0, 11.0, 14.0, 15.0])
    assert found.gap_s(12.0, 13.0) == 3.0
    assert found.gap_s(10.5, 10.6) == 1.0
    assert found.gap_s(14.5, 20.0) == 1.0
