"""The planner alone, no network: how the best cut moves as the link between a slow edge and a fast cloud gets slower.

    python examples/03_plan_by_hand.py [MODEL.onnx]

Compute times are measured on this machine; the edge is said to be eight times as slow. Links are given, not measured.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from seamline.core.planning.planner import Problem, plan
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.model import ModelStore, OrtEngine, zoo
from seamline.runtime.node.profiling import Profiler

EDGE, CLOUD = NodeId("edge"), NodeId("cloud")


def link(source: NodeId, target: NodeId, mbps: float) -> LinkEstimate:
    return LinkEstimate(source=source, target=target, rtt_s=0.010, goodput_bps=mbps * 1e6)


def main(model_file: str | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(model_file) if model_file else zoo.build("mobilenetv2", Path(folder) / "mobilenetv2.onnx")
        store = ModelStore(Path(folder) / "store")
        model = store.add(path)
        profiler = Profiler(OrtEngine(store, 1), CLOUD, n_threads=1, cache=Path(folder))
        profile = profiler.profile(model, budget_s=2.0)

    edge_profile = replace(profile, device=replace(profile.device, name=EDGE))
    for n_private_cuts in (0, 1):
        print("raw frames may leave the edge" if n_private_cuts == 0 else "raw frames stay on the edge")
        for mbps in (100.0, 20.0, 5.0, 1.0, 0.1):
            problem = Problem(
                origin=EDGE,
                cuts=model.cuts,
                profiles={EDGE: edge_profile, CLOUD: profile},
                links={(EDGE, CLOUD): link(EDGE, CLOUD, mbps), (CLOUD, EDGE): link(CLOUD, EDGE, mbps)},
                compute_ratio={EDGE: 8.0},
                constraints=Constraints(n_private_cuts=n_private_cuts),
            )
            best = plan(problem)
            print(f"  {mbps:5.1f} Mbit/s: {1e3 * best.latency_s:6.1f} ms by {best.plan}")


if __name__ == "__main__":
    main(*sys.argv[1:])
