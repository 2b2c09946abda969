"""Claims about a node's load meter: what is expected counts before the first frame, what comes corrects it."""

from __future__ import annotations

import pytest

from seamline.core.cost.loads import MAX_SEGMENT_LOADS, StageLoad, node_load
from seamline.core.hosting.load_meter import LoadMeter
from seamline.core.vocabulary.plans import Segment

TAIL = Segment(3, 9)


def fed(meter: LoadMeter, stream: str, fps: float, seconds: float, busy_s: float = 0.02, generation: int = 1) -> float:
    for number in range(round(fps * seconds)):
        meter.arrived(stream, generation, "m", TAIL, number / fps)
        meter.computed(stream, generation, 0.01, busy_s)
    return seconds


def test_load_counts_from_the_moment_it_is_expected():
    meter = LoadMeter()
    meter.expect("s", 1, "m", TAIL, StageLoad(10.0, 0.03), 0.0)
    (one,) = meter.report(0.0)
    assert (one.rate_per_s, one.busy_s, one.n_streams) == (10.0, 0.03, 1)


def test_rate_becomes_that_of_the_frames_that_come():
    meter = LoadMeter()
    meter.expect("s", 1, "m", TAIL, StageLoad(50.0, 0.5), 0.0)
    (one,) = meter.report(fed(meter, "s", 10.0, 20.0))
    assert one.rate_per_s == pytest.approx(10.0, rel=0.05)
    assert one.busy_s == pytest.approx(0.02)
    assert one.wait_s == pytest.approx(0.01)


def test_plan_that_only_stands_by_fades():
    meter = LoadMeter()
    meter.expect("s", 1, "m", TAIL, StageLoad(10.0, 0.03), 0.0)
    assert node_load(meter.report(30.0)).work < 0.001


def test_released_stream_is_forgotten_with_its_last_generation():
    meter = LoadMeter()
    meter.expect("s", 1, "m", TAIL, StageLoad(10.0, 0.03), 0.0)
    meter.expect("s", 2, "m", Segment(5, 9), StageLoad(10.0, 0.01), 1.0)
    meter.released("s", 1)
    (one,) = meter.report(1.0)
    assert one.segment == Segment(5, 9)
    assert one.busy_s == 0.01
    meter.released("s", 2)
    assert meter.report(1.0) == ()


def test_stream_counts_once_however_many_generations_it_has():
    meter = LoadMeter()
    for generation in (1, 2, 3):
        meter.expect("s", generation, "m", TAIL, StageLoad(10.0, 0.03), 0.0)
    (one,) = meter.report(0.0)
    assert one.rate_per_s == 10.0


def test_report_is_bounded_and_loses_no_load():
    meter = LoadMeter()
    for number in range(100):
        meter.expect(f"s{number}", 1, "m", Segment(number, 200), StageLoad(1.0, 0.001 * (number + 1)), 0.0)
    loads = meter.report(0.0)
    assert len(loads) == MAX_SEGMENT_LOADS
    assert node_load(loads).work == pytest.approx(sum(0.001 * (number + 1) for number in range(100)))
    assert sum(one.n_streams for one in loads) == 100
