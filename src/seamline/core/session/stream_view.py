"""Stream view estimator: keeps a session's `View`, and the averages that answered frames move.

Everything that is reported or measured comes in here and becomes an event of `core.adaptation.events`; what follows
from them is decided in `pilot.py`. Formulas are those of `core.speed`, `core.link` and `core.cost`.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import replace

from seamline.core.adaptation import events as ev
from seamline.core.adaptation.sharing import busy_by_node
from seamline.core.adaptation.view import View, apply, problem_of
from seamline.core.cost.formulas import compute_s
from seamline.core.cost.loads import StageLoad, node_load
from seamline.core.cost.payload import payload_bytes
from seamline.core.cost.problem import Problem
from seamline.core.link.news import has_jumped, has_moved
from seamline.core.link.report import estimate_of
from seamline.core.session.events import FrameFinished, StatusReceived
from seamline.core.speed import estimator as speed
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec, Plan, Segment

N_WATCHED_FRAMES = 8
SENT_MEMORY, SENT_MOVED_RATIO = 0.9, 0.03
MEMORY_SHRUNK_RATIO, MEMORY_GROWN_RATIO = 0.98, 1.1
"""Changes from which a node's memory is updated: soon when less is left, later when more is."""

COMPUTE_MOVED_RATIO = 0.01
SAME_SAMPLE_S, STD_GROWN_RATIO = 0.1, 1.1
"""A report repeats a sample whose time and uncertainty differ by less; uncertainty grows with age."""

WORK_MOVED = 0.05
"""Of a node's load, in seconds of work a second."""

RATE_MOVED_RATIO, RATE_GAIN, MOST_RATE_PER_S = 0.1, 0.1, 1e4

QUEUE_MOVED_S = 1e-3
"""Smaller moves of a compute ratio or a queue are seen by the next regular decision, soon enough."""


