"""Many adaptive streams over shared nodes, simulated with the real session: how near to the joint optimum they settle.

Every stream has an edge of its own and links to some of the nodes, of which it knows the truth; what others do it
learns from the nodes' reports alone. The nodes are of three speeds, and were all frames offloaded they would be busy
for 60 %. Scenes: steady; swings (a third of the streams comes at 20 s and goes at 40 s); death (one node at 30 s);
links (the uplinks of a fifth of the streams fall to an eighth from 30 to 40 s).

Regret is the cost by `core.analysis.joint` of the plans in use, second by second, over the bound for the streams and
nodes of that second; and the simulated latency over that with the plans held to which streams settle that move one by
one. Herd: the largest share of streams that moved within a second. Fairness: p95 latency of the worst tenth of streams.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from reporting import Report, parser

from seamline.config.trace import Trace
from seamline.core.adaptation.policy import Adaptive, Fixed, Policy
from seamline.core.adaptation.sharing import busy_by_node
from seamline.core.analysis.joint import Option, Sharer, cost_of, lower_bound, options_of, settled
from seamline.core.cost.formulas import latency_s
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.profiles import Profile, Quantiles
from seamline.meters.profile_file import from_json
from seamline.sim.driver import Conditions, Driver
from seamline.sim.mesh import Absence
from seamline.sim.network import Network
from seamline.sim.policy_adapters import CorePolicyAdapter
from seamline.sim.run import session_of
from seamline.sim.scene import Scene, SceneLink
from seamline.sim.stage_work import StageWorkTable, problem_of_scene

FPS, BUSY_RATIO, MOST_LINKED = 5.0, 0.6, 6
SPEEDS = (0.6, 1.0, 1.4)
DURATION_S, SETTLED_S = 60.0, 15.0
SCENES = ("steady", "swings", "death", "links")
SIZES = ((10, 3), (100, 10), (1000, 50))
FILE = Path(__file__).parents[1] / "tests" / "replay" / "mobilenetv2.profiles.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One scene with `n_streams` over `n_nodes`; dead: the node that dies, None for none."""

    name: str
    n_streams: int
    n_nodes: int
    duration_s: float
    seed: int = 1

    @property
    def nodes(self) -> list[NodeId]:
        return [NodeId(f"node-{number}") for number in range(self.n_nodes)]

    @property
    def dead(self) -> NodeId | None:
        return self.nodes[1] if self.name == "death" else None

    def stays_s(self, number: int) -> tuple[float, float]:
        """When a stream begins, and when its frames end."""
        third = self.duration_s / 3.0
        return (third, 2.0 * third) if self.name == "swings" and number % 3 == 2 else (0.0, self.duration_s)

    def is_slowed(self, number: int) -> bool:
        """Whether the stream's uplink falls for a while."""
        return self.name == "links" and number % 5 == 4


def main() -> None:
    options = parser("Many streams over shared nodes, simulated")
    options.add_argument("--streams", type=int, default=None, help="only this size")
    options.add_argument("--scene", choices=SCENES, default=None)
    options.add_argument("--seconds", type=float, default=DURATION_S)
    chosen = options.parse_args()
    report = Report("many", "Many streams over shared nodes, simulated", chosen)
    sizes = [size for size in SIZES if chosen.streams in (None, size[0]) and not (chosen.quick and size[0] > 100)]
    rows = []
    for n_streams, n_nodes in sizes:
        for name in SCENES:
            if chosen.scene in (None, name):
                found = measured(Setting(name=name, n_streams=n_streams, n_nodes=n_nodes, duration_s=chosen.seconds))
                report.data[f"{n_streams} over {n_nodes}, {name}"] = found
                rows.append(_row(n_streams, n_nodes, name, found))
                print(json.dumps(found), flush=True)
    head = (
        "streams, nodes, scene", "cost over bound", "latency, ms", "held, ms", "switches a stream and minute",
        "herd", "p95 worst tenth, ms", "held, ms", "processor s",
    )  # fmt: skip
    report.table(head, rows)
    report.finish()


