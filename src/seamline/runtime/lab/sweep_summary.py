"""Summary of a sweep: every cut between two nodes, per link, as predicted and where they were measured.

`sweep.py` measures; `sweep_figure.py` draws what is summarised here.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from seamline.core.analysis.sweep import SweptCut, best_of, sweep
from seamline.core.cost.problem import Problem
from seamline.core.recording.provenance import Provenance
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec
from seamline.core.vocabulary.profiles import Profile
from seamline.meters.provenance import provenance

GivenLink = tuple[str, tuple[LinkEstimate, ...]]
"""A link as it was given, and its directions, the one away from the origin first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredTimes:
    """What frames took at one cut, in seconds."""

    median: Annotated[float, "median of the frames"]
    min: Annotated[float, "the quickest"]
    max: Annotated[float, "the slowest"]
    n: Annotated[int, "how many frames"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutSummary:
    """One cut: what crosses it, and where the time of a frame goes."""

    cut: Annotated[int, "its number; 0: the input is sent, the last: everything on the origin"]
    after: Annotated[str, "last layer before it"]
    boundary_bytes: Annotated[int, "uncompressed bytes that cross"]
    sent_bytes: Annotated[int, "bytes that travel, 0 for the last cut"]
    origin_s: Annotated[float, "seconds on the origin"]
    transfer_s: Annotated[float, "seconds on the link, the answer's way back included"]
    target_s: Annotated[float, "seconds on the target"]
    latency_s: Annotated[float, "their sum"]
    measured_s: Annotated[
        MeasuredTimes | None, "with --measure: what frames took there, one at a time; null where not measured"
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSummary:
    """All cuts over one link."""

    text: Annotated[str, "the link as given"]
    goodput_bps: Annotated[float, "its rate from origin to target; with --measure, as the origin measured it"]
    rtt_s: Annotated[float, "its round trip; with --measure, as the origin measured it"]
    best_cut: Annotated[int, "the cut with the least latency"]
    best_plan: Annotated[str, "its plan"]
    cuts: Annotated[tuple[CutSummary, ...], "every cut of the model, candidates of the planner or not"]
    measured_best_cut: Annotated[
        int | None, "of the measured cuts the one with the least median; null without --measure"
    ]
    median_error_ratio: Annotated[
        float | None, "median of |predicted / measured - 1| over the measured cuts; null without"
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSummary:
    """What `seamline sweep --json` prints."""

    model: Annotated[str, "name of the model"]
    origin: Annotated[NodeId, "where frames enter"]
    target: Annotated[NodeId, "the other node"]
    codec: Annotated[Codec, "how boundaries travel, raw where a cut does not offer it"]
    links: Annotated[tuple[LinkSummary, ...], "one entry per --link"]
    made_by: Provenance | None = None
    files: Annotated[tuple[str, ...], "what was written"] = ()


def predicted_summary(
    profiles: Mapping[NodeId, Profile], ends: tuple[NodeId, NodeId], links: Sequence[GivenLink], codec: Codec
) -> SweepSummary:
    """Every cut of the profiled model from `ends[0]`, where frames enter, to `ends[1]`, over each of `links`.

    Raises `UsageError` for an end without a profile.
    """
    origin, _ = ends
    for node in ends:
        if node not in profiles:
            raise UsageError(f"a link names `{node}`, which has no profile", hint=f"one of {', '.join(profiles)}")
    no_times: Mapping[int, MeasuredTimes] = {}
    problems = [(text, _over(directions, profiles, origin), no_times) for text, directions in links]
    return sweep_summary(profiles[origin].model.name, ends, codec, problems)


def sweep_summary(
    model: str,
    ends: tuple[NodeId, NodeId],
    codec: Codec,
    links: Iterable[tuple[str, Problem, Mapping[int, MeasuredTimes]]],
) -> SweepSummary:
    """links: each as given, what there is to plan over it, and by cut what was measured."""
    origin, target = ends
    swept = tuple(_one_link(text, problem, target, codec, measured) for text, problem, measured in links)
    return SweepSummary(model=model, origin=origin, target=target, codec=codec, links=swept, made_by=provenance())


def median_error_ratio(cuts: Sequence[CutSummary]) -> float | None:
    """Median of the size of predicted over measured, minus 1, over the cuts that were measured; None without any."""
    errors = [abs(each.latency_s / each.measured_s.median - 1.0) for each in cuts if each.measured_s is not None]
    return statistics.median(errors) if errors else None


def _over(directions: Iterable[LinkEstimate], profiles: Mapping[NodeId, Profile], origin: NodeId) -> Problem:
    links = {(each.source, each.target): each for each in directions}
    return Problem(origin=origin, cuts=profiles[origin].cuts, profiles=profiles, links=links)


def _one_link(
    text: str, problem: Problem, target: NodeId, codec: Codec, measured: Mapping[int, MeasuredTimes]
) -> LinkSummary:
    swept = sweep(problem, target, codec)
    best, link = best_of(swept), problem.links[problem.origin, target]
    cuts = tuple(_one_cut(each, measured.get(each.cut)) for each in swept)
    return LinkSummary(
        text=text,
        goodput_bps=link.goodput_bps,
        rtt_s=link.rtt_s,
        best_cut=best.cut,
        best_plan=str(best.plan),
        cuts=cuts,
        measured_best_cut=min(measured, key=lambda cut: measured[cut].median, default=None),
        median_error_ratio=median_error_ratio(cuts),
    )


def _one_cut(swept: SweptCut, measured_s: MeasuredTimes | None) -> CutSummary:
    return CutSummary(
        cut=swept.cut,
        after=swept.after,
        boundary_bytes=swept.boundary_bytes,
        sent_bytes=swept.sent_bytes,
        origin_s=swept.origin_s,
        transfer_s=swept.transfer_s,
        target_s=swept.target_s,
        latency_s=swept.latency_s,
        measured_s=measured_s,
    )
