"""What a node is asked to do is answered, whatever happens to it meanwhile."""

from __future__ import annotations

import pytest

from seamline.core.vocabulary.errors import ModelError, PlanError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan

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
        edge.client.profile(FOG, bench.model.model_id, 1.0).result(timeout=20)


def test_a_segment_that_cannot_be_timed_is_answered_with_the_reason(edge, bench, monkeypatch):
    monkeypatch.setattr(bench.engines["fog"], "prepare", throw)
    with pytest.raises(ModelError, match=r"`fog` cannot run it: ZeroDivisionError: of its own"):
        edge.client.time_segment(FOG, bench.model.model_id, bench.model.whole).result(timeout=20)


def test_a_plan_without_a_stage_for_the_node_is_no_work_for_it(edge, bench):
    last = len(bench.model.cuts) - 1
    for target in (FOG, NodeId("edge")):
        plan = Plan.parse(f"cloud[0:{last}]")
        with pytest.raises(PlanError, match="has no stage for"):
            edge.client.prepare(target, "s", 1, bench.model.model_id, plan).result(timeout=20)


def test_a_release_that_overtakes_what_it_releases_leaves_nothing_behind(edge, bench, wait_until):
    fog, model = bench.nodes["fog"], bench.model
    last = len(model.cuts) - 1
    first, second = (Plan.parse(f"edge[0:{cut}]raw > fog[{cut}:{last}]") for cut in (2, 4))
    engine = bench.engines["fog"]
    engine.go_on.clear()
    begun = edge.client.prepare(FOG, "s", 1, model.model_id, first)
    assert engine.is_waiting.wait(10)
    waiting = edge.client.prepare(FOG, "s", 2, model.model_id, second)
    edge.client.release(FOG, "s", 2)
    fog.dispatcher.put(engine.go_on.set)  # behind the release
    for answer in (begun, waiting):
        answer.result(timeout=20)
    wait_until(lambda: fog.segments.n_generations == 1)


def test_a_model_that_is_here_does_not_wait_for_one_that_is_being_fetched(edge, bench):
    model = bench.model
    plan = Plan.local(NodeId("edge"), len(model.cuts))
    with edge.exchange._lock:  # as while the pieces of another model arrive
        assert edge.client.prepare(NodeId("edge"), "s", 1, model.model_id, plan).result(timeout=10) >= 0.0
