"""The simulator beside the testbed: the same nodes, links and changes, once in real processes and once in virtual time.

Three nodes on this computer with slowed engines and shaped links; the WiFi falls and returns, or, with ``--traces``,
carries what was recorded: a scene for each trace. The simulator gets the testbed's links and changes and this
computer's profile, from the cache that the nodes use too, times each node's slowdown: both imitate the same machines,
and what is compared is everything else, above all links, codecs, queues and the controller. The figure is the mean
latency of each policy; the aim is 10 %. Both policies that never switch are in it, so that a difference of the formulas
is told from one of the controller. Policies take turns within a run.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from reporting import Report, parser, progress

from seamline.config import ChangeSpec, LinkSpec, NodeSpec, Testbed
from seamline.core.adaptation.policy import policy_named
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec
from seamline.model.locate import resolve_model
from seamline.runtime.lab.offline import profiles_of
from seamline.runtime.lab.scenario import Scenario, TestbedRun
from seamline.sim import Run, Scene, play
from seamline.sim.from_testbed import links_of
from seamline.sim.policy_adapters import CorePolicyAdapter

MODEL, FPS = "mobilenetv2", 2.0
SLOWDOWNS = {"edge": 8.0, "fog": 3.0, "cloud": 1.5}
WEATHER_SLOWDOWNS = {"edge": 30.0, "fog": 7.0, "cloud": 4.0}
"""Recorded links are slower than a WiFi, and so are the machines that somebody would split a network over them for."""
POLICIES = ("static", "local", "adaptive")
WIFI_BPS, WIFI_DELAY_S = 20e6, 0.002
WEATHER_DELAY_S = 0.020
CHANGES = ((0.4, 3e6), (0.8, WIFI_BPS))
HEAD = ("scene", "policy", "testbed ms", "spread ms", "simulated ms", "apart %", "switches", "simulated", "run again")


def main() -> None:
    options = parser("The simulator beside the testbed")
    options.add_argument("--seconds", type=float, default=40.0)
    options.add_argument("--n-runs", type=int, default=3)
    options.add_argument("--traces", type=Path, nargs="+", default=[], help="recorded rates of the WiFi, each a scene")
    chosen = options.parse_args()
    report = Report("sim-vs-testbed-weather" if chosen.traces else "sim-vs-testbed", "Simulator and testbed", chosen)
    seconds, n_runs = (20.0, 1) if chosen.quick else (chosen.seconds, chosen.n_runs)
    rows, apart, over, over_simulated = [], [], [], []
    for bed in [weather_testbed(path) for path in chosen.traces] or [testbed()]:
        real, simulated = _emulated(bed, seconds, n_runs), _simulated(bed, seconds)
        means_s = {name: [run["latency_s"]["mean"] for run in real[name]] for name in POLICIES}
        mean_s = {name: statistics.median(values) for name, values in means_s.items()}
        simulated_s = {name: float(run.latency_s.mean()) for name, run in simulated.items()}
        over.append(_over_better(mean_s))
        over_simulated.append(_over_better(simulated_s))
        report.data[bed.name] = {"testbed_s": means_s, "simulated_s": simulated_s}
        for name in POLICIES:
            apart.append(simulated_s[name] / mean_s[name] - 1.0)
            rows.append(
                (
                    bed.name,
                    name,
                    f"{mean_s[name] * 1e3:.0f}",
                    f"{min(means_s[name]) * 1e3:.0f}-{max(means_s[name]) * 1e3:.0f}",
                    f"{simulated_s[name] * 1e3:.0f}",
                    f"{100 * apart[-1]:+.1f}",
                    statistics.median(len(run["switches"]) for run in real[name]),
                    len(simulated[name].switches),
                    statistics.median(run["frames"]["completed_elsewhere"] for run in real[name]),
                )
            )
    report.table(HEAD, rows)
    report.say(
        f"Means of {seconds:g} s at {FPS:g} frames/s, the median of {n_runs}. The aim is 10 %: the worst of "
        f"{len(apart)} is {100 * max(map(abs, apart)):.1f} % apart, the mean {100 * statistics.mean(apart):+.1f} %.",
        "",
        "Adaptive over the better of the start's plan held and all local: in the testbed "
        f"{100 * statistics.mean(over):+.1f} % (worst {100 * max(over):+.1f}), simulated "
        f"{100 * statistics.mean(over_simulated):+.1f} % (worst {100 * max(over_simulated):+.1f}).",
        "",
    )
    report.finish()


def _over_better(mean_s: Mapping[str, float]) -> float:
    return mean_s["adaptive"] / min(mean_s["static"], mean_s["local"]) - 1.0


def _simulated(bed: Testbed, seconds: float) -> dict[str, Run]:
    """By policy."""
    scene = Scene(
        origin=NodeId("edge"),
        profiles=profiles_of(MODEL, (), [f"{node.name}={node.slowdown:g}" for node in bed.nodes]),
        links=links_of(bed, seconds),
        fps=FPS,
        duration_s=seconds,
        constraints=Constraints(n_private_cuts=1, codecs=(Codec.U8,)),
    )
    return {policy: play(scene, CorePolicyAdapter(policy_named(policy))) for policy in POLICIES}


def testbed() -> Testbed:
    """Edge and fog over WiFi that falls to 3 Mbit/s, fog and cloud over a steady uplink."""
    wifi = LinkSpec(between=("edge", "fog"), rate_bps=WIFI_BPS, delay_s=WIFI_DELAY_S)
    changes = tuple(ChangeSpec(between=wifi.between, at_ratio=ratio, rate_bps=rate_bps) for ratio, rate_bps in CHANGES)
    return _testbed("falling WiFi", SLOWDOWNS, wifi, changes)


def weather_testbed(trace: Path) -> Testbed:
    """The same over what was recorded."""
    link = LinkSpec(between=("edge", "fog"), trace=trace.resolve(), delay_s=WEATHER_DELAY_S)
    return _testbed(trace.stem, WEATHER_SLOWDOWNS, link)


def _testbed(
    name: str, slowdowns: Mapping[str, float], link: LinkSpec, changes: tuple[ChangeSpec, ...] = ()
) -> Testbed:
    return Testbed(
        name=name,
        nodes=tuple(NodeSpec(name=node, tier=node, slowdown=times, threads=1) for node, times in slowdowns.items()),
        links=(link, LinkSpec(between=("fog", "cloud"), rate_bps=100e6, delay_s=0.005)),
        changes=changes,
    )


def _emulated(bed: Testbed, seconds: float, n_runs: int) -> dict[str, list[dict[str, Any]]]:
    """The summaries of each policy's runs, the policies in turn."""
    source = Path(str(files("seamline.data") / "bigbuckbunny.mp4"))
    scenario = Scenario(testbed=bed, model=str(resolve_model(MODEL)), source=source, seconds=seconds, fps=FPS)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in POLICIES}
    with TestbedRun(scenario) as run:
        for number in range(n_runs):
            for name in POLICIES:
                progress(f"{name}, run {number + 1} of {n_runs}")
                for event in run.events(name, n_private_cuts=1):
                    if event.kind == "summary":
                        runs[name].append(dict(event.data))
    return runs


if __name__ == "__main__":
    main()