def measured(setting: Setting) -> dict[str, float]:
    """All figures of one setting."""
    scenes = _scenes(setting)
    before_s = time.process_time()
    adaptive = _played(setting, scenes, lambda number: Adaptive())
    took_s = time.process_time() - before_s
    sharers = [Sharer(FPS, options_of(_problem(scene))) for scene in scenes]
    best = settled(sharers, n_starts=1)
    plans = [one.options[at].plan for one, at in zip(sharers, best.choice, strict=True)]
    held = _played(setting, scenes, lambda number: Fixed(plans[number])) if setting.name == "steady" else None
    settled_s = min(SETTLED_S, setting.duration_s / 3.0)
    switches = [(at_s, n) for n, one in enumerate(adaptive) for at_s, _ in one.tally.switches if at_s > settled_s]
    found = {
        "cost_over_bound": _regret(setting, scenes, adaptive, sharers, settled_s),
        "oracle_over_bound": best.cost / lower_bound(sharers),
        "latency_s": float(np.mean(np.concatenate(_latencies_s(adaptive, settled_s)))),
        "switches_per_stream_minute": 60.0 * len(switches) / (setting.duration_s - settled_s) / setting.n_streams,
        "herd_ratio": _herd(switches, setting.n_streams),
        "p95_worst_tenth_s": _worst_tenth_s(adaptive, settled_s),
        "n_answered": sum(len(one.tally.finished) for one in adaptive),
        "processor_s": took_s,
    }
    if held is not None:
        found["held_latency_s"] = float(np.mean(np.concatenate(_latencies_s(held, settled_s))))
        found["held_p95_worst_tenth_s"] = _worst_tenth_s(held, settled_s)
    return found


def _row(n_streams: int, n_nodes: int, name: str, found: dict[str, float]) -> tuple[str, ...]:
    def ms(key: str) -> str:
        return f"{1e3 * found[key]:.1f}" if key in found else "-"

    return (
        f"{n_streams}, {n_nodes}, {name}",
        f"{found['cost_over_bound']:.3f}",
        ms("latency_s"),
        ms("held_latency_s"),
        f"{found['switches_per_stream_minute']:.2f}",
        f"{100 * found['herd_ratio']:.0f} %",
        ms("p95_worst_tenth_s"),
        ms("held_p95_worst_tenth_s"),
        f"{found['processor_s']:.0f}",
    )


# -- scenes ------------------------------------------------------------------------------------------------------------


def _scenes(setting: Setting) -> list[Scene]:
    profiles = {one.device.name: one for one in map(from_json, json.loads(FILE.read_text(encoding="utf-8")))}
    rng, nodes = random.Random(setting.seed), setting.nodes
    wanted_s = BUSY_RATIO * setting.n_nodes / (setting.n_streams * FPS)
    of_node = {
        node: _scaled(profiles["cloud"], SPEEDS[at % 3] * wanted_s / profiles["cloud"].whole_s.median)
        for at, node in enumerate(nodes)
    }
    scenes = []
    for number in range(setting.n_streams):
        edge = NodeId(f"edge-{number}")
        linked = sorted(rng.sample(nodes, min(MOST_LINKED, len(nodes))))
        begins_s, ends_s = setting.stays_s(number)
        rate_bps, delay_s = rng.uniform(40e6, 80e6), rng.uniform(0.001, 0.005)
        trace = Trace(times_s=(0.0,), rates_bps=(rate_bps,), length_s=1e9)
        if setting.is_slowed(number):
            half_s = setting.duration_s / 2.0
            trace = Trace(
                times_s=(0.0, half_s, half_s + 10.0), rates_bps=(rate_bps, rate_bps / 8.0, rate_bps), length_s=1e9
            )
        scenes.append(
            Scene(
                origin=edge,
                profiles={edge: _scaled(profiles["edge"], 0.18 / profiles["edge"].whole_s.median)}
                | {node: of_node[node] for node in linked},
                links=tuple(SceneLink(between=(edge, node), trace=trace, delay_s=delay_s) for node in linked),
                fps=FPS,
                duration_s=ends_s - begins_s,
                seed=number,
            )
        )
    return scenes


def _scaled(profile: Profile, factor: float) -> Profile:
    """`profile` of a machine on which everything takes `factor` times as long."""

    def longer(known: Quantiles) -> Quantiles:
        return Quantiles(median=known.median * factor, p90=known.p90 * factor)

    blocks = tuple(replace(block, compute_s=longer(block.compute_s)) for block in profile.blocks)
    return replace(profile, blocks=blocks, whole_s=longer(profile.whole_s))


