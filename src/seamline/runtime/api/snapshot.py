"""What can be seen of a stream at one moment, as plain data: for the live view and the lines of `run --events`.

What happened in a whole stream is `runtime.origin.record`'s.
"""

from __future__ import annotations

from dataclasses import dataclass

from seamline.core.vocabulary.objectives import Objective
from seamline.runtime.origin.controller import Controller
from seamline.runtime.origin.frames import StreamFrames
from seamline.runtime.origin.record import LatencyPart, NodeEnergy, Recorder
from seamline.runtime.shared.clock import now_s


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSnapshot:
    """One direction of one link as measured: goodput_bps is 0.0 when it is down, rtt_s its round trip."""

    source: str
    target: str
    goodput_bps: float
    rtt_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchSnapshot:
    """One switch of the plan. at_s: when it was decided. reason: in words and numbers, from the policy.

    prepare_s: until every node was ready. switch_s: how long the swap itself took. gap_s: how much longer than usual no
    answer came, None while that is not known.
    """

    at_s: float
    from_plan: str
    to_plan: str
    reason: str
    prepare_s: float
    switch_s: float
    gap_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSnapshot:
    """All that can be seen of a stream at one moment; plain data, times since the stream began, lists oldest first.

    latency_s, parts, energy_j_per_frame: of recent frames. predicted_s: what the planner expects of `plan`.
    energy_nodes: what every node drew since the stream began, idling included. is_pinned: one plan is held.
    """

    at_s: float
    plan: str
    generation: int = 0
    frame_rate_fps: float = 0.0
    latency_s: float | None = None
    predicted_s: float | None = None
    parts: tuple[LatencyPart, ...] = ()
    links: tuple[LinkSnapshot, ...] = ()
    switches: tuple[SwitchSnapshot, ...] = ()
    n_answered: int = 0
    n_in_flight: int = 0
    n_dropped: int = 0
    decision: str = ""
    energy_j_per_frame: float | None = None
    energy_source: str | None = None
    objective: str = Objective.LATENCY
    energy_scope: str = "all"
    energy_nodes: tuple[NodeEnergy, ...] = ()
    is_pinned: bool = False


def take_snapshot(frames: StreamFrames, recorder: Recorder, controller: Controller) -> StreamSnapshot:
    """What the stream of these three is doing right now."""
    now = now_s()
    split = recorder.latency_breakdown(now)
    counts, route, view = frames.counts(), frames.route, controller.view
    return StreamSnapshot(
        at_s=now - recorder.started_s,
        plan=str(route.plan),
        generation=route.generation,
        frame_rate_fps=split.fps,
        latency_s=split.latency_s,
        predicted_s=controller.predicted_s,
        parts=split.parts,
        links=tuple(
            LinkSnapshot(source=e.source, target=e.target, goodput_bps=e.goodput_bps, rtt_s=e.rtt_s)
            for e in controller.links
        ),
        switches=_switches(recorder, now),
        n_answered=counts.answered,
        n_in_flight=frames.n_in_flight(),
        n_dropped=counts.dropped_before_acceptance,
        decision=controller.last_reason,
        energy_j_per_frame=split.energy_j,
        energy_source=split.energy_source,
        objective=str(view.objective),
        energy_scope=str(view.energy_scope),
        energy_nodes=recorder.drawn(),
        is_pinned=controller.is_pinned,
    )


def _switches(recorder: Recorder, now: float) -> tuple[SwitchSnapshot, ...]:
    gaps_s = recorder.gaps_s(now)
    return tuple(
        SwitchSnapshot(
            at_s=switch.at_s - recorder.started_s,
            from_plan=str(switch.from_plan),
            to_plan=str(switch.to_plan),
            reason=switch.reason,
            prepare_s=switch.prepare_s,
            switch_s=switch.switch_s,
            gap_s=gaps_s[number] if number < len(gaps_s) else None,
        )
        for number, switch in enumerate(recorder.switches)
    )
