"""Figures 2 and 3 and question Q1: latency (eq. 1: T_e + T_t + T_c) and boundary bytes of every cut, by profile.

Predicted from this machine's profile of the model, not run cut by cut; the cells measure two of the cuts. The edge has
half the cloud's speed, as 4 cores have of 8, times what a CPU share leaves. Boundary tensors travel as they are in
float32, as in the paper, and in 8 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from experiments.neukonfig_2021.conditions import DELAY_MS, FAST_MBPS, SLOW_MBPS
from seamline.cli.models import resolve_model
from seamline.core.cost import breakdown
from seamline.core.problem import Problem
from seamline.core.values import Codec, LinkEstimate, NodeId, Plan, Profile, Segment, Stage
from seamline.model import ModelStore, OrtEngine
from seamline.runtime.profiling import Profiler

EDGE, CLOUD = NodeId("edge"), NodeId("cloud")
EDGE_RATIO = 2.0
CPU_RATIOS = (1.0, 0.5, 0.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class CutCost:
    """One cut. edge_s, transfer_s, cloud_s: the terms of equation 1."""

    cut: int
    after: str
    sent_bytes: int
    edge_s: float
    transfer_s: float
    cloud_s: float

    @property
    def latency_s(self) -> float:
        return self.edge_s + self.transfer_s + self.cloud_s


def sweep(model: str, budget_s: float) -> list[dict[str, object]]:
    """Every candidate cut of `model` under each link speed, codec and CPU share, and the best one of each."""
    store = ModelStore()
    stored = store.add(resolve_model(model))
    profile = Profiler(OrtEngine(store, 1), EDGE, 1).profile(stored, budget_s)
    found: list[dict[str, object]] = []
    for codec in (Codec.RAW, Codec.U8):
        for mbps in (FAST_MBPS, SLOW_MBPS):
            for cpu_ratio in CPU_RATIOS:
                costs = _costs(profile, codec, mbps, cpu_ratio)
                best = min(costs, key=lambda one: one.latency_s)
                found.append(
                    {
                        "model": model,
                        "codec": str(codec),
                        "mbps": mbps,
                        "cpu_ratio": cpu_ratio,
                        "best_cut": best.cut,
                        "best_after": best.after,
                        "best_latency_s": best.latency_s,
                        "cuts": [asdict(one) for one in costs],
                    }
                )
    return found


def _costs(profile: Profile, codec: Codec, mbps: float, cpu_ratio: float) -> Sequence[CutCost]:
    goodput_bps, rtt_s = mbps * 1e6, 2 * DELAY_MS / 1e3
    links = {
        pair: LinkEstimate(source=pair[0], target=pair[1], rtt_s=rtt_s, goodput_bps=goodput_bps)
        for pair in ((EDGE, CLOUD), (CLOUD, EDGE))
    }
    problem = Problem(
        origin=EDGE,
        cuts=profile.cuts,
        profiles={EDGE: profile, CLOUD: profile},
        links=links,
        compute_ratio={EDGE: EDGE_RATIO / cpu_ratio},
    )
    return [_cost(problem, cut, codec) for cut in (one.index for one in profile.cuts if one.is_candidate)]


def _cost(problem: Problem, cut: int, codec: Codec) -> CutCost:
    last = problem.last_cut
    if cut == last:
        plan = Plan.local(EDGE, last + 1)
    else:
        stages = (Stage(EDGE, Segment(0, cut), Codec.RAW if cut == 0 else codec), Stage(CLOUD, Segment(cut, last)))
        plan = Plan(stages)
    terms = breakdown(plan, problem)
    return CutCost(
        cut=cut,
        after=problem.cuts[cut].after,
        sent_bytes=sum(link.payload_bytes for link in terms.links),
        edge_s=terms.stages[0].busy_s,
        transfer_s=sum(link.transfer_s for link in terms.all_links),
        cloud_s=terms.stages[1].busy_s if len(terms.stages) > 1 else 0.0,
    )