def _played(setting: Setting, scenes: Sequence[Scene], policy_of: Callable[[int], Policy]) -> list[Driver]:
    drivers: list[Driver] = []
    absences = (
        [Absence(node=setting.dead, start_s=setting.duration_s / 2.0, stop_s=float("inf"), notice_s=0.1)]
        if setting.dead is not None
        else []
    )
    for number, scene in enumerate(scenes):
        network = Network.of(scene)
        network.paths = {pair: path for pair, path in network.paths.items() if scene.origin in pair}
        conditions = Conditions(
            knows_true_links=True,
            reports_load=True,
            is_endless=True,
            absences=[one for one in absences if one.node in scene.profiles],
        )
        session = session_of(scene, CorePolicyAdapter(policy_of(number)))
        beside = drivers[0] if drivers else None
        drivers.append(Driver(scene, session, network, StageWorkTable(scene), conditions, beside=beside))
    rng = random.Random(setting.seed)
    for number, driver in enumerate(drivers):
        driver.schedule.at(setting.stays_s(number)[0] + rng.random(), _start, driver)
    drivers[0].schedule.run(setting.duration_s + 2.0)
    return drivers


def _start(driver: Driver) -> None:
    driver.begin()
    driver.start()


def _problem(scene: Scene):
    links = {}
    for link in scene.links:
        for pair in (link.between, link.between[::-1]):
            links[pair] = LinkEstimate(
                source=pair[0], target=pair[1], rtt_s=2.0 * link.delay_s, goodput_bps=link.trace.rates_bps[0]
            )
    return problem_of_scene(scene, links)


# -- figures -----------------------------------------------------------------------------------------------------------


def _latencies_s(drivers: Sequence[Driver], from_s: float) -> list[np.ndarray]:
    return [
        np.array([f.latency_s for f in one.tally.finished if f.accepted_s > from_s and f.error is None])
        for one in drivers
    ]


def _worst_tenth_s(drivers: Sequence[Driver], from_s: float) -> float:
    p95 = sorted(float(np.percentile(each, 95)) for each in _latencies_s(drivers, from_s) if len(each))
    return statistics.mean(p95[-max(1, len(p95) // 10) :])


def _herd(switches: Sequence[tuple[float, int]], n_streams: int) -> float:
    """Largest share of streams that moved within a second."""
    ordered, first, most = sorted(switches), 0, 0
    for last, (at_s, _) in enumerate(ordered):
        while ordered[first][0] < at_s - 1.0:
            first += 1
        most = max(most, len({number for _, number in ordered[first : last + 1]}))
    return most / n_streams


def _regret(
    setting: Setting, scenes: Sequence[Scene], drivers: Sequence[Driver], sharers: Sequence[Sharer], from_s: float
) -> float:
    """Mean, over the seconds of undisturbed links, of the cost of the plans in use over the bound."""
    half_s, ratios, bounds = setting.duration_s / 2.0, list[float](), dict[tuple[bool, bool], float]()
    options: dict[tuple[int, Plan], Option] = {}
    for at_s in np.arange(from_s, setting.duration_s, 1.0):
        if setting.name == "links" and half_s <= at_s < half_s + 11.0:
            continue
        is_dead = setting.dead is not None and at_s > half_s
        here = [n for n in range(len(scenes)) if setting.stays_s(n)[0] + 1.0 <= at_s < setting.stays_s(n)[1]]
        inside = setting.name != "swings" or len(here) == len(scenes)
        now = []
        for number in here:
            plan = _plan_at(drivers[number], at_s)
            if (number, plan) not in options:
                problem = _problem(scenes[number])
                busy = {node: s for node, s in busy_by_node(plan, problem).items() if node != problem.origin}
                options[number, plan] = Option(plan, latency_s(plan, problem), busy)
            now.append(Sharer(FPS, (options[number, plan],)))
        if (inside, is_dead) not in bounds:
            alive = [sharers[n] for n in here]
            if is_dead:
                alive = [
                    Sharer(one.rate_per_s, tuple(o for o in one.options if setting.dead not in o.busy)) for one in alive
                ]
            bounds[inside, is_dead] = lower_bound(alive)
        ratios.append(cost_of(now, [0] * len(now)) / bounds[inside, is_dead])
    return statistics.mean(ratios)


def _plan_at(driver: Driver, at_s: float) -> Plan:
    plan = driver.session.ledger.local.plan
    for switched_s, record in driver.tally.switches:
        if switched_s > at_s:
            break
        plan = record.to_plan
    return plan


if __name__ == "__main__":
    main()
