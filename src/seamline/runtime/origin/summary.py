"""Summary of a stream: frames, latency, energy, switches and plans, made from its recorder's `History`.

`to_json` of it is what `seamline run --json` prints and what `Stream.summary` returns; the texts on the fields are the
meanings of the keys in docs/cli.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from seamline.core.recording.provenance import Provenance
from seamline.core.session.commands import SwitchRecord
from seamline.core.session.frame_counts import FrameCounts
from seamline.meters.provenance import provenance
from seamline.runtime.origin.audit import Audited
from seamline.runtime.origin.latencies import LatencyFigures
from seamline.runtime.origin.record import History
from seamline.runtime.shared.energy import joint_source
from seamline.runtime.sources.health import SourceFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFigures:
    """What became of the frames."""

    accepted: Annotated[int, "frames that entered the pipeline"]
    answered: Annotated[int, "frames with an answer; equal to accepted when nothing was lost"]
    dropped_before_acceptance: Annotated[int, "camera frames replaced by a newer one before there was room"]
    lost: Annotated[int, "accepted without an answer"]
    duplicated: Annotated[int, "answers delivered twice"]
    out_of_order: Annotated[int, "answers delivered after a later frame's"]
    completed_elsewhere: Annotated[int, "frames run again because a node died, refused or took too long"]
    late_answers_ignored: Annotated[int, "answers that came after the frame had been answered otherwise"]
    failed: Annotated[int, "frames whose answer is an error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEnergyFigures:
    """What one node drew by its meter or power figures."""

    j: Annotated[float, "all that the node drew while frames flowed, idling included"]
    j_per_frame: Annotated[float, "the same over the answered frames"]
    source: Annotated[str, "`measured:METER` or `modelled:PROFILE`"]
    scope: Annotated[str, "what the joules are of, e.g. `whole board` or `processor packages`"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyFigures:
    """Joules of frames by the stages that ran them, and all that nodes drew by their meters."""

    j_per_frame: Annotated[
        float | None, "mean joules of a frame: stages above idle, radios, the origin's idling; null if unknown"
    ]
    n_frames: Annotated[int, "frames behind that: those since `counted` was set whose stages all have joules"]
    counted: Annotated[
        str, "whose joules these are: `all` nodes', the `origin`'s, or weighted; frames since that was set"
    ]
    source: Annotated[
        str | None, "where these come from: `measured:METER`, `modelled:PROFILE`, joined by + over nodes, or mixed"
    ]
    nodes: Mapping[str, NodeEnergyFigures]
    total_j: Annotated[float | None, "sum over the nodes, null when none has a meter or power figures"]
    total_j_per_frame: Annotated[float | None, "the same over the answered frames"]
    total_source: Annotated[str | None, "where the sum comes from"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchFigures:
    """One switch, and the gap between answers that it made."""

    at_s: Annotated[float, "when it was decided, seconds since the stream began"]
    from_plan: Annotated[str, "plan before"]
    to_plan: Annotated[str, "plan after"]
    reason: Annotated[str, "why, in words and numbers"]
    prepare_s: Annotated[float, "from the decision to the new plan serving; the old one serves meanwhile"]
    switch_s: Annotated[float, "how long the swap itself kept frames from being accepted"]
    strategy: Annotated[str, "how it was done, see `seamline switch`"]
    pause_s: Annotated[float, "how long nothing was accepted before the swap, by design of the strategy"]
    load_s: Annotated[float, "what the slowest node spent on preparing"]
    sent_bytes: Annotated[int, "bytes of messages to other nodes for the switch"]
    gap_s: Annotated[float | None, "longest time between two answers around it, less the usual interval"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanInUse:
    """A plan, and since when."""

    at_s: Annotated[float, "when a plan came into use"]
    plan: Annotated[str, "the plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFigures:
    """What frames that ran unsplit as well have shown, with `--min-agreement`."""

    n_frames: Annotated[int, "frames that also ran whole on the origin, for comparison"]
    agreement_ratio: Annotated[float | None, "of their answers, the share that mean the same; null when there are none"]
    withdrawn: Annotated[tuple[str, ...], "codecs that no plan may use at a cut any more, with the reason"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A stream's figures; times since it began."""

    frames: FrameFigures
    source: SourceFigures | None
    latency_s: LatencyFigures
    energy: EnergyFigures
    longest_gap_s: Annotated[float | None, "longest time between two answers"]
    switches: tuple[SwitchFigures, ...]
    plan_timeline: tuple[PlanInUse, ...]
    codecs: Mapping[str, Annotated[int, "answered frames that crossed a link so; one that crosses two counts twice"]]
    audit: AuditFigures | None
    latency_percentiles_s: Annotated[tuple[float, ...], "latency's 0th to 100th percentile, for its distribution"] = ()
    made_by: Provenance | None = None


