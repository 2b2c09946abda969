"""Sweep measured: every cut on a testbed of two processes, frames timed beside what was predicted.

Both nodes profile the model when they start, and the link is measured by a few frames before any counts: what is
predicted is of the same machine and the same link as what is measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from seamline.config import LinkSpec, NodeSpec, Testbed
from seamline.core.analysis.sweep import best_of, sweep
from seamline.core.cost.problem import Problem
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId, node_id
from seamline.core.vocabulary.plans import Codec
from seamline.model.engine.ort import OrtEngine
from seamline.model.progress import SILENT, Progress
from seamline.model.store.models import ModelStore
from seamline.model.store.stored import StoredModel
from seamline.runtime.lab.measuring import MeasuredPlan, PlanBench, fresh_cache
from seamline.runtime.lab.sweep_summary import GivenLink, MeasuredTimes, SweepSummary, sweep_summary
from seamline.runtime.node.profiling import Profiler

BUDGET_S = 6.0
"""Per cut; one that takes longer gets three frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """How a sweep is measured. ends: origin and target. slowdowns: of both. n_threads: of each node.

    n_cuts: so many, spread evenly, and the best one; all when None. n_frames: per cut.
    """

    ends: tuple[NodeId, NodeId]
    slowdowns: Mapping[NodeId, float]
    n_threads: int
    codec: Codec
    n_cuts: int | None
    n_frames: int


def measured_summary(
    model: StoredModel, links: Sequence[GivenLink], how: Measuring, progress: Progress = SILENT
) -> SweepSummary:
    """Every cut of `model` as both nodes and each link were measured, with what frames took at the cuts chosen.

    Raises `UsageError` for a link or slowdown that a testbed cannot have.
    """
    return sweep_summary(model.name, how.ends, how.codec, _measured_links(model, links, how, progress))


def _measured_links(
    model: StoredModel, links: Sequence[GivenLink], how: Measuring, progress: Progress
) -> Iterator[tuple[str, Problem, Mapping[int, MeasuredTimes]]]:
    """For every link as given: its text, the problem as both nodes measured it, and by cut what frames took."""
    testbeds = [(text, testbed_of(text, directions, how)) for text, directions in links]
    profiler = Profiler(OrtEngine(ModelStore(), how.n_threads), node_id("this"), how.n_threads)
    budget_s = profiler.usual_budget_s(model)
    with fresh_cache([model]) as cache:
        for text, testbed in testbeds:
            yield text, *_on_testbed(model, testbed, cache, budget_s, text, how, progress)


def testbed_of(text: str, directions: Sequence[LinkEstimate], how: Measuring) -> Testbed:
    """Two nodes and the link between them. Raises `UsageError` when they cannot be imitated."""
    link = directions[0]
    if len(directions) != 2 or link.goodput_bps <= 0.0:
        raise UsageError(
            f"`--link {text}` cannot be measured: it has one direction only, or is down",
            hint="write e.g. edge:cloud=20mbps,20ms",
        )
    for node in how.ends:
        if how.slowdowns.get(node, 0.0) < 1.0:
            raise UsageError(
                f"`{node}` is to be measured and has no slowdown of 1 or more",
                hint=f"--slowdown {node}=8; only slower machines than this one can be imitated",
            )
    tiers = ("edge", "cloud")
    nodes = tuple(
        NodeSpec(name=node, tier=tier, slowdown=how.slowdowns[node], threads=how.n_threads)
        for node, tier in zip(how.ends, tiers, strict=True)
    )
    spec = LinkSpec(between=how.ends, rate_bps=link.goodput_bps, delay_s=link.rtt_s / 2)
    return Testbed(name="sweep", nodes=nodes, links=(spec,))


def chosen_cuts(n_all: int, n_wanted: int | None, best: int) -> list[int]:
    """`n_wanted` of cuts 0 to `n_all` - 1, both ends among them, spread evenly, and `best`; all when None."""
    if n_wanted is None or n_wanted >= n_all:
        return list(range(n_all))
    step = (n_all - 1) / max(1, n_wanted - 1)
    return sorted({*(round(at * step) for at in range(n_wanted)), best})


def _on_testbed(
    model: StoredModel,
    testbed: Testbed,
    cache: Path,
    profile_budget_s: float,
    text: str,
    how: Measuring,
    progress: Progress,
) -> tuple[Problem, Mapping[int, MeasuredTimes]]:
    """What both nodes estimate before frames flow, and by cut what these take. cache: keeps the profiles made."""
    with ExitStack() as opened:
        with progress.working(f"profiling {model.name} on {' and '.join(how.ends)}"):
            bench = opened.enter_context(PlanBench(testbed, cache=cache))
            pinned = opened.enter_context(bench.pin(model, profile_budget_s=profile_budget_s))
        problem = replace(
            pinned.problem(), compute_ratio={}, compression_ratio={}, queue_s={}
        )  # profiles and links alone
        swept = sweep(problem, how.ends[1], how.codec)
        cuts = chosen_cuts(len(swept), how.n_cuts, best_of(swept).cut)
        return problem, {
            cut: _times(pinned.measure(swept[cut].plan, n_frames=how.n_frames, budget_s=BUDGET_S))
            for cut in progress.track(cuts, len(cuts), f"measuring {text}")
        }


def _times(measured: MeasuredPlan) -> MeasuredTimes:
    latencies_s = measured.latencies_s
    return MeasuredTimes(median=measured.median_s, min=min(latencies_s), max=max(latencies_s), n=len(latencies_s))
