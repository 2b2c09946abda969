"""What a node is asked to do is answered, whatever happens to it meanwhile."""

from __future__ import annotations

import threading

import onnx
import pytest
from onnx import TensorProto, helper

from seamline.core.vocabulary.errors import ModelError, PlanError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.model import StoredModel

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
    fog.dispatcher.put(engine.go_on.set, NodeId("edge"))  # behind the release
    begun.result(timeout=20)
    with pytest.raises(PlanError, match="released before it was prepared"):
        waiting.result(timeout=20)
    wait_until(lambda: fog.segments.n_generations == 1)


class SlowSource:
    """Holds back every piece of a model that `node` asks another for, until `go_on`."""

    def __init__(self, node, monkeypatch) -> None:
        self.go_on, self.is_waiting = threading.Event(), threading.Event()
        self._piece = node.exchange._piece
        monkeypatch.setattr(node.exchange, "_piece", self.wait)

    def wait(self, *arguments):
        self.is_waiting.set()
        assert self.go_on.wait(20)
        return self._piece(*arguments)


@pytest.fixture
def another(bench, tmp_path) -> StoredModel:
    """A model that the origin alone has."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy"]
    weights = helper.make_tensor("w", TensorProto.FLOAT, [4, 4], range(16))
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "m", values[:1], values[1:], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    return bench.origin_store.add(tmp_path / "m.onnx")


def test_streams_of_other_models_do_not_wait_for_one_that_is_being_fetched(edge, bench, another, monkeypatch):
    model = bench.model
    plan = Plan.parse(f"edge[0:2]raw > fog[2:{len(model.cuts) - 1}]")
    edge.client.profile(FOG, model.model_id, 1.0).result(timeout=20)
    slow = SlowSource(bench.nodes["fog"], monkeypatch)
    waiting = edge.client.prepare(FOG, "b", 1, another.model_id, Plan.parse("edge[0:0]raw > fog[0:1]"))
    profiled = edge.client.profile(FOG, another.model_id, 1.0)
    assert slow.is_waiting.wait(10)
    assert edge.client.prepare(FOG, "a", 1, model.model_id, plan).result(timeout=10) >= 0.0
    assert edge.client.time_segment(FOG, model.model_id, model.whole).result(timeout=10) >= 0.0
    assert not waiting.done()
    slow.go_on.set()
    assert waiting.result(timeout=20) >= 0.0
    assert profiled.exception(timeout=20) is None


def test_what_is_released_while_its_model_is_fetched_is_not_prepared(edge, bench, another, monkeypatch, wait_until):
    slow = SlowSource(bench.nodes["fog"], monkeypatch)
    waiting = edge.client.prepare(FOG, "b", 1, another.model_id, Plan.parse("edge[0:0]raw > fog[0:1]"))
    assert slow.is_waiting.wait(10)
    edge.client.release(FOG, "b", -1)
    wait_until(lambda: waiting.done())
    slow.go_on.set()
    with pytest.raises(PlanError, match="released before it was prepared"):
        waiting.result(timeout=20)
    assert bench.nodes["fog"].segments.n_generations == 0


def test_a_model_that_cannot_be_fetched_is_answered_with_the_reason_and_forgotten(edge, bench):
    for asked in (edge.client.profile(FOG, "0" * 64, 1.0), edge.client.profile(FOG, "../x", 1.0)):
        with pytest.raises(PlanError, match=r"is not in the store|is not a model id"):
            asked.result(timeout=20)
    assert bench.nodes["fog"].service._sources == {}
