"""Nobody waits for what another origin has asked of a node, and a node takes no more than it can bear."""

from __future__ import annotations

import threading

import pytest

from seamline.core.hosting.admission import MAX_PER_ORIGIN
from seamline.core.switching import PreparationMode
from seamline.core.vocabulary.errors import PlanError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.runtime.node.models import Sources

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")


@pytest.fixture
def three(bench):
    for name in ("edge", "fog", "cloud"):
        bench.start(name)
    for one, other in (("edge", "fog"), ("cloud", "fog"), ("edge", "cloud")):
        bench.link(one, other, 400e6)
    return bench.nodes


def plan_from(bench, origin: str) -> Plan:
    return Plan.parse(f"{origin}[0:2]raw > fog[2:{len(bench.model.cuts) - 1}]")


class Stuck:
    """Something that does not return until `go_on`."""

    def __init__(self) -> None:
        self.go_on, self.is_waiting = threading.Event(), threading.Event()

    def __call__(self, *arguments: object) -> None:
        self.is_waiting.set()
        assert self.go_on.wait(60)
        raise PlanError("it took too long")


@pytest.fixture
def stuck():
    made = Stuck()
    yield made
    made.go_on.set()


def test_a_stream_begins_on_its_origin_while_another_node_does_not_profile(bench, photos, monkeypatch, stuck):
    bench.start("edge")
    fog = bench.start("fog")
    bench.link("edge", "fog", 400e6)
    monkeypatch.setattr(fog.service._profiler, "profile", stuck)
    stream = bench.stream()
    assert stuck.is_waiting.wait(20)
    assert stream.plan.is_local
    results = list(stream.run(photos[:5]))
    assert [str(result.plan) for result in results] == [str(stream.plan)] * 5


def test_a_node_that_profiles_late_joins_then(bench, monkeypatch, stuck, wait_until):
    bench.start("edge")
    fog = bench.start("fog")
    bench.link("edge", "fog", 4e9, delay_s=0.0)
    profile = fog.service._profiler.profile
    monkeypatch.setattr(fog.service._profiler, "profile", stuck)
    stream = bench.stream()
    assert stream.plan.is_local
    monkeypatch.setattr(fog.service._profiler, "profile", profile)
    monkeypatch.setattr("seamline.core.session.peers.PROFILE_AGAIN_S", 0.1)
    stuck.go_on.set()
    wait_until(lambda: "fog" in stream.plan.nodes)


def test_models_that_never_come_delay_no_other_origin(three, bench, monkeypatch, stuck):
    fog, model_id = three["fog"], bench.model.model_id
    three["edge"].client.profile(FOG, model_id, 1.0).result(timeout=20)
    monkeypatch.setattr(fog.exchange, "_piece", stuck)
    waiting = [
        three["cloud"].client.prepare(FOG, f"cloud-{number}", 1, f"{number:064x}", plan_from(bench, "cloud"))
        for number in range(30)
    ]
    assert stuck.is_waiting.wait(20)
    assert three["edge"].client.prepare(FOG, "edge-1", 1, model_id, plan_from(bench, "edge")).result(timeout=20) >= 0
    assert not any(each.done() for each in waiting)


def test_a_profile_that_never_ends_lets_segments_be_prepared(three, bench, monkeypatch, stuck):
    fog, model_id = three["fog"], bench.model.model_id
    three["edge"].client.profile(FOG, model_id, 1.0).result(timeout=20)
    monkeypatch.setattr(fog.service._profiler, "profile", stuck)
    three["cloud"].client.profile(FOG, model_id, 86400.0)
    assert stuck.is_waiting.wait(20)
    assert three["edge"].client.prepare(FOG, "edge-1", 1, model_id, plan_from(bench, "edge")).result(timeout=20) >= 0


def test_hundreds_of_requests_are_answered_and_few_are_held(three, bench, wait_until):
    fog, client = three["fog"], three["edge"].client
    n_before = threading.active_count()
    asked = [
        client.prepare(
            FOG, f"edge-{number}", 1, bench.model.model_id, plan_from(bench, "edge"), PreparationMode.PRIVATE_SESSION
        )
        for number in range(200)
    ]
    refusals = [str(each.exception(timeout=60)) for each in asked if each.exception(timeout=60) is not None]
    assert len(refusals) == 200 - MAX_PER_ORIGIN
    assert all("are held here, the most is" in refusal for refusal in refusals)
    assert fog.segments.n_generations == MAX_PER_ORIGIN
    assert threading.active_count() - n_before < 30, "senders and workers, not one a request"
    for number in range(200):
        client.release(FOG, f"edge-{number}", -1)
    wait_until(lambda: fog.segments.n_generations == 0)


def test_a_node_that_may_use_too_little_memory_refuses_in_words(bench):
    edge = bench.start("edge")
    fog = bench.start("fog", memory_bytes=1000)
    bench.link("edge", "fog", 400e6)
    fog.service.tidy(0.0)
    asked = edge.client.prepare(FOG, "edge-1", 1, bench.model.model_id, plan_from(bench, "edge"))
    with pytest.raises(PlanError, match=r"its segments need \d\.\d MB here, .* and 0\.0 may be used"):
        asked.result(timeout=20)
    assert fog.segments.n_generations == 0


# -- sources of a model ------------------------------------------------------------------------------------------------


def test_the_newest_source_is_asked_first_and_one_that_failed_last():
    sources = Sources(EDGE)
    sources.add(CLOUD)
    sources.add(CLOUD)
    assert sources.current() == CLOUD
    assert sources.has_another(CLOUD)
    assert sources.current() == EDGE
    assert sources.n_others(EDGE) == 1
    assert not sources.has_another(EDGE), "all have failed"


def test_a_new_source_is_a_new_chance():
    sources = Sources(EDGE)
    assert not sources.has_another(EDGE)
    sources.add(CLOUD)
    assert sources.current() == CLOUD
    assert sources.has_another(CLOUD)


def test_a_source_that_does_not_answer_is_left_for_another(three, bench, monkeypatch):
    """`cloud` asks `fog` to prepare a model and never sends it; `edge` has it."""
    monkeypatch.setattr("seamline.runtime.node.models.STALL_S", 0.2)
    monkeypatch.setattr(three["cloud"].exchange, "on_fetch", lambda source, ask: None)
    fog, model_id = three["fog"], bench.model.model_id
    assert not fog.store.has(model_id)
    sources = Sources(EDGE)
    sources.add(CLOUD)
    assert fog.exchange.obtain(model_id, sources).model_id == model_id
