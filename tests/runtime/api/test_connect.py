"""The Python API over real sockets: `connect`, then a stream over whoever is there."""

from __future__ import annotations

import itertools
import secrets

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import seamline
from seamline.core.adaptation.policy import Local
from seamline.core.vocabulary.calibration import MIN_FRAMES, CutCalibration
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import DEFAULT_CODECS, EIGHT_BIT_CODECS, Codec, Plan
from seamline.model import ModelStore, OrtEngine, Preprocess
from seamline.model.store.calibration import keep_calibration
from seamline.runtime.api import cluster as cluster_module
from seamline.runtime.node.starting import NodeOptions, open_node
from seamline.runtime.segments import compile_cache


def test_a_stream_asked_for_at_once_uses_the_named_neighbour(tmp_path, model_file, photos):
    cluster_name = f"test-{secrets.token_hex(3)}"
    fog = open_node(NodeOptions(name="fog", tier="fog", cluster=cluster_name, n_threads=1, cache=tmp_path / "fog"))
    try:
        with seamline.connect(
            *fog.endpoints, name="edge", cluster=cluster_name, n_threads=1, slowdown=200, cache=tmp_path / "edge"
        ) as cluster:
            preprocess = Preprocess(height=32, width=32, mean=(127.0,) * 3, std=(64.0,) * 3)
            model = cluster.node.store.add(model_file, preprocess=preprocess)
            stream = cluster.stream(model, objective="latency", profile_budget_s=0.3)
            results = []
            for result in stream.run(itertools.cycle(photos)):
                results.append(result)
                if "fog" in result.plan.nodes:  # as soon as it has profiled: the edge is two hundred times as slow
                    break
    finally:
        fog.close()
    assert [result.frame for result in results] == list(range(len(results)))
    assert all(np.isfinite(result.outputs["scores"]).all() for result in results)


def test_what_a_node_serves_is_kept_for_the_next_time(tmp_path, model_file, photos, monkeypatch, wait_until):
    monkeypatch.setattr(compile_cache, "QUICK_S", 0.0)  # the tiny model would not be worth it
    with seamline.connect(name="edge", cluster=f"test-{secrets.token_hex(3)}", n_threads=1, cache=tmp_path) as cluster:
        preprocess = Preprocess(height=32, width=32, mean=(127.0,) * 3, std=(64.0,) * 3)
        model = cluster.node.store.add(model_file, preprocess=preprocess)
        stream = cluster.stream(model, policy=Local(), profile_budget_s=0.3)  # as `policy="local"`
        assert len(list(stream.run(photos[:3]))) == 3
        wait_until(lambda: OrtEngine(cluster.node.store, 1).is_kept(model.model_id, model.whole), 60.0)


def test_what_may_be_lost_is_what_the_calibration_of_the_model_says(tmp_path, model_file, monkeypatch):
    asked = []

    def noted(*_arguments, constraints, **_named):
        asked.append(constraints)
        raise InterruptedError

    monkeypatch.setattr(cluster_module, "Stream", noted)
    with seamline.connect(name="edge", cluster=f"test-{secrets.token_hex(3)}", n_threads=1, cache=tmp_path) as cluster:
        preprocess = Preprocess(height=32, width=32, mean=(127.0,) * 3, std=(64.0,) * 3)
        model = cluster.node.store.add(model_file, preprocess=preprocess)
        found = CutCalibration(cut=2, codec=Codec.F16, n_frames=MIN_FRAMES, max_change_ratio=0.001)
        for codecs in (None, "calibrated", "u8", (Codec.RAW,)):
            with pytest.raises(InterruptedError):
                cluster.stream(model, **({} if codecs is None else {"codecs": codecs}))
            keep_calibration(model.folder, [found])
        with pytest.raises(UsageError, match="`half` is not a limit"):
            cluster.stream(model, codecs="half")
    assert [limits.codecs for limits in asked] == [
        DEFAULT_CODECS,
        (Codec.RAW, Codec.LOSSLESS, Codec.F16, Codec.JPEG),
        EIGHT_BIT_CODECS,
        (Codec.RAW,),
    ]
    assert [limits.lossy for limits in asked] == [None, ((2, Codec.F16),), None, None]


def test_a_plan_that_is_written_is_allowed_its_codecs_but_none_that_would_lose_an_index(tmp_path):
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["f"]),
            helper.make_node("MatMul", ["f", "w"], ["at"]),
            helper.make_node("Cast", ["at"], ["i"], to=TensorProto.INT64),
            helper.make_node("Cast", ["i"], ["y"], to=TensorProto.FLOAT),
        ],
        "rows",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")],
    )
    path = tmp_path / "rows.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    model = ModelStore(tmp_path / "store").add(path)
    nodes = (NodeId("edge"), NodeId("fog"))
    plan = Plan.parse("edge[0:1]u8 > fog[1:4]")
    limits = cluster_module._with_codecs_of(plan, Constraints(codecs=DEFAULT_CODECS, lossy=()))
    assert Codec.U8 in limits.codecs
    assert limits.lossy is None
    cluster_module._check_held(plan, nodes, model, limits)
    with pytest.raises(UsageError, match="sends at as u8"):
        cluster_module._check_held(Plan.parse("edge[0:2]u8 > fog[2:4]"), nodes, model, limits)


def test_a_node_that_is_not_there_is_named(tmp_path, model_file):
    cluster_name = f"test-{secrets.token_hex(3)}"
    with seamline.connect(name="edge", cluster=cluster_name, n_threads=1, cache=tmp_path) as cluster:
        with pytest.raises(UsageError, match="no node `fgo`"):
            cluster.wait_nodes(["fgo"], timeout_s=0.1)
        with pytest.raises(UsageError, match="frames enter at `edge`"):
            cluster.stream(model_file, over=["fog", "edge"])


def test_the_lease_that_is_asked_for_is_the_one_that_peers_are_held_to(tmp_path):
    cluster_name = f"test-{secrets.token_hex(3)}"
    node = open_node(NodeOptions(name="fog", cluster=cluster_name, n_threads=1, cache=tmp_path, lease_s=2.5))
    try:
        assert node.fabric._config.get_json("transport/link/tx/lease") == "2500"
    finally:
        node.close()
    with pytest.raises(UsageError, match="lease of 0 s"):
        open_node(NodeOptions(name="fog", cluster=cluster_name, lease_s=0.0))
