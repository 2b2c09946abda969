"""One run of one adapter over a scene: put together, played to its end, and what came of it.

A run is also described as data (`Play`), so that it can be made here or by another process (`pool.py`). Which runs a
comparison takes, and what follows from them, is `compare.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from seamline.core.adaptation.policy import Adaptive, Fixed, Local, Offload, Static
from seamline.core.cost.formulas import joules
from seamline.core.session.events import FrameFinished
from seamline.core.session.session import Session
from seamline.core.session.spec import SessionSpec
from seamline.core.switching.named import STRATEGIES, NamedStrategy
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.links import Link
from seamline.core.vocabulary.plans import Plan
from seamline.sim.driver import Conditions, Driver
from seamline.sim.network import Network
from seamline.sim.policy_adapters import CorePolicyAdapter, LastValue, PolicyAdapter, Scheduled
from seamline.sim.rates import Floats
from seamline.sim.scene import Scene
from seamline.sim.stage_work import StageWorkTable

AFTERMATH_S = 600.0
"""Frames on their way when the source ends are waited for so long."""

SCHEDULE_MARGIN_S = 0.02
"""By so much a schedule asks for its plans earlier than it must: requests and answers are on their way for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchMade:
    """A switch as it happened. at_s: when the new plan began to serve."""

    at_s: float
    from_plan: Plan
    to_plan: Plan
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one adapter made of a scene. Latencies count from acceptance, over answered frames, in order of acceptance.

    accepted_s: when those frames were accepted. wait_s: per frame the source brought, accepted or not, from its time
    until an answer at least as new was there; it does not forgive dropping frames. n_late: frames that had to run
    again though all nodes were there. energy_j_per_frame: modelled, None without power figures. plans: (at_s, plan).
    """

    latency_s: Floats
    accepted_s: Floats
    wait_s: Floats
    n_offered: int
    n_accepted: int
    n_late: int
    throughput_fps: float
    energy_j_per_frame: float | None
    switches: tuple[SwitchMade, ...]
    plans: tuple[tuple[float, Plan], ...]


def play(scene: Scene, adapter: PolicyAdapter, work_table: StageWorkTable | None = None) -> Run:
    """Run `scene` from its first frame to the last answer."""
    work_table = work_table or StageWorkTable(scene)
    driver = _begun(scene, adapter, work_table)
    first = driver.session.ledger.route.plan
    driver.play(scene.duration_s + AFTERMATH_S)
    return _outcome(driver, work_table, first)


def first_plan(scene: Scene, adapter: PolicyAdapter, work_table: StageWorkTable) -> Plan:
    """What `adapter` serves the first frame with, without playing on."""
    return _begun(scene, adapter, work_table).session.ledger.route.plan


def session_of(
    scene: Scene, adapter: PolicyAdapter, *, strategy: NamedStrategy = STRATEGIES["live"], keeps_stories: bool = False
) -> Session:
    """A session at the scene's origin over all of its nodes."""
    spec = SessionSpec(
        origin=scene.origin,
        others=tuple(node for node in scene.profiles if node != scene.origin),
        local=Plan.local(scene.origin, len(scene.profiles[scene.origin].cuts)),
        objective=scene.objective,
        constraints=scene.constraints,
        policy=adapter.policy,
        energy_scope=scene.energy_scope,
        rate_per_s=scene.fps,
        strategy=strategy,
        has_deadlines=adapter.has_deadlines,
        keeps_stories=keeps_stories,
    )
    return Session(spec, adapter)


def _begun(scene: Scene, adapter: PolicyAdapter, work_table: StageWorkTable) -> Driver:
    """Everything as it is before the first frame, with the first plan in use."""
    conditions = Conditions(
        knows_true_links=adapter.knows_true_links, is_probing=adapter.is_probing, moments_s=adapter.moments_s
    )
    driver = Driver(scene, session_of(scene, adapter), Network.of(scene), work_table, conditions)
    if isinstance(adapter, LastValue):
        adapter.sample_bps = _samples_of(driver)
    driver.begin()
    return driver


def _samples_of(driver: Driver) -> Callable[[Link], float]:
    mesh = driver.mesh

    def sample_bps(link: Link) -> float:
        return mesh.last_sample_bps.get(link, 0.0) if mesh.connections[link].is_open else 0.0

    return sample_bps


