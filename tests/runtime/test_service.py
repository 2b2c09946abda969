"""What a node is asked to do is answered, whatever happens to it meanwhile."""

from __future__ import annotations

import pytest

from seamline.core.errors import ModelError, PlanError
from seamline.core.values import NodeId, Plan

FOG = NodeId("fog")


@pytest.fixture
def edge(bench):
    bench.start("edge")
    bench.start("fog")
    bench.link("edge", "fog", 400e6)
    return bench.nodes["edge"]


def throw(*arguments: object) -> None:
    raise ZeroDivisionError("of its own")


def test_a_profile_that_fails_in_any_way_is_answered_with_the_reason(edge, bench, monkeypatch):
    monkeypatch.setattr(bench.nodes["fog"].service._profiler, "profile", throw)
    with pytest.raises(PlanError, match=r"`fog` cannot profile: ZeroDivisionError: of its own"):
        edge.profile(FOG, bench.model.model_id, 1.0).result(timeout=20)


def test_a_segment_that_cannot_be_timed_is_answered_with_the_reason(edge, bench, monkeypatch):
    monkeypatch.setattr(bench.engines["fog"], "prepare", throw)
    with pytest.raises(ModelError, match=r"`fog` cannot run it: ZeroDivisionError: of its own"):
        edge.time_segment(FOG, bench.model.model_id, bench.model.whole).result(timeout=20)


def test_a_plan_without_a_stage_for_the_node_is_no_work_for_it(edge, bench):
    last = len(bench.model.cuts) - 1
    for target in (FOG, NodeId("edge")):
        plan = Plan.parse(f"cloud[0:{last}]")
        with pytest.raises(PlanError, match="has no stage for"):
            edge.prepare(target, "s", 1, bench.model.model_id, plan).result(timeout=20)
