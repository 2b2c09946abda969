"""How soon a stream is back on the link after a tunnel, and what looking for the link costs, in virtual time.

MobileNetV2 with published times of a Raspberry Pi 4, an edge server and a cloud machine (tests/replay), raw frames
private. The link from edge to fog carries 20 Mbit/s, 20 ms one way; after 30 s it falls for so long to so much, then it
carries 20 Mbit/s again. Recovery is from that moment until a plan serves that leaves the edge and answers. Everything
is modelled.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from published_scene import EDGE, FOG, scene_of
from reporting import Report, parser, progress

from seamline.config import Trace
from seamline.core.adaptation.policy import Adaptive
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.links import Link
from seamline.sim.driver import Conditions, Driver
from seamline.sim.network import Network
from seamline.sim.policy_adapters import CorePolicyAdapter
from seamline.sim.run import play, session_of
from seamline.sim.stage_work import StageWorkTable

DELAY_S = 0.020
GOOD_BPS, BEGINS_S, AFTER_S = 20e6, 30.0, 30.0
TUNNELS_S, LEFT_BPS = (5.0, 20.0, 120.0), (0.0, 0.02e6, 0.1e6, 0.5e6)
SHIFTS_S = (0.0, 0.3, 0.7, 1.3, 2.1, 3.4)
"""A tunnel ends at so many different moments of the probe schedule."""

IDLE_BPS = (0.02e6, 0.1e6, 0.5e6, 2e6, 20e6, 200e6)
IDLE_S = 300.0
RADIO_J_PER_BYTE = 0.1e-6
"""Assumed: 0.8 W beyond idle at 64 Mbit/s, a small board's Wi-Fi."""


def main() -> None:
    options = parser("Recovery after tunnels, and the price of probing")
    options.add_argument("--fps", type=float, default=2.0, help="of the source")
    chosen = options.parse_args()
    report = Report("recovery", "Recovery after tunnels, and the price of probing", chosen)
    report.say(f"{chosen.fps:g} frames/s. Seconds after the link is back: median and worst of {len(SHIFTS_S)}.", "")
    rows = []
    for lasts_s in TUNNELS_S:
        progress(f"tunnels of {lasts_s:g} s")
        cells = []
        for left_bps in LEFT_BPS:
            found = sorted(_recovery_s(lasts_s + shift_s, left_bps, chosen.fps) for shift_s in SHIFTS_S)
            cells.append(f"{found[len(found) // 2]:.2f}, {found[-1]:.2f}")
            report.data[f"{lasts_s:g} s at {left_bps / 1e6:g} Mbit/s"] = found
        rows.append((f"{lasts_s:g} s", *cells))
    report.table(("tunnel", *(f"{left / 1e6:g} Mbit/s" for left in LEFT_BPS)), rows)
    report.say(
        "", "## What probes cost", "", f"Everything at home for {IDLE_S:g} s, all links of three nodes idle.", ""
    )
    report.table(
        ("edge->fog Mbit/s", "probes a minute", "kB a minute", "% of the link", "mJ a minute"), map(_idle_row, IDLE_BPS)
    )
    report.say(f"Joules of sending at {1e9 * RADIO_J_PER_BYTE:g} nJ a byte, assumed: 0.8 W beyond idle at 64 Mbit/s.")
    report.finish()


def _recovery_s(lasts_s: float, left_bps: float, fps: float) -> float:
    back_s = BEGINS_S + lasts_s
    ends_s = back_s + AFTER_S
    trace = Trace(times_s=(0.0, BEGINS_S, back_s), rates_bps=(GOOD_BPS, left_bps, GOOD_BPS), length_s=ends_s)
    run = play(scene_of(trace, fps=fps, duration_s=ends_s, edge_delay_s=DELAY_S), CorePolicyAdapter(Adaptive()))
    if not run.plans[-1][1].is_local and run.plans[-1][0] < back_s:
        return 0.0  # it never left
    away_s = [at_s for at_s, plan in run.plans if at_s >= back_s and not plan.is_local]
    return away_s[0] - back_s if away_s else AFTER_S


class _Counting:
    """A network that counts what the edge sends to the fog."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.sent_bytes: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def send(self, pair: Link, n_bytes: int, now_s: float) -> float:
        if pair == (EDGE, FOG):
            self.sent_bytes.append(n_bytes)
        return self._network.send(pair, n_bytes, now_s)


def _idle_row(rate_bps: float) -> tuple[object, ...]:
    """All layers private, so that nothing leaves the edge but probes."""
    trace = Trace(times_s=(0.0,), rates_bps=(rate_bps,), length_s=IDLE_S)
    scene = scene_of(trace, fps=2.0, duration_s=IDLE_S, edge_delay_s=DELAY_S)
    n_cuts = len(scene.profiles[EDGE].cuts)
    scene = replace(scene, constraints=Constraints(n_private_cuts=n_cuts))
    adapter = CorePolicyAdapter(Adaptive())
    driver = Driver(scene, session_of(scene, adapter), Network.of(scene), StageWorkTable(scene), Conditions())
    driver.mesh.network = counting = _Counting(driver.network)  # type: ignore[assignment] # to look on
    driver.begin()
    driver.play(IDLE_S)
    minutes, sent = IDLE_S / 60.0, counting.sent_bytes
    n_bytes = sum(sent)
    return (
        f"{rate_bps / 1e6:g}",
        f"{len(sent) / minutes:.1f}",
        f"{n_bytes / minutes / 1e3:.1f}",
        f"{100 * 8 * n_bytes / IDLE_S / rate_bps:.2f}",
        f"{1e3 * RADIO_J_PER_BYTE * n_bytes / minutes:.1f}",
    )


if __name__ == "__main__":
    main()
