"""Measuring plans by hand: nodes begin without profiles, and an error is relative to what frames took."""

from __future__ import annotations

import pytest

from seamline.config import NodeSpec, Testbed
from seamline.core.cost.problem import Problem
from seamline.core.vocabulary.errors import ConfigError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.profiles import Block, Cut, DeviceInfo, ModelInfo, Profile, Quantiles
from seamline.model import ModelStore
from seamline.runtime.lab.measuring import MeasuredPlan, PlanBench, fresh_cache
from seamline.runtime.origin.results import Result


def test_a_fresh_cache_has_the_models_and_none_of_their_profiles(bench):
    with fresh_cache([bench.model]) as folder:
        store = ModelStore(folder)
        assert store.ids() == (bench.model.model_id,)
        assert store.get(bench.model.model_id).cuts == bench.model.cuts
        assert not (folder / "profiles").exists()
    assert not folder.exists()
    assert (bench.model.folder / "manifest.json").is_file()  # linked to, not moved


def test_one_node_alone_is_no_bench(tmp_path):
    alone = Testbed(name="alone", nodes=(NodeSpec(name="edge", tier="edge"),))
    with pytest.raises(ConfigError, match="one node only"):
        PlanBench(alone, cache=tmp_path)


@pytest.mark.parametrize(("predicted_s", "error_ratio"), [(0.06, 0.2), (0.05, 0.0), (0.025, -0.5)])
def test_an_error_is_relative_to_the_median_of_the_frames(predicted_s, error_ratio):
    plan = Plan.local(NodeId("edge"), 5)
    cuts = tuple(Cut(index=at, after=f"layer{at}", tensors=(), payload_bytes=4000) for at in range(5))
    took = Quantiles(median=predicted_s, p90=predicted_s)
    profile = Profile(
        model=ModelInfo(name="toy"),
        device=DeviceInfo(name=NodeId("edge")),
        cuts=cuts,
        blocks=(Block(from_cut=0, to_cut=4, compute_s=took),),
        whole_s=took,
    )
    problem = Problem(origin=NodeId("edge"), cuts=cuts, profiles={NodeId("edge"): profile}, links={})
    results = tuple(
        Result(frame=at, outputs={}, latency_s=latency_s, accepted_s=0.0, plan=plan, generation=1, reports=(),
               n_attempts=1)
        for at, latency_s in enumerate((0.04, 0.9, 0.05))
    )  # fmt: skip
    measured = MeasuredPlan(plan=plan, problem=problem, results=results)
    assert measured.error_ratio == pytest.approx(error_ratio)
