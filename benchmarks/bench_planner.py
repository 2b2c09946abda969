"""How long the exact search for the best plan takes, on a model with 500 cuts, for each goal and number of nodes.

The controller plans again whenever an estimate moves, so this bounds how fast it can react. Links differ every time;
cuts and profiles are the same objects, as they are for a controller, whose `Planner` keeps what they imply.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from reporting import Report, parser, spread

from seamline.core.planning.planner import Planner, Problem, plan
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective, Weights, Within
from seamline.core.vocabulary.plans import Codec
from seamline.core.vocabulary.profiles import (
    Block,
    CodecCost,
    Cut,
    DeviceInfo,
    FrameInfo,
    ModelInfo,
    Profile,
    Quantiles,
    TensorSpec,
)

N_CUTS = 500
N_NODES = (2, 3, 5, 8, 12, 16, 20)
N_SAMPLES = 200
N_SAMPLES_GROWTH = 20
"""From 8 nodes on: orders grow with the factorial, what keeps them few is that most prefixes cannot win."""

N_NODES_MIXED = (2, 3, 5)
N_SAMPLES_MIXED = 40
MIXED = (
    "slo",
    "latency + throughput",
    "throughput + energy",
    "latency + throughput + energy",
    "slo, memory",
    "latency + throughput + energy, memory",
)
"""Deadlines and weighted sums, also where no node holds the whole model."""

WEIGHTS_BYTES, MEMORY_BYTES = 1 << 30, 720 << 20

LIMITS = Constraints(codecs=(Codec.RAW, Codec.LOSSLESS, Codec.F16, Codec.U8))


def main() -> None:
    chosen = parser("Time to find the best plan").parse_args()
    report = Report("planner", "Finding the best plan", chosen)
    rows = []
    for n_nodes, objective in product(N_NODES, Objective):
        n_samples = N_SAMPLES if n_nodes < 8 and not chosen.quick else N_SAMPLES_GROWTH
        base = replace(made_up_problem(n_nodes, objective, seed=0), constraints=LIMITS)
        problems = [replace(base, links=_links(n_nodes, seed)) for seed in range(n_samples)]
        rows.append({"n_nodes": n_nodes, "goal": objective, **_timed(problems)})
    for n_nodes, goal in product(N_NODES_MIXED, MIXED):
        base = replace(_thirsty(made_up_problem(n_nodes, Objective.ENERGY, seed=0)), constraints=LIMITS)
        n_samples = N_SAMPLES_MIXED if n_nodes < 8 and not chosen.quick else N_SAMPLES_GROWTH
        problems = [_with_goal(replace(base, links=_links(n_nodes, seed)), goal, seed) for seed in range(n_samples)]
        rows.append({"n_nodes": n_nodes, "goal": goal, **_timed(problems)})
    report.data = {"n_cuts": N_CUTS, "n_codecs": len(LIMITS.codecs), "rows": rows}
    _tell(report, rows)
    report.finish()


def _timed(problems: list[Problem]) -> dict[str, Any]:
    """Seconds for each of `problems`, elapsed and of the processor; the first is planned once before."""
    spent_s, processor_s, plans, planner = [], [], set(), Planner()
    planner.plan(problems[0])
    for problem in problems:
        started_s, worked_s = time.perf_counter(), time.process_time()
        found = planner.plan(problem)
        processor_s.append(time.process_time() - worked_s)
        spent_s.append(time.perf_counter() - started_s)
        plans.add(str(found.plan))
    return {"plan_s": spent_s, "processor_s": processor_s, "n_different_plans": len(plans)}


def _with_goal(problem: Problem, goal: str, seed: int) -> Problem:
    """`problem` with a goal between extremes: a deadline somewhere between the quickest plan and the most frugal one;
    a sum in which every part counts about as much, so that none decides alone."""
    if goal.endswith(", memory"):
        limits = replace(LIMITS, memory_bytes=tuple((node, MEMORY_BYTES) for node in problem.profiles))
        problem = replace(problem, cuts=_heavy(problem.cuts), constraints=limits)
    best = {each: plan(replace(problem, objective=each)) for each in Objective}
    latency_s, frugal = best[Objective.LATENCY].latency_s, best[Objective.ENERGY]
    if goal.startswith("slo"):
        share = float(np.random.default_rng(seed).uniform(0.05, 0.95))
        return replace(problem, objective=Within(slo_s=latency_s + share * max(0.0, frugal.latency_s - latency_s)))
    weights = {
        "latency": ("latency_s", 1.0 / latency_s),
        "throughput": ("bottleneck_s", best[Objective.THROUGHPUT].throughput_fps),
        "energy": ("energy_j", 1.0 / frugal.cost),
    }
    parts = goal.removesuffix(", memory").split(" + ")
    return replace(problem, objective=Weights(**dict(weights[part] for part in parts)))


def _thirsty(problem: Problem) -> Problem:
    """`problem` with faster nodes that draw more, so that seconds and joules are not had by the same plan."""
    profiles = {
        node: replace(profile, device=replace(profile.device, busy_w=2.0 + 4.0 * 2.0**place))
        for place, (node, profile) in enumerate(problem.profiles.items())
    }
    return replace(problem, profiles=profiles)


@lru_cache(maxsize=1)
def _heavy(cuts: tuple[Cut, ...]) -> tuple[Cut, ...]:
    """`cuts` of a model of so many weights that memory binds."""
    return tuple(replace(cut, weights_before_bytes=WEIGHTS_BYTES * cut.index // (len(cuts) - 1)) for cut in cuts)


def made_up_problem(n_nodes: int, objective: Objective, seed: int, n_cuts: int = N_CUTS) -> Problem:
    """A made-up model of `n_cuts` cuts, all candidates, on nodes that get faster and links that get better."""
    nodes, cuts = _nodes(n_nodes), _cuts(n_cuts)
    profiles = {node: _profile(node, cuts, 0.4 / 2.5**number) for number, node in enumerate(nodes)}
    links = _links(n_nodes, seed)
    return Problem(origin=nodes[0], cuts=cuts, profiles=profiles, links=links, objective=objective)


def _nodes(n_nodes: int) -> list[NodeId]:
    return [NodeId(f"node-{number}") for number in range(n_nodes)]


def _links(n_nodes: int, seed: int) -> dict[tuple[NodeId, NodeId], LinkEstimate]:
    """All directions, at rates from 5 to 200 Mbit/s."""
    random = np.random.default_rng(seed)
    return {
        (a, b): LinkEstimate(
            source=a, target=b, rtt_s=0.005, goodput_bps=float(random.uniform(5e6, 200e6)), n_samples=10
        )
        for a, b in product(_nodes(n_nodes), repeat=2)
        if a != b
    }


def _cuts(n_cuts: int) -> tuple[Cut, ...]:
    random = np.random.default_rng(1)  # the same model in all problems
    sizes = [150_528, *random.integers(2_000, 900_000, n_cuts - 2), 1_000]
    return tuple(
        Cut(
            index=index,
            after=f"layer{index}",
            tensors=(TensorSpec(name=f"t{index}", dtype="float32", shape=(int(size),)),),
            payload_bytes=4 * int(size),
        )
        for index, size in enumerate(sizes)
    )


def _profile(node: NodeId, cuts: tuple[Cut, ...], whole_s: float) -> Profile:
    random = np.random.default_rng(2)
    shares = random.dirichlet(np.ones(len(cuts) - 1))
    blocks = tuple(
        Block(from_cut=at, to_cut=at + 1, compute_s=Quantiles(median=whole_s * share, p90=whole_s * share))
        for at, share in enumerate(map(float, shares))
    )
    return Profile(
        model=ModelInfo(name="made-up"),
        device=DeviceInfo(name=node, idle_w=2.0, busy_w=6.0),
        cuts=cuts,
        blocks=blocks,
        whole_s=Quantiles(median=whole_s, p90=whole_s),
        frame=FrameInfo(raw_bytes=150_528, jpeg_bytes=25_000),
        codecs=tuple(CodecCost(codec=codec, encode_s_per_byte=1e-10, decode_s_per_byte=1e-10) for codec in Codec),
    )


def _tell(report: Report, rows: list[dict[str, Any]]) -> None:
    report.say(
        f"{N_CUTS} cuts, all candidates, {len(LIMITS.codecs)} codecs, all orders of nodes; ms, median (p10-p90).",
        "Made-up model and links, other link rates for every sample, profiles known from the search before.",
        "Exact for any number of nodes; time has no better bound than the number of orders, so growth is shown for",
        "this family of problems alone. Planning is one thread without waiting: on an idle machine both columns agree,",
        "on a busy one the processor's time is the nearer to what an idle one takes.",
        "",
    )
    report.say(
        "Deadlines lie between the quickest plan and the most frugal one, in sums all parts count about as much;",
        "faster nodes draw more there. With memory, a model has 1 GiB of weights and a node 720 MiB for segments.",
        "",
    )
    report.table(
        ("nodes, goal", "n", "**plan**", "processor time", "worst", "different plans"),
        [
            (
                f"{row['n_nodes']}, {row['goal']}",
                len(row["plan_s"]),
                f"**{spread(row['plan_s']).text(1e3)}**",
                spread(row["processor_s"]).text(1e3),
                f"{max(row['processor_s']) * 1e3:.2f}",
                row["n_different_plans"],
            )
            for row in rows
        ],
    )


if __name__ == "__main__":
    main()
