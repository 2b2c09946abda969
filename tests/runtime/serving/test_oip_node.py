"""A node that computes on a server of the protocol: here our own, which serves what `seamline export` wrote."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.runtime.conftest import Bench

from seamline.core.vocabulary.errors import ModelError, UsageError
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.plans import Codec, Segment
from seamline.model import ModelStore, OrtEngine
from seamline.model.remote.oip import OipEngine
from seamline.model.remote.repository import export_segment
from seamline.runtime.api.request_queue import RequestQueue
from seamline.runtime.identity.web_address import WebAddress
from seamline.runtime.node.node import Node
from seamline.runtime.node.profiling import Profiler
from seamline.runtime.node.status import Identity

pytestmark = [pytest.mark.needs("grpc"), pytest.mark.needs("starlette"), pytest.mark.needs("uvicorn")]


@pytest.fixture
def deployed(bench, model_file, tmp_path):
    """A server that has all of the model, and its layers from the tenth cut on; the model takes camera frames."""
    from seamline.serving.served import Served, ServedModel
    from seamline.serving.server import Server

    model, last = bench.model, len(bench.model.cuts) - 1
    made = export_segment(model, Segment(10, last), "tiny_tail", tmp_path / "repository")
    elsewhere = Bench(model_file, tmp_path / "elsewhere")
    elsewhere.start("edge")
    elsewhere.engines["edge"]._whole_s = 0.001  # a machine that it pays to ask
    queues = {}
    for name, file in (("tiny", model_file), ("tiny_tail", made.path / "1" / "model.onnx")):
        elsewhere.model = elsewhere.origin_store.add(file)
        queues[name] = RequestQueue(elsewhere.stream(policy="local"), most_waiting=64)
    served = Served((ServedModel(name, queue) for name, queue in queues.items()), timeout_s=20.0)
    server = Server(served, http=WebAddress(host="127.0.0.1", port=0), grpc=None)
    try:
        yield SimpleNamespace(url=server.http_url, server=server, model=model, last=last)
    finally:
        server.close()
        elsewhere.close()


@pytest.fixture
def engine(bench, deployed):
    engine = OipEngine(bench.origin_store, deployed.url, ("tiny", "tiny_tail"))
    yield engine
    engine.interrupt()


def test_segments_that_the_server_has_are_found_by_their_tensors_and_answer_as_here(bench, deployed, engine, photos):
    assert engine.tails(deployed.model.model_id) == (0, 10)
    local = OrtEngine(bench.origin_store, 1)
    frame = {"frame": photos[0]}
    for start in (0, 10):
        segment = Segment(start, deployed.last)
        feed = frame if start == 0 else local.prepare(deployed.model.model_id, Segment(0, start)).run(frame)
        found = engine.prepare(deployed.model.model_id, segment).run(feed)
        expected = local.prepare(deployed.model.model_id, segment).run(feed)
        np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-5)
    with pytest.raises(ModelError, match=r"no server here has .*hint: `seamline export"):
        engine.prepare(deployed.model.model_id, Segment(3, deployed.last))


def test_a_server_of_other_weights_is_found_out(bench, deployed, engine, model_file, tmp_path):
    trained = onnx.load(model_file)
    head = next(tensor for tensor in trained.graph.initializer if tensor.name == "head")
    head.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(head), "head"))
    onnx.save(trained, tmp_path / "trained.onnx")
    other = bench.origin_store.add(tmp_path / "trained.onnx", preprocess=deployed.model.preprocess)
    with pytest.raises(ModelError, match="answers differ"):
        engine.prepare(other.model_id, other.whole)


def test_what_is_no_server_or_has_no_such_model_is_said(bench, deployed):
    with pytest.raises(UsageError, match="not the address"):
        OipEngine(bench.origin_store, "cloud:8000", ("tiny",))
    with pytest.raises(ModelError, match="does not answer"):
        OipEngine(bench.origin_store, "http://127.0.0.1:9", ("tiny",))
    with pytest.raises(ModelError, match=r"answers 404: no model `huge`"):
        OipEngine(bench.origin_store, deployed.url, ("huge",))


def test_a_stream_uses_what_is_deployed_and_loses_nothing_when_the_server_dies(bench, deployed, photos, expected):
    bench.start("edge")
    store = ModelStore(bench._folder / "cloud")
    engine = OipEngine(store, deployed.url, ("tiny", "tiny_tail"))
    identity = Identity(name=NodeId("cloud"), tier=Tier("cloud"), incarnation="c", n_threads=1, memory_bytes=10**9)
    profiler = Profiler(engine, NodeId("cloud"), 1, cache=bench._folder / "cache", tails=engine.tails)
    node = bench.nodes["cloud"] = Node(
        identity, bench.network.fabric("cloud"), store, engine, profiler, interrupt=engine.interrupt
    )
    node.start()
    bench.link("edge", "cloud", 1e9)
    stream = bench.stream(policy="static", private=1, codecs=(Codec.LOSSLESS,))
    results = []
    n_split = 0
    for result in stream.run(photos, live=False):
        results.append(result)
        n_split += result.plan.nodes == ("edge", "cloud")
        if n_split == 5:
            deployed.server.close()
    assert n_split >= 5, "what is deployed is used, where it is quicker"
    assert {result.plan.stages[0].segment.stop for result in results if not result.plan.is_local} == {10}
    assert [result.error for result in results] == [None] * len(photos)
    for result, scores in zip(results, expected, strict=True):
        np.testing.assert_allclose(result.outputs["scores"], scores, rtol=1e-5)
