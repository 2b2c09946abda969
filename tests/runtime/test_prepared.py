"""Prepared segments: shared between generations, kept while held, dropped when nobody needs them."""

from __future__ import annotations

import pytest

from seamline.core.errors import ModelError, PlanError
from seamline.core.values import Plan, Segment
from seamline.runtime.prepared import PreparedSegments

MODEL = "m" * 64
FIRST = Plan.parse("edge[0:2]raw > fog[2:4]")
SECOND = Plan.parse("edge[0:3]raw > fog[3:4]")


class CountingEngine:
    name = "counting"

    def __init__(self) -> None:
        self.made: list[Segment] = []

    def prepare(self, model_id: str, segment: Segment) -> object:
        if segment == Segment(0, 3):
            raise ModelError("no memory")
        self.made.append(segment)
        return object()


def test_generations_with_the_same_layers_share_one_segment():
    engine = CountingEngine()
    segments = PreparedSegments(engine)
    segments.prepare("a", 1, MODEL, FIRST, (0,))
    segments.prepare("b", 1, MODEL, FIRST, (0,))
    assert engine.made == [Segment(0, 2)]
    assert segments.find("a", 1, 0) is segments.find("b", 1, 0)


def test_a_released_generation_is_not_found_and_its_segment_stays_for_a_switch_back():
    engine = CountingEngine()
    segments = PreparedSegments(engine, keep_idle=1)
    segments.prepare("a", 1, MODEL, FIRST, (0,))
    segments.release("a", 1)
    with pytest.raises(PlanError, match="not prepared"):
        segments.find("a", 1, 0)
    segments.prepare("a", 2, MODEL, FIRST, (0,))
    assert engine.made == [Segment(0, 2)]


def test_idle_segments_beyond_the_limit_are_dropped():
    engine = CountingEngine()
    segments = PreparedSegments(engine, keep_idle=0)
    segments.prepare("a", 1, MODEL, FIRST, (1,))
    segments.release("a", 1)
    segments.prepare("a", 2, MODEL, FIRST, (1,))
    assert engine.made == [Segment(2, 4), Segment(2, 4)]


def test_a_generation_that_cannot_be_made_holds_nothing():
    segments = PreparedSegments(CountingEngine())
    with pytest.raises(ModelError):
        segments.prepare("a", 1, MODEL, SECOND, (0, 1))
    assert segments.n_generations == 0


def test_releasing_a_stream_releases_all_its_generations():
    segments = PreparedSegments(CountingEngine())
    segments.prepare("a", 1, MODEL, FIRST, (0,))
    segments.prepare("a", 2, MODEL, FIRST, (1,))
    segments.prepare("b", 1, MODEL, FIRST, (0,))
    segments.release("a", -1)
    assert segments.n_generations == 1
