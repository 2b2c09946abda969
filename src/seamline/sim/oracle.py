"""What was best, known afterwards: plans worth holding, what each would have cost at any time, and the best sequence.

`frame_costs` walks all frames of a plan through the true links at once, each on an otherwise empty machine (arrays over
frames). From that come the best fixed plans and, by dynamic programming over frames x plans with a price per switch,
the schedule of an oracle that has read the trace. Both are then played like any other, with queues and noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from seamline.core.cost.formulas import joules
from seamline.core.planning.planner import PlanKind, Planned, Planner
from seamline.core.vocabulary.errors import Infeasible
from seamline.core.vocabulary.links import Link, LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective, Within
from seamline.core.vocabulary.plans import Plan
from seamline.sim.network import Hop, Network
from seamline.sim.rates import Floats
from seamline.sim.scene import Scene
from seamline.sim.stage_work import StageWorkTable, problem_of_scene

MAX_MOMENTS = 300
"""So many different moments of a trace are planned for."""

SAME_RATIO = 1.08
"""Rates closer than this count as one moment."""

MISS_J = 1e3
"""A missed deadline counts as so many joules, far above those of a frame: fewer misses first, joules among equals."""


def candidates(scene: Scene) -> tuple[Plan, ...]:
    """Plans that are the best, or the best of their kind, at some moment or on average; local first where allowed."""
    network = Network.of(scene)
    found: dict[Plan, None] = {}
    planner = Planner()
    for links, factors in _moments(scene, network):
        problem = replace(problem_of_scene(scene, links), compute_ratio=factors)
        try:
            planned = planner.plan(problem)
        except Infeasible:
            continue
        for plan in _worth_trying(planned):
            found[plan] = None
    return tuple(sorted(found, key=lambda plan: (len(plan.stages), str(plan))))


def frame_costs(scene: Scene, plan: Plan, work_table: StageWorkTable) -> Floats:
    """float64[n_frames]: what each frame would cost under `plan` by the scene's objective, alone on its way."""
    network = Network.of(scene)
    started_s = np.arange(scene.n_frames) / scene.fps
    now_s = started_s.copy()
    slowest_s = np.zeros(scene.n_frames)
    busy: list[tuple[NodeId, Floats]] = []
    sent: list[tuple[NodeId, NodeId, float]] = []
    for work in work_table.of(plan):
        busy_s = (work.codec_s + work.compute_s) * _factors(scene, work.node, now_s)
        now_s = now_s + busy_s
        slowest_s = np.maximum(slowest_s, busy_s)
        busy.append((work.node, busy_s))
        if work.to != work.node:
            sent.append((work.node, work.to, work.payload_bytes))
            arrived_s, occupied_s = _cross(network, (work.node, work.to), work.sent_bytes, now_s)
            now_s, slowest_s = arrived_s, np.maximum(slowest_s, occupied_s)
    match scene.objective:
        case Objective.LATENCY:
            return now_s - started_s
        case Objective.THROUGHPUT:
            return slowest_s
        case Objective.ENERGY:
            return _joules(now_s - started_s, busy, sent, work_table)
        case Within(slo_s=slo_s):
            is_missed = now_s - started_s > slo_s
            return MISS_J * is_missed + _joules(now_s - started_s, busy, sent, work_table)


def switch_cost(scene: Scene, costs: Floats) -> float:
    """What a switch takes from frames, in units of the objective: a frame waits while its nodes prepare. For the other
    objectives, which such a wait hardly touches, one part in a hundred of a frame's cost."""
    if scene.objective is Objective.LATENCY:
        return scene.prepare_busy_s
    return 0.01 * float(np.median(costs.min(axis=0)))


def best_sequence(costs: Floats, cost_of_switch: float) -> list[int]:
    """The row of `costs`, float64[n_plans, n_frames], to use at each frame: the least sum, each change priced."""
    n_plans, n_frames = costs.shape
    stays = np.ones((n_frames, n_plans), dtype=np.bool_)
    cheapest = [0] * n_frames
    total, by_frame = costs[:, 0].copy(), np.ascontiguousarray(costs.T)
    for frame in range(1, n_frames):
        cheapest[frame] = at = int(total.argmin())
        changed = total[at] + cost_of_switch
        np.less_equal(total, changed, out=stays[frame])
        np.minimum(total, changed, out=total)
        total += by_frame[frame]
    at = int(total.argmin())
    sequence = [at]
    for frame in range(n_frames - 1, 0, -1):
        at = at if stays[frame, at] else cheapest[frame]
        sequence.append(at)
    return sequence[::-1]


