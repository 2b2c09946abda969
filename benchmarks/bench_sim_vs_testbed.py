"""The simulator beside the testbed: the same nodes, links and changes, once in real processes and once in virtual time.

Three nodes on this computer with slowed engines and shaped links; the WiFi falls and returns. The simulator gets the
testbed's links and changes and this computer's profile, from the cache that the nodes use too, times each node's
slowdown: both imitate the same machines, and what is compared is everything else, above all links, codecs, queues and
the controller. The figure is the mean latency of each policy; the aim is 10 %. Both policies that never switch are in
it, so that a difference of the formulas is told from one of the controller.
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
from seamline.core.vocabulary.profiles import Profile
from seamline.model.locate import resolve_model
from seamline.runtime.lab.offline import profiles_of
from seamline.runtime.lab.scenario import Scenario, TestbedRun
from seamline.sim import Run, Scene, play
from seamline.sim.from_testbed import links_of
from seamline.sim.policy_adapters import CorePolicyAdapter

MODEL, FPS = "mobilenetv2", 2.0
SLOWDOWNS = {"edge": 8.0, "fog": 3.0, "cloud": 1.5}
POLICIES = ("static", "local", "adaptive")
WIFI_BPS = 20e6
CHANGES = ((0.4, 3e6), (0.8, WIFI_BPS))
HEAD = ("policy", "testbed ms", "spread ms", "simulated ms", "apart %", "switches", "simulated")


def main() -> None:
    options = parser("The simulator beside the testbed")
    options.add_argument("--seconds", type=float, default=40.0)
    options.add_argument("--n-runs", type=int, default=3)
    chosen = options.parse_args()
    report = Report("sim-vs-testbed", "The simulator beside the testbed", chosen)
    seconds, n_runs = (20.0, 1) if chosen.quick else (chosen.seconds, chosen.n_runs)
    bed = testbed()
    profiles = profiles_of(MODEL, (), [f"{node}={factor:g}" for node, factor in SLOWDOWNS.items()])
    real = _emulated(bed, seconds, n_runs)
    means_s = {name: [run["latency_s"]["mean"] for run in real[name]] for name in POLICIES}
    mean_s = {name: statistics.median(values) for name, values in means_s.items()}
    rows = []
    for name in POLICIES:
        simulated = _simulated(name, profiles, bed, seconds)
        simulated_s = float(simulated.latency_s.mean())
        rows.append(
            (
                name,
                f"{mean_s[name] * 1e3:.0f}",
                f"{min(means_s[name]) * 1e3:.0f}-{max(means_s[name]) * 1e3:.0f}",
                f"{simulated_s * 1e3:.0f}",
                f"{100 * (simulated_s / mean_s[name] - 1):+.1f}",
                statistics.median(len(run["switches"]) for run in real[name]),
                len(simulated.switches),
            )
        )
        report.data[name] = {"testbed_s": means_s[name], "simulated_s": simulated_s}
    report.table(HEAD, rows)
    report.say(
        f"Means of {seconds:g} s at {FPS:g} frames/s, the median of {n_runs}. The aim is 10 %.",
        "",
    )
    report.finish()


def _simulated(policy: str, profiles: Mapping[NodeId, Profile], bed: Testbed, seconds: float) -> Run:
    scene = Scene(
        origin=NodeId("edge"),
        profiles=profiles,
        links=links_of(bed, seconds),
        fps=FPS,
        duration_s=seconds,
        constraints=Constraints(n_private_cuts=1, codecs=(Codec.U8,)),
    )
    return play(scene, CorePolicyAdapter(policy_named(policy)))


def testbed() -> Testbed:
    """Edge and fog over WiFi that falls to 3 Mbit/s, fog and cloud over a steady uplink."""
    wifi = ("edge", "fog")
    return Testbed(
        name="sim-vs-testbed",
        nodes=tuple(NodeSpec(name=name, tier=name, slowdown=factor, threads=1) for name, factor in SLOWDOWNS.items()),
        links=(
            LinkSpec(between=wifi, rate_bps=WIFI_BPS, delay_s=0.002),
            LinkSpec(between=("fog", "cloud"), rate_bps=100e6, delay_s=0.005),
        ),
        changes=tuple(ChangeSpec(between=wifi, at_ratio=ratio, rate_bps=rate_bps) for ratio, rate_bps in CHANGES),
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
