"""One run of one decider over a scene: everything put together, played to its end, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from seamline.core.adaptation.events import LinkMeasured
from seamline.core.adaptation.view import apply
from seamline.core.cost.formulas import joules
from seamline.core.planning.planner import evaluate
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.sim.controller import Controller, SwitchMade
from seamline.sim.deciders import Decider, LastValue
from seamline.sim.journey import Journeys
from seamline.sim.meter import Heartbeat, Meter
from seamline.sim.network import Network
from seamline.sim.rates import Floats
from seamline.sim.scene import Scene
from seamline.sim.schedule import Schedule
from seamline.sim.stream import Frame, Stream

LEASE_S = 0.4
"""A silent peer is missed after this, as Seamline sets Zenoh's lease."""

RETURN_S = 0.3
"""From a link that carries again until the peer is known to be back."""

AFTERMATH_S = 600.0
"""Frames on their way when the source ends are waited for so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one decider made of a scene. Latencies count from acceptance, over answered frames, in order of acceptance.

    wait_s: per frame the source brought, accepted or not, from its time until an answer at least as new was there; it
    does not forgive dropping frames. energy_j_per_frame: modelled, None without power figures. plans: (at_s, plan).
    """

    latency_s: Floats
    wait_s: Floats
    n_offered: int
    n_accepted: int
    n_late: int
    throughput_fps: float
    energy_j_per_frame: float | None
    switches: tuple[SwitchMade, ...]
    plans: tuple[tuple[float, Plan], ...]


def play(scene: Scene, decider: Decider, journeys: Journeys | None = None) -> Run:
    """Run `scene` from its first frame to the last answer."""
    journeys = journeys or Journeys(scene)
    schedule, network = Schedule(), Network.of(scene)
    controller, meters = _measured_at_start(scene, schedule, network, journeys, decider)
    Heartbeat(schedule, tuple(meters.values())).start()
    local = Plan.local(scene.origin, len(journeys.problem.cuts))
    first = controller.first_route()
    stream = Stream(
        scene=scene,
        schedule=schedule,
        network=network,
        journeys=journeys,
        meters=meters,
        noise=dict(_noise(scene)),
        answered=controller.answered,
        route=first,
        local_s=evaluate(local, journeys.problem).latency_s,
    )
    controller.attach(stream)
    _plan_losses(scene, network, schedule, meters, controller)
    controller.start()
    stream.start()
    schedule.run(scene.duration_s + AFTERMATH_S)
    return _outcome(scene, stream, controller, first.plan)


def first_plan(scene: Scene, decider: Decider, journeys: Journeys) -> Plan:
    """What `decider` serves the first frame with, without playing on."""
    controller, _ = _measured_at_start(scene, Schedule(), Network.of(scene), journeys, decider)
    return controller.first_route().plan


def _measured_at_start(
    scene: Scene, schedule: Schedule, network: Network, journeys: Journeys, decider: Decider
) -> tuple[Controller, dict[NodeId, Meter]]:
    """Controller and meters as they are before the first frame."""
    controller = Controller(scene, schedule, network, journeys, decider)
    meters = _meters(scene, network, schedule, controller, decider)
    if isinstance(decider, LastValue):
        decider.sample_bps = lambda link: meters[link[0]].sample_bps(link[1])
    for meter in meters.values():
        meter.start()
    return controller, meters


def _meters(
    scene: Scene, network: Network, schedule: Schedule, controller: Controller, decider: Decider
) -> dict[NodeId, Meter]:
    """One per node. The origin's own news is known at once, other nodes' come with a status."""

    def tell(estimate: LinkEstimate) -> None:
        if schedule.now_s == 0.0:  # measured before the stream began
            controller.view = apply(controller.view, LinkMeasured(estimate, 0.0))
        elif estimate.source == scene.origin:
            controller.link(estimate)
        elif (estimate.source, scene.origin) in network.paths:
            arrives_s = network.send_control((estimate.source, scene.origin), schedule.now_s)
            schedule.at(arrives_s, controller.link, estimate)

    is_probing, is_learning = decider.is_probing, not decider.is_told
    return {
        node: Meter(node, network, schedule, tell, is_probing=is_probing, is_learning=is_learning)
        for node in scene.profiles
    }