def schedule_of(plans: Sequence[Plan], costs: Floats, scene: Scene) -> tuple[tuple[float, Plan], ...]:
    """The best sequence of different `plans` as (at_s, plan), one entry per change."""
    rows = best_sequence(costs, switch_cost(scene, costs))
    turns = [0, *(frame for frame in range(1, len(rows)) if rows[frame] != rows[frame - 1])]
    return tuple((frame / scene.fps, plans[rows[frame]]) for frame in turns)


def _moments(scene: Scene, network: Network) -> Iterable[tuple[dict[Link, LinkEstimate], dict[NodeId, float]]]:
    """Different states of links and nodes that occur, evenly over the run, and the average one."""
    n_samples = min(4000, scene.n_frames)
    times_s = np.linspace(0.0, scene.duration_s, n_samples, endpoint=False)
    seen: dict[tuple[float, ...], float] = {}
    turning = [pair for pair in network.paths if network.varies_rate(pair)]
    moving = [pair for pair in network.paths if network.varies_delay(pair)]
    for at_s in times_s.tolist():  # what never changes tells no moment from another
        state = [network.rate_bps(pair, at_s) for pair in turning]
        state += [scene.slowdown(node, at_s) for node in scene.slowdowns]
        state += [network.round_trip_s(pair, at_s) + 1e-3 for pair in moving]
        key = tuple(round(math.log(max(value, 1e-9)) / math.log(SAME_RATIO)) for value in state)
        seen.setdefault(key, at_s)
    chosen = list(seen.values())
    step = max(1, math.ceil(len(chosen) / MAX_MOMENTS))
    for at_s in chosen[::step]:
        factors = {node: scene.slowdown(node, at_s) for node in scene.profiles}
        yield {pair: network.truth(pair, at_s) for pair in network.paths}, factors
    yield {pair: _average(network, pair, times_s) for pair in network.paths}, {}


def _joules(
    in_flight_s: Floats,
    busy: Sequence[tuple[NodeId, Floats]],
    sent: Sequence[tuple[NodeId, NodeId, float]],
    work_table: StageWorkTable,
) -> Floats:
    spent_j = joules(in_flight_s, busy, sent, work_table.problem)
    return np.full(len(in_flight_s), math.inf) if spent_j is None else spent_j


def _average(network: Network, pair: Link, times_s: Floats) -> LinkEstimate:
    """Harmonic over the times when the link carries: the rate that keeps the mean transfer time."""
    rates = [rate for at_s in times_s.tolist() if (rate := network.rate_bps(pair, at_s)) > 0.0]
    rate_bps = len(rates) / math.fsum(1.0 / rate for rate in rates) if rates else 0.0
    return replace(network.truth(pair, 0.0), goodput_bps=rate_bps)


def _worth_trying(planned: Planned) -> Iterable[Plan]:
    for kind in PlanKind:
        if (plan := planned.best(kind).plan) is not None:
            yield plan


def _factors(scene: Scene, node: NodeId, at_s: Floats) -> Floats:
    steps = scene.slowdowns.get(node, ())
    if not steps:
        return np.ones_like(at_s)
    index = np.searchsorted([since_s for since_s, _ in steps], at_s, side="right")
    return np.array([1.0, *(factor for _, factor in steps)])[index]


def _cross(network: Network, pair: Link, n_bytes: int, now_s: Floats) -> tuple[Floats, Floats]:
    """When messages sent at `now_s` have arrived, and how long each occupied its slowest link."""
    head_s, arrived_s, occupied_s = now_s, now_s, np.zeros_like(now_s)
    for hop in network.paths[pair]:
        through_s = np.maximum(hop.curve.finish_all_s(head_s, 8.0 * n_bytes), arrived_s)
        delays_s = _delays(hop, head_s)
        occupied_s = np.maximum(occupied_s, through_s - head_s)
        head_s, arrived_s = head_s + delays_s, through_s + delays_s
    return arrived_s, occupied_s


def _delays(hop: Hop, at_s: Floats) -> Floats:
    if not hop.trace.delays_s:
        return np.full_like(at_s, hop.steady_delay_s)
    index = np.searchsorted(hop.trace.times_s, at_s % hop.trace.length_s, side="right") - 1
    return np.array(hop.trace.delays_s)[np.maximum(index, 0)]
