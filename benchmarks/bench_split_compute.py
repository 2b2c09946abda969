"""What cutting costs in computing: the segments' run times together, over the whole model's run time.

Engines fuse layers across a cut and keep tensors in layouts of their own, so two parts can take longer than the whole.
Every round runs the whole model and both segments once, one after the other; the ratio is taken per round, so that a
machine that slows down for a while slows both. Measured at every candidate cut, and at the cuts that the planner picks
for the demo's three machines over a range of links and objectives.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import numpy as np
from reporting import Report, parser, progress, spread

from seamline.codec import measure_costs
from seamline.core.planning.planner import Problem, plan
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import Infeasible
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import Engine, RunnableSegment
from seamline.core.vocabulary.profiles import DeviceInfo, Profile
from seamline.meters.device import cpu_name
from seamline.meters.profiler import profile_model
from seamline.model import OrtEngine, StoredModel
from seamline.model.locate import load_model
from seamline.runtime.shared.clock import MONOTONIC

LIMIT_RATIO = 1.05
"""Issue 2: at the cuts that the planner picks."""

MODELS = {"vgg19": 7, "mobilenetv2": 40, "resnet50": 12}
"""Rounds per cut."""

SLOWDOWNS = {NodeId("edge"): 8.0, NodeId("fog"): 3.0, NodeId("cloud"): 1.0}
RATES_BPS = (2e6, 5e6, 10e6, 20e6, 50e6, 100e6, 1e9)
RTT_S = 0.01
PRIVATE_CUTS = (0, 1)

Boundaries = tuple[int, ...]
"""The inner cuts of a plan, in order."""


def main() -> None:
    options = parser("Split compute against the whole model")
    options.add_argument("--model", action="append", choices=sorted(MODELS), help="only this one; repeatable")
    chosen = options.parse_args()
    report = Report("split-compute", "Split compute against the whole model", chosen)
    report.say(
        "Ratio = run times of all segments / run time of the whole model, per interleaved round, one thread, without",
        "transfer and codec. Median (p10-p90) over rounds.",
        "",
    )
    report.data = {"limit_ratio": LIMIT_RATIO, "models": {}}
    for name in chosen.model or MODELS:
        n_rounds = 3 if chosen.quick else MODELS[name]
        store, model = load_model(name)
        engine = OrtEngine(store, 1)
        picked = _picked(engine, model)
        candidates = [(cut.index,) for cut in model.cuts[1:-1] if cut.is_candidate]
        if chosen.quick:
            candidates = candidates[:: max(1, len(candidates) // 5)]
        wanted = list(dict.fromkeys([*picked, *candidates]))
        progress(f"{name}: {len(wanted)} ways to cut, {len(picked)} of them picked by the planner")
        rounds = {boundaries: _ratios(engine, model, boundaries, n_rounds) for boundaries in wanted}
        _tell(report, model, rounds, picked, candidates)
    report.finish()


def _ratios(engine: Engine, model: StoredModel, boundaries: Boundaries, n_rounds: int) -> list[dict[str, float]]:
    """Per round: seconds of the whole and of all segments together, by clock and processor; after one to warm up."""
    edges = (0, *boundaries, len(model.cuts) - 1)
    whole = engine.prepare(model.model_id, model.whole)
    segments = [engine.prepare(model.model_id, Segment(start, stop)) for start, stop in pairwise(edges)]
    frame = {spec.name: _random(spec.shape, spec.dtype) for spec in whole.inputs}
    rounds = []
    for number in range(n_rounds + 1):
        # whoever runs second finds warmer caches: take turns
        order = (("whole", [whole]), ("split", segments))
        spent_s = {what: _run(parts, frame) for what, parts in (order if number % 2 else order[::-1])}
        (whole_s, whole_cpu_s), (split_s, split_cpu_s) = spent_s["whole"], spent_s["split"]
        rounds.append({"whole_s": whole_s, "split_s": split_s, "whole_cpu_s": whole_cpu_s, "split_cpu_s": split_cpu_s})
    return rounds[1:]


def _run(parts: Sequence[RunnableSegment], frame: dict[str, Any]) -> tuple[float, float]:
    """(seconds by the clock, by the processor) that `parts` take to run, each with the outputs of the one before.

    With one thread the engine computes on the calling one, so its processor time is all there is.
    """
    tensors, spent_s, cpu_s = frame, 0.0, 0.0
    for part in parts:
        started_s, cpu_started_s = time.perf_counter(), time.thread_time()
        tensors = part.run(tensors)
        spent_s, cpu_s = spent_s + time.perf_counter() - started_s, cpu_s + time.thread_time() - cpu_started_s
    return spent_s, cpu_s


def _random(shape: tuple[int, ...], dtype: str) -> Any:
    random = np.random.default_rng(0)
    return random.integers(0, 256, shape, np.uint8) if dtype == "uint8" else random.standard_normal(shape, np.float32)


def _picked(engine: OrtEngine, model: StoredModel) -> dict[Boundaries, list[str]]:
    """Where the planner cuts, and in which conditions; plans that do not split are left out."""
    here = _profile(engine, model)
    found: dict[Boundaries, list[str]] = {}
    for problem, conditions in _problems(model, here):
        try:
            best = plan(problem).plan
        except Infeasible:
            continue
        boundaries = tuple(stage.segment.stop for stage in best.stages[:-1] if stage.segment.stop > 0)
        if boundaries:
            found.setdefault(boundaries, []).append(f"{conditions}: {best}")
    return found


def _profile(engine: OrtEngine, model: StoredModel) -> Profile:
    pre = model.preprocess
    return profile_model(
        engine,
        model.model_id,
        model.name,
        model.cuts,
        DeviceInfo(name=NodeId("here"), cpu=cpu_name(), engine=engine.name, threads=1),
        frame_shape=(pre.height, pre.width, 3) if pre is not None else None,
        budget_s=10.0,
        now_s=time.monotonic,
        jpeg_bytes=25_000,
        codecs=measure_costs(MONOTONIC),
    )


def _problems(model: StoredModel, here: Profile) -> Iterator[tuple[Problem, str]]:
    """The demo's machines, by the profile of this one times their slowdowns, over a range of conditions."""
    for names, rate_bps, objective, private in product(
        (("edge", "cloud"), ("edge", "fog", "cloud")),
        RATES_BPS,
        (Objective.LATENCY, Objective.THROUGHPUT),
        PRIVATE_CUTS,
    ):
        nodes = [NodeId(name) for name in names]
        links = {
            (source, target): LinkEstimate(
                source=source,
                target=target,
                rtt_s=RTT_S,
                # what the edge is behind is shaped; beyond the fog there is a fast network
                goodput_bps=rate_bps if "edge" in (source, target) else 100e6,
                n_samples=10,
            )
            for source, target in product(nodes, nodes)
            if source != target
        }
        problem = Problem(
            origin=nodes[0],
            cuts=model.cuts,
            profiles={node: replace(here, device=replace(here.device, name=node)) for node in nodes},
            links=links,
            compute_ratio={node: SLOWDOWNS[node] for node in nodes},
            objective=objective,
            constraints=Constraints(n_private_cuts=private),
        )
        yield problem, f"{len(nodes)} nodes, {rate_bps / 1e6:g} Mbit/s, {objective}, private {private}"