def _noise(scene: Scene) -> Iterator[tuple[NodeId, list[float]]]:
    """The same frames are slow on the same nodes under every policy."""
    for number, node in enumerate(sorted(scene.profiles)):
        rng = np.random.default_rng([scene.seed, number])
        yield node, np.exp(rng.normal(0.0, scene.noise_ratio, scene.n_frames)).tolist()


def _plan_losses(
    scene: Scene, network: Network, schedule: Schedule, meters: Mapping[NodeId, Meter], controller: Controller
) -> None:
    """An outage longer than the lease loses the peers behind it, until some time after its end."""
    for source, target in network.paths:
        changed = [partial(meters[source].peer, target)]
        if source == scene.origin:
            changed.append(partial(controller.peer, target))
        for start_s, stop_s in _outages(network, (source, target), scene.duration_s):
            if stop_s - start_s <= LEASE_S:
                continue
            for change in changed:
                schedule.at(start_s + LEASE_S, change, False)
                schedule.at(stop_s + RETURN_S, change, True)


def _outages(network: Network, pair: tuple[NodeId, NodeId], until_s: float) -> list[tuple[float, float]]:
    """When no bit gets through from one end of `pair` to the other; those that touch are one."""
    found: list[tuple[float, float]] = []
    for outage in sorted(one for hop in network.paths[pair] for one in hop.curve.outages(until_s)):
        if found and outage[0] <= found[-1][1] + RETURN_S:
            found[-1] = (found[-1][0], max(found[-1][1], outage[1]))
        else:
            found.append(outage)
    return found


def _outcome(scene: Scene, stream: Stream, controller: Controller, first: Plan) -> Run:
    answered = [frame for frame in stream.frames if frame.answered_s is not None]
    plans = ((0.0, first), *((switch.at_s, switch.to_plan) for switch in controller.switches))
    return Run(
        latency_s=np.array([frame.latency_s for frame in answered]),
        wait_s=_wait_s(scene, answered),
        n_offered=stream.n_offered,
        n_accepted=len(stream.frames),
        n_late=sum(frame.is_late for frame in stream.frames),
        throughput_fps=len(answered) / max(scene.duration_s, stream.schedule.now_s),
        energy_j_per_frame=_energy_j_per_frame(scene, stream, answered),
        switches=tuple(controller.switches),
        plans=plans,
    )


def _wait_s(scene: Scene, answered: list[Frame]) -> Floats:
    if not answered:
        return np.array([])
    by_number = sorted(answered, key=lambda frame: frame.number)
    numbers = np.array([frame.number for frame in by_number])
    times_s = np.array([frame.answered_s for frame in by_number], dtype=np.float64)
    soonest_s = np.minimum.accumulate(times_s[::-1])[::-1]  # by then it, or a newer one, was answered
    frames = np.arange(numbers[-1] + 1)
    waits: Floats = soonest_s[np.searchsorted(numbers, frames)] - frames / scene.fps
    return waits


def _energy_j_per_frame(scene: Scene, stream: Stream, answered: list[Frame]) -> float | None:
    """The formula of `core.cost.formulas.energy_j` over what nodes were really busy and sent, second attempts included.

    None when a node that counts and was busy has no power figures.
    """
    if not answered:
        return None
    busy = [(node, busy_s) for node, busy_s in stream.busy_s.items() if busy_s]
    sent = [(source, target, n_bytes) for (source, target), n_bytes in stream.sent_bytes.items()]
    total_j = joules(sum(frame.latency_s for frame in answered), busy, sent, stream.journeys.problem)
    return None if total_j is None else total_j / len(answered)