def run_summary(
    history: History,
    counts: FrameCounts,
    source: SourceFigures | None = None,
    audited: Audited | None = None,
    *,
    n_left: int = 0,
) -> RunSummary:
    """What a stream with this `history`, these `counts` of frames and this `source` of them ends with.

    n_left: frames that were on their way when the caller wanted no more answers; they are not lost.
    """
    started_s = history.started_s
    return RunSummary(
        frames=FrameFigures(
            accepted=counts.accepted,
            answered=counts.answered,
            dropped_before_acceptance=counts.dropped_before_acceptance,
            lost=counts.lost - min(n_left, counts.lost),
            duplicated=counts.duplicated,
            out_of_order=counts.out_of_order,
            completed_elsewhere=history.n_completed_elsewhere,
            late_answers_ignored=counts.late_answers,
            failed=history.n_failed,
        ),
        source=source,
        latency_s=history.latency_s,
        energy=_energy(history),
        longest_gap_s=history.longest_gap_s,
        switches=tuple(
            _switch(switch, gap_s, started_s) for switch, gap_s in zip(history.switches, history.gaps_s, strict=True)
        ),
        plan_timeline=tuple(PlanInUse(at_s=at_s - started_s, plan=str(plan)) for at_s, plan in history.plans),
        codecs=history.codecs,
        audit=None
        if audited is None
        else AuditFigures(
            n_frames=audited.n_frames,
            agreement_ratio=audited.agreement_ratio,
            withdrawn=audited.withdrawn,
        ),
        latency_percentiles_s=history.latency_percentiles_s,
        made_by=provenance(),
    )


def _energy(history: History) -> EnergyFigures:
    n_frames = max(1, history.latency_s.n)
    total_j = sum(drawn.energy_j for drawn in history.drawn)
    return EnergyFigures(
        j_per_frame=history.frame_j,
        n_frames=history.n_frames_j,
        counted=str(history.energy_scope),
        source=", ".join(sorted(history.frame_sources)) or None,
        nodes={
            drawn.node: NodeEnergyFigures(
                j=drawn.energy_j,
                j_per_frame=drawn.energy_j / n_frames,
                source=joint_source(drawn.sources) or "",
                scope=drawn.scope,
            )
            for drawn in history.drawn
        },
        total_j=total_j if history.drawn else None,
        total_j_per_frame=total_j / n_frames if history.drawn else None,
        total_source=joint_source([source for drawn in history.drawn for source in drawn.sources]),
    )


def _switch(switch: SwitchRecord, gap_s: float | None, started_s: float) -> SwitchFigures:
    return SwitchFigures(
        at_s=switch.at_s - started_s,
        from_plan=str(switch.from_plan),
        to_plan=str(switch.to_plan),
        reason=switch.reason,
        prepare_s=switch.prepare_s,
        switch_s=switch.switch_s,
        strategy=switch.strategy,
        pause_s=switch.pause_s,
        load_s=switch.load_s,
        sent_bytes=switch.sent_bytes,
        gap_s=gap_s,
    )
