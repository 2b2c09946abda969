"""Prepared segments: shared between generations, kept while held, dropped when nobody needs them."""

from __future__ import annotations

import pytest

from seamline.core.switching import PreparationMode
from seamline.core.vocabulary.errors import ModelError, PlanError
from seamline.core.vocabulary.plans import Plan, Segment
from seamline.runtime.segments.prepared import IDLE_S, PreparedSegments
from seamline.runtime.shared.clock import now_s

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


class ClosingEngine:
    name = "closing"

    def __init__(self) -> None:
        self.made: list[Closing] = []

    def prepare(self, model_id: str, segment: Segment) -> Closing:
        self.made.append(Closing())
        return self.made[-1]


class Closing:
    is_closed = False

    def close(self) -> None:
        self.is_closed = True


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


def test_a_segment_that_stays_idle_is_dropped_after_a_while_and_one_in_use_is_not():
    engine = CountingEngine()
    segments = PreparedSegments(engine)
    segments.prepare("a", 1, MODEL, FIRST, (0, 1))
    segments.prepare("b", 1, MODEL, FIRST, (1,))
    segments.release("a", 1)
    segments.tidy(now_s() + 0.9 * IDLE_S)
    segments.prepare("a", 2, MODEL, FIRST, (0,))
    assert len(engine.made) == 2
    segments.release("a", 2)
    segments.tidy(now_s() + 1.1 * IDLE_S)
    segments.prepare("a", 3, MODEL, FIRST, (0, 1))
    assert engine.made == [Segment(0, 2), Segment(2, 4), Segment(0, 2)]


def test_segments_of_other_forms_belong_to_one_generation_and_are_closed_with_it():
    engine, own = CountingEngine(), ClosingEngine()
    segments = PreparedSegments(engine, engines={PreparationMode.PRIVATE_WEIGHTS: own})
    segments.prepare("a", 1, MODEL, FIRST, (0,), PreparationMode.PRIVATE_WEIGHTS)
    segments.prepare("a", 2, MODEL, FIRST, (0,), PreparationMode.PRIVATE_WEIGHTS)
    segments.prepare("a", 3, MODEL, FIRST, (0,), PreparationMode.PRIVATE_SESSION)
    segments.prepare("a", 4, MODEL, FIRST, (0,), PreparationMode.PRIVATE_SESSION)
    assert (len(own.made), len(engine.made)) == (2, 2)
    segments.release("a", 1)
    assert [one.is_closed for one in own.made] == [True, False]
    segments.close()
    assert [one.is_closed for one in own.made] == [True, True]


def test_a_form_that_this_node_cannot_make_is_refused():
    with pytest.raises(PlanError, match="`container`"):
        PreparedSegments(CountingEngine()).prepare("a", 1, MODEL, FIRST, (0,), PreparationMode.CONTAINER)


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