def _outcome(driver: Driver, work_table: StageWorkTable, first: Plan) -> Run:
    tally, scene = driver.tally, driver.scene
    finished = sorted(tally.finished, key=lambda one: one.frame)
    answered = [one for one in finished if one.error is None]
    switches = tuple(
        SwitchMade(at_s=at_s, from_plan=record.from_plan, to_plan=record.to_plan, reason=record.reason)
        for at_s, record in tally.switches
        if at_s > 0.0
    )
    return Run(
        latency_s=np.array([one.latency_s for one in answered]),
        accepted_s=np.array([one.accepted_s for one in answered]),
        wait_s=_wait_s(scene, [(tally.accepted[one.frame], one) for one in answered]),
        n_offered=tally.n_offered,
        n_accepted=len(tally.accepted),
        n_late=len(tally.late),
        throughput_fps=len(answered) / max(scene.duration_s, driver.schedule.now_s),
        energy_j_per_frame=_energy_j_per_frame(driver, work_table, answered),
        switches=switches,
        plans=((0.0, first), *((switch.at_s, switch.to_plan) for switch in switches)),
    )


def _wait_s(scene: Scene, answered: Sequence[tuple[int, FrameFinished]]) -> Floats:
    """answered: number at the source and outcome."""
    if not answered:
        return np.array([])
    numbers = np.array([number for number, _ in answered])
    times_s = np.array([one.accepted_s + one.latency_s for _, one in answered])
    soonest_s = np.minimum.accumulate(times_s[::-1])[::-1]  # by then it, or a newer one, was answered
    frames = np.arange(numbers[-1] + 1)
    waits: Floats = soonest_s[np.searchsorted(numbers, frames)] - frames / scene.fps
    return waits


def _energy_j_per_frame(driver: Driver, work_table: StageWorkTable, answered: Sequence[FrameFinished]) -> float | None:
    """The formula of `core.cost.formulas.energy_j` over what nodes were really busy and sent, second attempts included.

    None when a node that counts and was busy has no power figures.
    """
    if not answered:
        return None
    busy = [(node.name, node.busy_s) for node in driver.nodes.values() if node.busy_s]
    sent = [(source, target, n_bytes) for (source, target), n_bytes in driver.tally.sent_bytes.items()]
    total_j = joules(sum(one.latency_s for one in answered), busy, sent, work_table.problem)
    return None if total_j is None else total_j / len(answered)


# -- runs as data ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Play:
    """A run for the policy `name`. plans: what `static_best` (one) and `oracle` follow, as (at_s, plan).

    also: other policies that would hold the same plan, so that the run is theirs too.
    """

    name: str
    plans: tuple[tuple[float, Plan], ...] = ()
    also: tuple[str, ...] = ()


def made(scene: Scene, wanted: Play, work_table: StageWorkTable) -> Run:
    """Make the run. work_table: of `scene`. `offload` is not bound by constraints."""
    if wanted.name == "offload":
        return play(replace(scene, constraints=Constraints()), CorePolicyAdapter(Offload()))
    return play(scene, _adapter(scene, wanted), work_table)


def held_plan(scene: Scene, name: str, work_table: StageWorkTable) -> Plan:
    """What ``static_at_start`` or ``local`` holds from the first frame on. work_table: of `scene`."""
    return first_plan(scene, _adapter(scene, Play(name)), work_table)


def _adapter(scene: Scene, wanted: Play) -> PolicyAdapter:
    match wanted.name:
        case "adaptive":
            return CorePolicyAdapter(Adaptive())
        case "static_at_start":
            return CorePolicyAdapter(Static())
        case "local":
            return CorePolicyAdapter(Local())
        case "last_value":
            return LastValue()
        case "static_best":
            return CorePolicyAdapter(Fixed(wanted.plans[0][1]))
        case "oracle":
            return Scheduled(wanted.plans, scene.prepare_s + SCHEDULE_MARGIN_S)
        case name:
            raise ValueError(f"nobody plays {name}")


class Player(Protocol):
    """Makes runs. `begin` says which, `finish` hands them back in that order."""

    def begin(self, wanted: Play) -> None:
        """To be made from now on, maybe while something else happens."""
        ...

    def finish(self) -> Sequence[tuple[Play, Run]]:
        """All that were begun."""
        ...


@dataclass(slots=True)
class Alone:
    """Makes one run after the other when it is asked to finish. told: hears the name of each before it."""

    scene: Scene
    told: Callable[[str], None] = lambda name: None
    _begun: list[Play] = field(default_factory=list)

    def begin(self, wanted: Play) -> None:
        self._begun.append(wanted)

    def finish(self) -> Sequence[tuple[Play, Run]]:
        work_table = StageWorkTable(self.scene)
        runs = []
        for wanted in self._begun:
            self.told(wanted.name)
            runs.append((wanted, made(self.scene, wanted, work_table)))
        return runs
