"""Segments on a real Ray cluster of two machines, imitated on this one: answers, and workers that die."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import seamline
from seamline.core.vocabulary.plans import Segment
from seamline.model import OrtEngine

pytestmark = pytest.mark.needs("ray")


@pytest.fixture(scope="module")
def cluster():
    """Two Ray nodes with one processor each, ended in any case."""
    from ray.cluster_utils import Cluster

    os.environ["PYTHONPATH"] = str(Path(seamline.__file__).parents[1])
    memory = {"object_store_memory": 100 << 20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **memory})
    try:
        made.add_node(num_cpus=1, object_store_memory=100 << 20)
        yield made
    finally:
        import ray

        ray.shutdown()
        made.shutdown()
        for left in Path("/tmp").glob(f"seamline-ray-{os.getuid()}-*"):
            shutil.rmtree(left, ignore_errors=True)


@pytest.mark.timeout(240)
def test_a_ray_cluster_computes_segments_and_loses_nothing_when_workers_die(cluster, store, small_cnn, save):
    from seamline.model.remote.ray_cluster import RayEngine

    model = store.add(save(small_cnn))
    segment = Segment(2, len(model.cuts) - 1)
    local = OrtEngine(store, 1).prepare(model.model_id, segment)
    rng = np.random.default_rng(4)
    feed = {spec.name: rng.standard_normal(spec.shape).astype(spec.dtype) for spec in local.inputs}
    expected = local.run(feed)
    engine = RayEngine(store, cluster.address, 2)
    try:
        places = engine.places()
        assert len({machine for machine, _ in places}) == 2
        ready = engine.prepare(model.model_id, segment)
        killed = threading.Timer(0.3, os.kill, (places[0][1], signal.SIGKILL))
        killed.start()
        until_s = time.monotonic() + 3.0
        n_runs = 0
        while time.monotonic() < until_s:
            found = ready.run(feed)
            n_runs += 1
            for name, values in expected.items():
                np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6)
        killed.join()
        assert n_runs > 10
    finally:
        engine.interrupt()
