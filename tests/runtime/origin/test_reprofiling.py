"""A node that frames left because it was slow is asked again, and used again; so is the origin in `tests/core`."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from seamline.core.speed import reprofiling as recheck
from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Segment
from seamline.runtime.api.stream import Stream


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions after 0.2 s in place of 2, so that the tests are quick; when to ask is tested in `tests/core`."""
    monkeypatch.setattr(recheck, "FIRST_INTERVAL_S", 0.2)


@contextmanager
def _flowing(stream: Stream) -> Iterator[None]:
    """Frames flow through `stream` meanwhile, too slowly to queue up anywhere."""
    frame = np.zeros((32, 32, 3), np.uint8)
    flow = threading.Thread(target=lambda: list(stream.run(itertools.repeat(frame), fps=10)))
    flow.start()
    try:
        yield
    finally:
        stream.stop()
        flow.join(timeout=10.0)


def test_a_node_that_recovers_is_used_again_though_no_frame_went_to_it(bench, wait_until):
    bench.start("edge")
    bench.start("fog")
    bench.link("edge", "fog", 400e6, delay_s=0.001)
    stream = bench.stream()
    with _flowing(stream):
        wait_until(lambda: not stream.plan.is_local)
        bench.engines["fog"].slowdown = 20.0
        wait_until(lambda: stream.plan.is_local)
        bench.engines["fog"].slowdown = 1.0
        wait_until(lambda: not stream.plan.is_local)  # why it moved is said in virtual time: tests/core/session


def test_a_segment_that_is_not_there_is_no_answer_and_no_harm(bench):
    bench.start("edge")
    fog = bench.start("fog")
    bench.link("edge", "fog", 400e6)
    model, whole = bench.model.model_id, bench.model.whole
    assert fog.client.time_segment(NodeId("edge"), model, whole).result(timeout=10) >= 0.04
    assert bench.nodes["edge"].client.time_segment(NodeId("edge"), model, whole).result(timeout=10) >= 0.04
    for model_id, segment in (("0" * 64, whole), (model, Segment(0, 999))):
        with pytest.raises(ModelError, match="`edge` cannot run it"):
            fog.client.time_segment(NodeId("edge"), model_id, segment).result(timeout=10)