def _tell(
    report: Report,
    model: StoredModel,
    rounds: dict[Boundaries, list[dict[str, float]]],
    picked: dict[Boundaries, list[str]],
    candidates: Sequence[Boundaries],
) -> None:
    ratios = {key: [each["split_s"] / each["whole_s"] for each in samples] for key, samples in rounds.items()}
    cpu_ratios = {
        key: [each["split_cpu_s"] / each["whole_cpu_s"] for each in samples] for key, samples in rounds.items()
    }
    medians = {key: spread(values).median for key, values in ratios.items()}
    cpu_medians = {key: spread(values).median for key, values in cpu_ratios.items()}
    whole = spread(each["whole_s"] for samples in rounds.values() for each in samples)
    over_all = spread(medians[key] for key in candidates)
    report.say(f"## {model.name}", "", f"Whole model {whole.text(1e3, 1)} ms.", "")
    report.table(
        ("planner's cuts", "n", "**ratio**", "processor time's ratio", "picked in conditions"),
        [
            (
                " + ".join(map(str, key)),
                len(ratios[key]),
                f"**{spread(ratios[key]).text(digits=3)}**",
                spread(cpu_ratios[key]).text(digits=3),
                len(conditions),
            )
            for key, conditions in sorted(picked.items())
        ],
    )
    n_within, n_within_cpu = (sum(each[key] <= LIMIT_RATIO for key in picked) for each in (medians, cpu_medians))
    worst = max(candidates, key=lambda key: medians[key])
    report.say(
        f"{n_within} of {len(picked)} ways to cut that the planner picks are within {LIMIT_RATIO:.2f} "
        f"({n_within_cpu} by processor time, which other processes disturb less). All "
        f"{len(candidates)} candidate cuts: median of their medians {over_all.text(digits=3)}, worst "
        f"{medians[worst]:.3f} at cut {worst[0]}.",
        "",
    )
    report.data["models"][model.name] = {
        "picked": [{"cuts": key, "conditions": conditions} for key, conditions in sorted(picked.items())],
        "cuts": [{"cuts": key, "ratio_median": medians[key], "rounds": samples} for key, samples in rounds.items()],
    }


if __name__ == "__main__":
    main()
