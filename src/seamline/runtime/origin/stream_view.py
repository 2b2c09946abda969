"""What one stream's controller believes: the view of `core.adaptation.events`, and the averages that answered frames
move.

Everything that is told or measured comes in here and becomes events; what follows from them is decided in
`controller.py`. Formulas are `core.link.estimator` and `core.cost.formulas`. Used on the controller's thread only; the
view itself is an immutable value that any thread may read.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Collection
from dataclasses import replace

from seamline.core.adaptation import events as ev
from seamline.core.adaptation.view import View, apply, problem_of
from seamline.core.cost.formulas import compute_s
from seamline.core.cost.payload import payload_bytes
from seamline.core.cost.problem import Problem
from seamline.core.speed import estimator as speed
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec, Segment
from seamline.fabric import messages as msg
from seamline.runtime.origin.results import Result
from seamline.runtime.shared.clock import now_s

N_WATCHED_FRAMES = 8
SENT_MEMORY, SENT_MOVED_RATIO = 0.9, 0.03
MEMORY_SHRUNK_RATIO, MEMORY_GROWN_RATIO = 0.98, 1.1
"""A node's memory counts anew when it has changed so much: soon when less is left, later when more is."""


class Beliefs:
    """Owner of a stream's view, which changes through `apply` alone. view: all that decisions rest on, as it is now."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._compute: dict[NodeId, speed.ComputeState] = {}
        self._sent_ratio: dict[tuple[int, Codec], float] = {}
        self._latencies: deque[float] = deque(maxlen=N_WATCHED_FRAMES)
        self._n_measured = 0

    def apply(self, event: ev.Event) -> None:
        self.view = apply(self.view, event)

    @property
    def problem(self) -> Problem | None:
        """The planning problem now; None while the origin has no profile."""
        return problem_of(self.view)

    def links(self, nodes: Collection[NodeId]) -> tuple[LinkEstimate, ...]:
        """Current estimates of the links between `nodes`."""
        return tuple(e for (source, target), e in sorted(self.view.links.items()) if {source, target} <= set(nodes))

    # -- what nodes tell -----------------------------------------------------------------------------------------------

    def told(self, name: NodeId, status: msg.Status) -> None:
        """Another node has said how its links, its queue and its memory are."""
        now = now_s()
        for report in status.links:
            self.apply(ev.LinkMeasured(_estimate_of(name, report, now), now))
        self.apply(ev.LoadMeasured(name, status.queue_s, now))
        if status.usable_memory_bytes:
            self.memory(name, status.usable_memory_bytes)

    def memory(self, name: NodeId, n_bytes: int) -> None:
        """So much may be used on `name`; small changes are no news."""
        known = self.view.free_memory_bytes.get(name)
        if known is None or not MEMORY_SHRUNK_RATIO * known <= n_bytes <= MEMORY_GROWN_RATIO * known:
            self.apply(ev.MemoryMeasured(name, n_bytes, now_s()))

    def link_lost(self, source: NodeId, target: NodeId) -> None:
        """A frame could not cross: the link is down until it is measured again."""
        known = self.view.links.get((source, target))
        if known is not None:
            self.apply(ev.LinkMeasured(replace(known, goodput_bps=0.0), now_s()))

    def restarted(self, name: NodeId) -> None:
        """Another process runs on `name`: what frames said of its speed is void."""
        self._compute.pop(name, None)

    # -- what frames teach ---------------------------------------------------------------------------------------------

    def computed(self, name: NodeId, segment: Segment, measured_s: float) -> bool:
        """`segment` took `measured_s` on `name`; whether that could be compared with its profile."""
        problem = self.problem
        if problem is None or name not in problem.profiles or segment.is_empty:
            return False
        expected_s = compute_s(name, segment, replace(problem, compute_ratio={}))
        before = self._compute.get(name, speed.ComputeState())
        after = self._compute[name] = speed.observe_compute(before, measured_s, expected_s, now_s())
        if (ratio := speed.compute_ratio(after)) != self.view.compute_ratio.get(name, 1.0):
            self.apply(ev.ComputeMeasured(name, ratio, now_s()))
        return True

    def sent(self, result: Result) -> None:
        """What a codec sent at a cut, averaged over some frames, beside what its formula says."""
        problem = self.problem
        if problem is None:
            return
        stages = {stage.node: stage for stage in result.plan.stages}
        for report in result.reports:
            stage = stages.get(NodeId(report.node))
            if stage is None or stage.codec is None or report.sent_bytes <= 0:
                continue
            cut = problem.cuts[stage.segment.stop]
            by_formula = payload_bytes(cut, stage.codec, problem.frame)
            if by_formula <= 0:
                continue
            key, ratio = (cut.index, stage.codec), report.sent_bytes / by_formula
            self._sent_ratio[key] = mean = ratio + SENT_MEMORY * (self._sent_ratio.get(key, ratio) - ratio)
            told = self.view.sent_ratio.get(key)
            if told is None or abs(mean - told) > SENT_MOVED_RATIO * told:
                self.apply(ev.SentMeasured(cut.index, stage.codec, mean, now_s()))

    def took(self, result: Result) -> None:
        """How long a frame took by the plan in use, first try; counts in medians of some."""
        waited_s = result.reports[0].queue_s if result.reports else 0.0
        self._latencies.append(result.latency_s - waited_s)
        self._n_measured += 1
        if len(self._latencies) == N_WATCHED_FRAMES and self._n_measured % (N_WATCHED_FRAMES // 2) == 0:
            median_s = statistics.median(self._latencies)
            self.apply(ev.LatencyMeasured(result.generation, median_s, N_WATCHED_FRAMES, now_s()))

    def serves_anew(self) -> None:
        """Another plan is in use: the latencies so far were not its."""
        self._latencies.clear()


def _estimate_of(source: NodeId, report: msg.LinkReport, now: float) -> LinkEstimate:
    """Another node's estimate of its link, with its age turned into our clock's time."""
    return LinkEstimate(
        source=source,
        target=NodeId(report.target),
        rtt_s=report.rtt_s,
        goodput_bps=report.goodput_bps,
        goodput_std_ratio=report.goodput_std_ratio,
        measured_at_s=now - report.age_s,
        n_samples=report.n_samples,
        overhead_s=report.overhead_s,
    )
