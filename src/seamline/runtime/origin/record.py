"""Recorder of a stream: answers, plans, switches and joules, as they come.

A `Recorder` is fed by the stream and read by whoever renders; it decides nothing. The figures that a stream ends with
are made from its `History` in `summary.py`.
"""

from __future__ import annotations

import statistics
import threading
from array import array
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seamline.core.cost.problem import EnergyScope
from seamline.core.session.commands import SwitchRecord
from seamline.core.vocabulary.plans import Plan
from seamline.fabric.messages import EnergyReport
from seamline.runtime.origin.gaps import BEFORE_S, gap_s, is_settled
from seamline.runtime.origin.latencies import Latencies, LatencyFigures
from seamline.runtime.origin.results import Result
from seamline.runtime.shared.energy import joint_source

RECENT_S = 2.0
MIN_WINDOW_S = 1.0
"""From the start: figures of less are those of one frame."""

ANSWERS_KEPT_S = 600.0
"""Times of answers of this span at the least are kept, for the gaps of switches that took long to prepare."""

N_ANSWERS_KEPT = 1 << 12
"""Times of answers below which none is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyPart:
    """One part of a frame's way: on a node (queueing and codec included), or on links and in buffers."""

    name: str
    duration_s: float
    is_transfer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyBreakdown:
    """Where recent frames spent their time, in the order of their way; latency_s: None when nothing is known yet.

    energy_j: of the mean frame that has any, from energy_source.
    """

    fps: float
    latency_s: float | None
    parts: tuple[LatencyPart, ...]
    energy_j: float | None = None
    energy_source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEnergy:
    """What a node drew since the stream began, idling included, and who says so."""

    node: str
    energy_j: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDraw:
    """The same with every source that is in it, the last one last, and what the joules are of."""

    node: str
    energy_j: float
    sources: tuple[str, ...]
    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All that happened in a stream until one moment; clock readings, of which `started_s` counts as 0.

    plans: from when which was in use. gaps_s: of the switches, None where no two answers fell there. drawn: by name of
    the node. frame_j: mean joules of the n_frames_j frames that have any, from frame_sources, counted by energy_scope.
    codecs: boundaries that answered frames crossed, by codec.
    """

    started_s: float
    latency_s: LatencyFigures
    latency_percentiles_s: tuple[float, ...]
    longest_gap_s: float | None
    n_failed: int
    n_completed_elsewhere: int
    plans: tuple[tuple[float, Plan], ...]
    switches: tuple[SwitchRecord, ...]
    gaps_s: tuple[float | None, ...]
    drawn: tuple[NodeDraw, ...]
    frame_j: float | None
    n_frames_j: int
    frame_sources: frozenset[str]
    energy_scope: EnergyScope
    codecs: Mapping[str, int]


@dataclass(slots=True)
class _Drawn:
    """What one node drew. last_j: its meter's last word; energy_j: since the stream began.

    sources: of all that is in it; a node that was started again may have another meter.
    """

    sources: list[str]
    scope: str
    last_j: float
    energy_j: float = 0.0

    @property
    def source(self) -> str:
        return joint_source(self.sources) or ""


def switch_to_dict(switch: SwitchRecord, started_s: float) -> dict[str, Any]:
    """`switch` as plain data, times since `started_s`; what the one who asked for it from another node is told."""
    return {
        "at_s": switch.at_s - started_s,
        "from_plan": str(switch.from_plan),
        "to_plan": str(switch.to_plan),
        "reason": switch.reason,
        "strategy": switch.strategy,
        "prepare_s": switch.prepare_s,
        "switch_s": switch.switch_s,
        "pause_s": switch.pause_s,
        "load_s": switch.load_s,
        "sent_bytes": switch.sent_bytes,
    }


class Recorder:
    """Collects a stream's history. started_s: the clock reading that counts as 0 in everything it says."""

    def __init__(self, started_s: float) -> None:
        self.started_s = started_s
        self._lock = threading.Lock()
        self._answered_s = array("d")
        self._longest_gap_s: float | None = None
        self._latencies = Latencies()
        self._n_failed = 0
        self._n_completed_elsewhere = 0
        self._recent: deque[tuple[float, Result]] = deque()
        self._plans: list[tuple[float, Plan]] = []
        self._switches: list[SwitchRecord] = []
        self._gaps_s: list[float | None] = []
        self._drawn: dict[str, _Drawn] = {}
        self._sum_j, self._n_frames_j = 0.0, 0
        self._frame_sources: set[str] = set()
        self._energy_scope = EnergyScope.ALL
        self._codecs: Counter[str] = Counter()

    def charge(self, scope: EnergyScope) -> None:
        """Joules of frames are those of `scope` from now on; what was counted otherwise is not averaged with them."""
        with self._lock:
            self._energy_scope = scope
            self._sum_j, self._n_frames_j = 0.0, 0
            self._frame_sources.clear()

    def answered(self, result: Result) -> None:
        """One answer has arrived (in any order); that to a frame from before the start counts no more."""
        at_s = result.accepted_s + result.latency_s
        with self._lock:
            if result.accepted_s < self.started_s:
                return
            self._note_time(at_s)
            self._latencies.add(result.latency_s)
            self._n_failed += result.error is not None
            self._n_completed_elsewhere += result.n_attempts > 1 and result.error is None
            if result.energy_j is not None and result.energy_source is not None:
                self._sum_j += result.energy_j
                self._n_frames_j += 1
                self._frame_sources.add(result.energy_source)
            self._codecs.update(stage.codec for stage in result.plan.stages if stage.codec is not None)
            self._recent.append((at_s, result))
            while self._recent and self._recent[0][0] < at_s - RECENT_S:
                self._recent.popleft()

    def drew(self, node: str, report: EnergyReport) -> None:
        """A node's meter has spoken. One that starts anew counts from 0 again."""
        with self._lock:
            known = self._drawn.get(node)
            if known is None:
                self._drawn[node] = _Drawn([report.source], report.scope, report.energy_j)
                return
            step_j = report.energy_j - known.last_j
            is_anew = step_j < 0.0 or report.source != known.sources[-1]
            known.energy_j += report.energy_j if is_anew else step_j
            known.last_j = report.energy_j
            if report.source != known.sources[-1]:
                known.sources.append(report.source)
                known.scope = ", ".join(dict.fromkeys([*known.scope.split(", "), report.scope]))

    def drawn(self) -> tuple[NodeEnergy, ...]:
        """What every node with a meter or power figures drew so far, by name."""
        with self._lock:
            return tuple(
                NodeEnergy(node=node, energy_j=drawn.energy_j, source=drawn.source)
                for node, drawn in sorted(self._drawn.items())
            )

    def restart(self, started_s: float, plan: Plan) -> None:
        """Frames begin to flow: time, answers and joules count from now, with `plan` in use."""
        with self._lock:
            self.started_s = started_s
            self._plans = [(started_s, plan)]
            self._switches.clear()
            self._gaps_s.clear()
            self._answered_s = array("d")
            self._longest_gap_s = None
            self._latencies = Latencies()
            self._recent.clear()
            self._n_failed = self._n_completed_elsewhere = 0
            self._sum_j, self._n_frames_j = 0.0, 0
            self._frame_sources.clear()
            self._codecs.clear()
            for drawn in self._drawn.values():
                drawn.energy_j = 0.0

    def plan_in_use(self, at_s: float, plan: Plan) -> None:
        with self._lock:
            self._plans.append((at_s, plan))

    def switched(self, switch: SwitchRecord) -> None:
        with self._lock:
            self._switches.append(switch)

    @property
    def switches(self) -> tuple[SwitchRecord, ...]:
        with self._lock:
            return tuple(self._switches)

    def gaps_s(self, now: float) -> tuple[float | None, ...]:
        """Gaps of the switches that have settled, oldest first, as `gap_s` says."""
        with self._lock:
            self._settle(now)
            return tuple(self._gaps_s)

    def latency_breakdown(self, now: float) -> LatencyBreakdown:
        """Where the time of recent frames went: of those by the plan of the newest, so that two plans never mix.

        Nothing is said of the first second.
        """
        with self._lock:
            answered = [result for at_s, result in self._recent if at_s >= now - RECENT_S]
        if not answered or now - self.started_s < MIN_WINDOW_S:
            return LatencyBreakdown(fps=0.0, latency_s=None, parts=())
        recent = [result for result in answered if result.plan == answered[-1].plan]
        n = len(recent)
        spent: dict[str, float] = {}
        for result in recent:
            for report in result.reports:
                seconds = report.queue_s + report.decode_s + report.compute_s + report.encode_s
                spent[report.node] = spent.get(report.node, 0.0) + seconds
        joules = [result.energy_j for result in recent if result.energy_j is not None]
        transfer_s = sum(result.transfer_s for result in recent)
        nodes = [LatencyPart(name=name, duration_s=seconds / n) for name, seconds in spent.items()]
        transfer = LatencyPart(name="transfer", duration_s=transfer_s / n, is_transfer=True)
        return LatencyBreakdown(
            fps=len(answered) / min(RECENT_S, now - self.started_s),
            latency_s=sum(result.latency_s for result in recent) / n,
            parts=(*nodes[:1], transfer, *nodes[1:]),
            energy_j=statistics.fmean(joules) if joules else None,
            energy_source=recent[-1].energy_source,
        )

    def history(self) -> History:
        """All that has happened, at one moment."""
        with self._lock:
            return History(
                started_s=self.started_s,
                latency_s=self._latencies.figures(),
                latency_percentiles_s=self._latencies.percentiles(),
                longest_gap_s=self._longest_gap_s,
                n_failed=self._n_failed,
                n_completed_elsewhere=self._n_completed_elsewhere,
                plans=tuple(self._plans),
                switches=tuple(self._switches),
                gaps_s=(*self._gaps_s, *(gap_s(self._answered_s, one) for one in self._switches[len(self._gaps_s) :])),
                drawn=tuple(
                    NodeDraw(node=node, energy_j=drawn.energy_j, sources=tuple(drawn.sources), scope=drawn.scope)
                    for node, drawn in sorted(self._drawn.items())
                ),
                frame_j=self._sum_j / self._n_frames_j if self._n_frames_j else None,
                n_frames_j=self._n_frames_j,
                frame_sources=frozenset(self._frame_sources),
                energy_scope=self._energy_scope,
                codecs=dict(sorted(self._codecs.items())),
            )

    def _note_time(self, at_s: float) -> None:
        """Keep the time of an answer, and drop times that no gap of a switch can need any more."""
        times = self._answered_s
        if times:
            self._longest_gap_s = max(self._longest_gap_s or 0.0, at_s - times[-1])
        times.append(at_s)
        if len(times) > N_ANSWERS_KEPT and times[len(times) // 2] < at_s - ANSWERS_KEPT_S:
            self._settle(at_s)
            unsettled = self._switches[len(self._gaps_s) :]
            needed_s = min([at_s - ANSWERS_KEPT_S, *(one.at_s - 2.0 * BEFORE_S for one in unsettled)])
            del times[: bisect_left(times, needed_s)]

    def _settle(self, now_s: float) -> None:
        for switch in self._switches[len(self._gaps_s) :]:
            if not is_settled(switch, now_s):
                break
            self._gaps_s.append(gap_s(self._answered_s, switch))
