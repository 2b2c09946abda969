"""The simulator and the runtime charge the same joules for the same events: stages, bytes, and the origin's waiting."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from seamline.config import Trace
from seamline.config.power import PowerSpec, parse_power
from seamline.core.adaptation.policy import Fixed
from seamline.core.cost.formulas import breakdown, energy_j
from seamline.core.cost.problem import EnergyScope
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.profiles import Profile
from seamline.fabric.messages import StageReport
from seamline.meters.profile_file import from_json
from seamline.runtime.node.profiling import powered
from seamline.runtime.shared import energy
from seamline.runtime.shared.energy import EnergyAccount
from seamline.sim import Scene, SceneLink, play
from seamline.sim.network import Network
from seamline.sim.policy_adapters import CorePolicyAdapter
from seamline.sim.stage_work import problem_of_scene

REPLAY = Path(__file__).parents[2] / "replay" / "mobilenetv2.profiles.json"
EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
POWERS = {
    EDGE: parse_power("raspberry-pi-4+wifi"),
    FOG: parse_power("idle=7.5,busy=30,tx=0.4,rx=0.2"),
    CLOUD: parse_power("idle=45,busy=108,tx=0.1,rx=0.3"),
}


def profiles() -> dict[NodeId, Profile]:
    found = {profile.device.name: profile for profile in map(from_json, json.loads(REPLAY.read_text()))}
    return {node: replace(each, device=powered(each.device, POWERS[node])) for node, each in found.items()}


def scene(scope: EnergyScope, trace: Trace) -> Scene:
    return Scene(
        origin=EDGE,
        profiles=profiles(),
        links=(
            SceneLink(between=(EDGE, FOG), trace=trace, delay_s=0.002),
            SceneLink.steady(FOG, CLOUD, 100e6, 0.005),
        ),
        fps=1.0,
        duration_s=30.0,
        constraints=Constraints(n_private_cuts=1),
        energy_scope=scope,
        noise_ratio=0.0,
        jitter_s=0.0,
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The accounts' clock, moved by hand."""
    clock = SimpleNamespace(time_s=50.0)
    monkeypatch.setattr(energy, "now_s", lambda: clock.time_s)
    monkeypatch.setattr(energy, "MONOTONIC", SimpleNamespace(now_s=lambda: clock.time_s))
    return clock


class Runtime:
    """The accounts of three nodes, through which frames are passed as `runtime/node/stages.py` does."""

    def __init__(self, clock: SimpleNamespace, powers: dict[NodeId, PowerSpec]) -> None:
        self._clock = clock
        self._accounts = {node: EnergyAccount(power) for node, power in powers.items()}

    def frame_j(self, plan: Plan, played: Scene, latency_s: float) -> float:
        costs = breakdown(plan, problem_of_scene(played, {}))
        answer_bytes = 0 if costs.answer is None else costs.answer.payload_bytes
        moved = [0, *(link.payload_bytes for link in costs.all_links)]
        reports = []
        for at, stage in enumerate(costs.stages):
            account = self._accounts[stage.node]
            n_sent = moved[at + 1] if at + 1 < len(moved) else 0
            with account.stage() as spent:
                self._clock.time_s += stage.busy_s
                drawn_j = spent.drawn_j(n_sent=n_sent, n_received=moved[at])
            reports.append(
                StageReport(
                    node=stage.node, queue_s=0.0, decode_s=stage.decode_s, compute_s=stage.compute_s,
                    encode_s=stage.encode_s, sent_bytes=n_sent, energy_j=drawn_j, energy_source=account.source,
                )
            )  # fmt: skip
        found = self._accounts[EDGE].frame(reports, latency_s, answer_bytes, origin=EDGE, scope=played.energy_scope)
        assert found is not None
        return found.energy_j


@pytest.mark.parametrize("scope", ["all", "origin", "edge=0.5,fog=2,cloud=0"])
@pytest.mark.parametrize(
    "text", ["edge[0:20]", "edge[0:3]u8 > cloud[3:20]", "edge[0:3]raw > fog[3:9]f16 > cloud[9:20]"]
)
def test_simulator_and_runtime_charge_the_same_for_the_same_frames(clock: SimpleNamespace, text: str, scope: str):
    plan = Plan.parse(text)
    falls = Trace(times_s=(0.0, 10.0), rates_bps=(20e6, 5e6), length_s=1e4)
    played = scene(EnergyScope.parse(scope), falls)
    run = play(played, CorePolicyAdapter(Fixed(plan)))
    assert run.n_late == 0, "a second attempt would be charged by the simulator, and not to the answered frame"
    runtime = Runtime(clock, POWERS)
    joules = [runtime.frame_j(plan, played, float(latency_s)) for latency_s in run.latency_s]
    assert run.energy_j_per_frame == pytest.approx(np.mean(joules))


@pytest.mark.parametrize("text", ["edge[0:20]", "edge[0:3]u8 > cloud[3:20]"])
def test_on_a_steady_link_both_are_what_was_planned(text: str):
    plan = Plan.parse(text)
    played = scene(EnergyScope.ALL, Trace(times_s=(0.0,), rates_bps=(20e6,), length_s=float("inf")))
    network = Network.of(played)
    problem = problem_of_scene(played, {pair: network.truth(pair, 0.0) for pair in network.paths})
    planned_j = energy_j(plan, problem)
    run = play(played, CorePolicyAdapter(Fixed(plan)))
    # headers of 320 bytes are sent and their time waited for, which is in no plan: 0.26 ms there and back at 1.6 W
    assert run.energy_j_per_frame == pytest.approx(planned_j, abs=1e-3)