class StreamView:
    """Owner of the view, which changes through `apply` alone.

    has_moved: something has changed since it was last set to False that is worth a decision at once.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self.has_moved = False
        self._problem: tuple[View | None, Problem | None] = (None, None)
        self._compute: dict[NodeId, speed.ComputeState] = {}
        self._decided_ratio: dict[NodeId, float] = {}
        self._compression_ratio: dict[tuple[int, Codec], float] = {}
        self._latencies_s: deque[float] = deque(maxlen=N_WATCHED_FRAMES)
        self._n_measured = 0
        self._came_s, self._gap_s = -math.inf, 0.0
        self._profiled: dict[tuple[NodeId, Segment], float] = {}

    def apply(self, event: ev.Event) -> None:
        """Take an event that is worth a decision."""
        self.view = apply(self.view, event)
        self.has_moved = True

    def pass_time(self, now_s: float) -> None:
        self.view = apply(self.view, ev.Tick(now_s))

    @property
    def problem(self) -> Problem | None:
        """The planning problem now; None while the origin has no profile."""
        known_for, problem = self._problem
        if known_for is not self.view:
            problem = problem_of(self.view)
            self._problem = (self.view, problem)
        return problem

    # -- what nodes report ---------------------------------------------------------------------------------------------

    def profile_known(self, event: ev.ProfileKnown) -> None:
        self._profiled.clear()
        self.apply(event)

    def status_received(self, status: StatusReceived, now_s: float) -> None:
        """Another node has said how its links, its queue and its memory are."""
        for report in status.links:
            estimate = estimate_of(status.node, report, now_s)
            known = self.view.links.get((estimate.source, estimate.target))
            if known is None or not _is_repeated(known, estimate):
                self.link_estimated(estimate, now_s)
        self._load_reported(status, now_s)
        if status.usable_memory_bytes:
            self.memory_measured(status.node, status.usable_memory_bytes, now_s)

    def _load_reported(self, status: StatusReceived, now_s: float) -> None:
        """What others wait there; a node that does not say what streams bring says how long its queue is at least."""
        if status.loads is None:
            known_s = self.view.queue_s.get(status.node)
            if status.queue_s != known_s:
                is_far = abs(status.queue_s - (known_s or 0.0)) > QUEUE_MOVED_S
                self._take(ev.LoadMeasured(status.node, status.queue_s, now_s), is_far)
            return
        load, known = node_load(status.loads, status.n_workers), self.view.loads.get(status.node)
        if load != known:
            is_far = known is None or abs(load.work - known.work) > WORK_MOVED * load.n_workers
            self._take(ev.LoadMeasured(status.node, status.queue_s, now_s, load), is_far)

    def link_estimated(self, estimate: LinkEstimate, now_s: float) -> None:
        """News of a link. One that only says that nothing has moved is no matter of haste."""
        known = self.view.links.get((estimate.source, estimate.target))
        if known is not None and known.goodput_bps > 0.0 and has_jumped(estimate.goodput_bps / known.goodput_bps):
            self._latencies_s.clear()  # those frames crossed another link than their plan is predicted by from now on
        self._take(ev.LinkMeasured(estimate, now_s), known is None or has_moved(known, estimate))

    def memory_measured(self, node: NodeId, n_bytes: int, now_s: float) -> None:
        """Memory that segments may take on `node`; small changes are no news."""
        known = self.view.free_memory_bytes.get(node)
        if known is None or not MEMORY_SHRUNK_RATIO * known <= n_bytes <= MEMORY_GROWN_RATIO * known:
            self.apply(ev.MemoryMeasured(node, n_bytes, now_s))

    def link_lost(self, source: NodeId, target: NodeId, now_s: float) -> None:
        """A frame could not cross: the link is down until it is measured again."""
        known = self.view.links.get((source, target))
        if known is not None:
            self.apply(ev.LinkMeasured(replace(known, goodput_bps=0.0), now_s))

    def restarted(self, node: NodeId) -> None:
        """Another process runs on `node`: what frames said of its speed is void."""
        self._compute.pop(node, None)

    # -- what frames teach ---------------------------------------------------------------------------------------------

    def segment_computed(self, node: NodeId, segment: Segment, measured_s: float, now_s: float) -> bool:
        """`segment` took `measured_s` on `node`; whether that could be compared with its profile."""
        profiled_s = self.profiled_s(node, segment)
        if profiled_s is None:
            return False
        state = self._compute.get(node, speed.ComputeState())
        state = self._compute[node] = speed.observe_compute(state, measured_s, profiled_s, now_s)
        ratio, known = speed.compute_ratio(state), self.view.compute_ratio.get(node, 1.0)
        if ratio != known:
            decided = self._decided_ratio.setdefault(node, known)
            is_far = abs(ratio - decided) > COMPUTE_MOVED_RATIO * decided
            self._take(ev.ComputeMeasured(node, ratio, now_s), is_far)
            if is_far:
                self._decided_ratio[node] = ratio
        return True

    def profiled_s(self, node: NodeId, segment: Segment) -> float | None:
        """Seconds that `segment` takes on `node` by its profile; None for an empty one and without a profile."""
        if segment.is_empty:
            return None
        key = (node, segment)
        known = self._profiled.get(key)
        if known is None:
            problem = self.problem
            if problem is None or node not in problem.profiles:
                return None
            known = self._profiled[key] = compute_s(node, segment, replace(problem, compute_ratio={}))
        return known

    def payload_sent(self, finished: FrameFinished, now_s: float) -> None:
        """Update the compression ratios of the codecs in use, averaged over some frames."""
        problem = self.problem
        if problem is None:
            return
        stages = {stage.node: stage for stage in finished.plan.stages}
        for report in finished.reports:
            stage = stages.get(NodeId(report.node))
            if stage is None or stage.codec is None or report.sent_bytes <= 0:
                continue
            cut = problem.cuts[stage.segment.stop]
            by_formula = payload_bytes(cut, stage.codec, problem.frame)
            if by_formula <= 0:
                continue
            key, ratio = (cut.index, stage.codec), report.sent_bytes / by_formula
            self._compression_ratio[key] = mean = ratio + SENT_MEMORY * (
                self._compression_ratio.get(key, ratio) - ratio
            )
            known = self.view.compression_ratio.get(key)
            if known is None or abs(mean - known) > SENT_MOVED_RATIO * known:
                self.apply(ev.CompressionMeasured(cut.index, stage.codec, mean, now_s))

    def latency_measured(self, finished: FrameFinished, now_s: float) -> None:
        """Latency of a frame by the plan in use, at its first try, its wait at the origin apart; counts in medians
        of some."""
        waited_s = finished.reports[0].queue_s if finished.reports else 0.0
        self._latencies_s.append(finished.latency_s - waited_s)
        self._n_measured += 1
        if len(self._latencies_s) == N_WATCHED_FRAMES and self._n_measured % (N_WATCHED_FRAMES // 2) == 0:
            median_s = statistics.median(self._latencies_s)
            self.apply(ev.LatencyMeasured(finished.generation, median_s, N_WATCHED_FRAMES, now_s))

    def frame_came(self, period_s: float, now_s: float) -> None:
        """A frame was answered, of a source that brings one every `period_s`; or as fast as they are, for 0.0."""
        gap_s, self._came_s = now_s - self._came_s, now_s
        if period_s <= 0.0 and gap_s < math.inf:
            self._gap_s += gap_s - self._gap_s if not self._gap_s else RATE_GAIN * (gap_s - self._gap_s)
            period_s = self._gap_s
        if period_s <= 0.0:
            return
        rate, known = min(MOST_RATE_PER_S, 1.0 / period_s), self.view.rate_per_s
        if abs(rate - known) > RATE_MOVED_RATIO * known:
            self._take(ev.RateMeasured(rate, now_s), is_worth_deciding=False)

    def move_held(self, is_held: bool, now_s: float) -> None:
        """A decision has put off a move by load, or has not."""
        if is_held != (self.view.sharing.held_since_s < math.inf):
            self._take(ev.MoveHeld(is_held, now_s), is_worth_deciding=False)

    def loads_of(self, plan: Plan) -> dict[NodeId, StageLoad]:
        """What the frames of this stream bring to the nodes of `plan`."""
        problem, rate_per_s = self.problem, self.view.rate_per_s
        busy = {} if problem is None else busy_by_node(plan, problem)
        return {node: StageLoad(rate_per_s, busy_s) for node, busy_s in busy.items()}

    def plan_serving(self, plan: Plan, generation: int, now_s: float) -> None:
        """Another plan is in use: the latencies so far were not its."""
        self._latencies_s.clear()
        self.apply(ev.PlanServing(plan, generation, now_s))

    def _take(self, event: ev.Event, is_worth_deciding: bool) -> None:
        self.view = apply(self.view, event)
        self.has_moved = self.has_moved or is_worth_deciding


def _is_repeated(known: LinkEstimate, estimate: LinkEstimate) -> bool:
    """Whether a report repeats the known sample. Delays of reports vary and are not in their ages, so that an old
    sample could look like a new one."""
    return (
        estimate.goodput_bps == known.goodput_bps
        and estimate.n_samples == known.n_samples
        and estimate.rtt_s == known.rtt_s
        and estimate.average_bps == known.average_bps
        and abs(estimate.measured_at_s - known.measured_at_s) < SAME_SAMPLE_S
        and estimate.goodput_std_ratio < STD_GROWN_RATIO * known.goodput_std_ratio
    )
