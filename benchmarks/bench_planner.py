"""How long the exact search for the best plan takes, on a model with 500 cuts, for each objective and number of nodes.

The controller plans again whenever an estimate moves, so this bounds how fast it can react. Links differ every time;
cuts and profiles are the same objects, as they are for a controller, which is when what they imply is remembered.
"""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from reporting import Report, parser, spread

from seamline.core.planner import Problem, plan
from seamline.core.values import (
    Block,
    Codec,
    CodecCost,
    Constraints,
    Cut,
    DeviceInfo,
    FrameInfo,
    LinkEstimate,
    ModelInfo,
    NodeId,
    Objective,
    Profile,
    Quantiles,
    TensorSpec,
)

N_CUTS = 500
N_NODES = (2, 3, 5, 8, 12, 16, 20)
N_SAMPLES = 200
N_SAMPLES_GROWTH = 20
"""From 8 nodes on: orders grow with the factorial, what keeps them few is that most prefixes cannot win."""

LIMITS = Constraints(codecs=(Codec.RAW, Codec.LOSSLESS, Codec.F16, Codec.U8))


def main() -> None:
    chosen = parser("Time to find the best plan").parse_args()
    report = Report("planner", "Finding the best plan", chosen)
    rows = []
    for n_nodes, objective in product(N_NODES, Objective):
        spent_s, processor_s, plans = [], [], set()
        base = replace(_problem(n_nodes, objective, seed=0), constraints=LIMITS)
        for number in range(-1, N_SAMPLES if n_nodes < 8 and not chosen.quick else N_SAMPLES_GROWTH):
            problem = replace(base, links=_problem(n_nodes, objective, seed=max(0, number)).links)
            started_s, worked_s = time.perf_counter(), time.process_time()
            found = plan(problem)
            if number >= 0:
                processor_s.append(time.process_time() - worked_s)
                spent_s.append(time.perf_counter() - started_s)
                plans.add(str(found.plan))
        row = {"n_nodes": n_nodes, "objective": objective, "plan_s": spent_s, "processor_s": processor_s}
        rows.append({**row, "n_different_plans": len(plans)})
    report.data = {"n_cuts": N_CUTS, "n_codecs": len(LIMITS.codecs), "rows": rows}
    _tell(report, rows)
    report.finish()


def _problem(n_nodes: int, objective: Objective, seed: int) -> Problem:
    """A made-up model of `N_CUTS` cuts, all candidates, on nodes that get faster and links that get better."""
    random = np.random.default_rng(seed)
    nodes = [NodeId(f"node-{number}") for number in range(n_nodes)]
    cuts = _cuts()
    links = {
        (a, b): LinkEstimate(
            source=a, target=b, rtt_s=0.005, goodput_bps=float(random.uniform(5e6, 200e6)), n_samples=10
        )
        for a, b in product(nodes, nodes)
        if a != b
    }
    profiles = {node: _profile(node, cuts, 0.4 / 2.5**number) for number, node in enumerate(nodes)}
    return Problem(origin=nodes[0], cuts=cuts, profiles=profiles, links=links, objective=objective)


def _cuts() -> tuple[Cut, ...]:
    random = np.random.default_rng(1)  # the same model in all problems
    sizes = [150_528, *random.integers(2_000, 900_000, N_CUTS - 2), 1_000]
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
    report.table(
        ("nodes, objective", "n", "**plan**", "processor time", "different plans"),
        [
            (
                f"{row['n_nodes']}, {row['objective']}",
                len(row["plan_s"]),
                f"**{spread(row['plan_s']).text(1e3)}**",
                spread(row["processor_s"]).text(1e3),
                row["n_different_plans"],
            )
            for row in rows
        ],
    )


if __name__ == "__main__":
    main()
