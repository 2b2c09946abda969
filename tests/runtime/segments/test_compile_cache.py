"""The background compile cache: what it compiles, and what it leaves alone."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.plans import Plan, Segment
from seamline.model import OrtEngine
from seamline.runtime.segments.compile_cache import QUICK_S, BackgroundCompileCache, compile_segments
from seamline.runtime.segments.prepared import PreparedSegments

LONG_S = 2 * QUICK_S


class Artefacts:
    """An engine that knows which artefacts there are; `asked` when someone wants to know."""

    def __init__(self, kept: frozenset[Segment] = frozenset()) -> None:
        self.kept = kept
        self.asked: list[Segment] = []
        self.was_asked = threading.Event()

    def is_kept(self, model_id: str, segment: Segment) -> bool:
        self.asked.append(segment)
        self.was_asked.set()
        if segment not in self.kept:
            raise ModelError("no such model")  # ends the attempt before a process is started
        return True


def test_a_segment_is_looked_at_once_however_often_it_is_prepared() -> None:
    engine = Artefacts(kept=frozenset({Segment(0, 2), Segment(2, 4)}))
    cache = BackgroundCompileCache(engine, delay_s=0.0)  # type: ignore[arg-type] # a stand-in
    for _ in range(3):
        cache.on_prepared("m", Segment(0, 2), LONG_S)
    assert engine.was_asked.wait(10.0)
    cache.close()
    assert engine.asked == [Segment(0, 2)]


def test_quick_segments_and_those_after_the_end_are_left_alone() -> None:
    engine = Artefacts()
    cache = BackgroundCompileCache(engine, delay_s=0.0)  # type: ignore[arg-type] # a stand-in
    cache.on_prepared("m", Segment(0, 2), QUICK_S / 2)
    cache.close()
    cache.on_prepared("m", Segment(0, 2), LONG_S)
    assert engine.asked == []


def test_without_memory_for_a_thread_segments_run_uncompiled_until_there_is_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    engine = Artefacts(kept=frozenset({Segment(0, 2)}))
    cache = BackgroundCompileCache(engine, delay_s=0.0)  # type: ignore[arg-type] # a stand-in
    with monkeypatch.context() as short:
        short.setattr(threading.Thread, "start", refuse)
        cache.on_prepared("m", Segment(0, 2), LONG_S)
    cache.on_prepared("m", Segment(0, 2), LONG_S)
    assert engine.was_asked.wait(10.0)
    cache.close()


def test_a_model_that_is_gone_ends_nothing() -> None:
    engine = Artefacts()
    cache = BackgroundCompileCache(engine, delay_s=0.0)  # type: ignore[arg-type] # a stand-in
    cache.on_prepared("m", Segment(0, 2), LONG_S)
    assert engine.was_asked.wait(10.0)
    engine.was_asked.clear()
    cache.on_prepared("m", Segment(2, 4), LONG_S)
    assert engine.was_asked.wait(10.0)
    cache.close()


def test_a_prepared_segment_is_told_of_and_a_shared_one_only_once() -> None:
    class Engine:
        name = "none"

        def prepare(self, model_id: str, segment: Segment) -> object:
            return object()

    told: list[tuple[str, Segment]] = []
    segments = PreparedSegments(
        Engine(), on_prepared=lambda model_id, segment, took_s: told.append((model_id, segment))
    )
    plan = Plan.parse("edge[0:2]raw > fog[2:4]")
    for generation in (1, 2):
        segments.prepare("a", generation, "m", plan, (0,))
    assert told == [("m", Segment(0, 2))]


def test_the_process_compiles_what_a_node_has_prepared(bench, wait_until) -> None:
    """The real process: after it, there is an artefact of the segment."""
    model = bench.model
    engine = OrtEngine(bench.origin_store, 1)
    segment = Segment(0, model.whole.stop // 2)
    assert not engine.is_kept(model.model_id, segment)
    cache = BackgroundCompileCache(engine, delay_s=0.0)
    cache.on_prepared(model.model_id, segment, LONG_S)
    wait_until(lambda: engine.is_kept(model.model_id, segment), 60.0)
    cache.close()


def test_the_process_says_when_it_cannot(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        compile_segments(tmp_path, "0" * 64, [Segment(0, 2)])
