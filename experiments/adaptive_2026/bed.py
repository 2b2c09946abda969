"""The scenario as a testbed, for real processes and the simulator alike: the same phases in a minute or two.

Rates and loads are those of `scenario.PHASES` as they stand, without a day's own draw. Only MobileNetV2 fits: an engine
can be slowed and not hurried, and this computer takes longer for VGG16 and AlexNet than a PC's graphics card does.
Profiles are measured here once, and each node's is that one times its slowdown, as its engine will be slowed.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from experiments.adaptive_2026.devices import CLOUD, EDGE, FOG, POWER, TIERS, slowdowns
from experiments.adaptive_2026.published import UPLINK_DELAY_S
from experiments.adaptive_2026.scenario import PHASES, WIFI_DELAY_S, Phase
from experiments.adaptive_2026.simulated import N_PRIVATE_CUTS
from seamline.config import ChangeSpec, LinkSpec, LoadSpec, NodeSpec, Testbed
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Codec, codecs_up_to
from seamline.core.vocabulary.profiles import Profile
from seamline.meters.profiler import slowed
from seamline.model import OrtEngine, StoredModel
from seamline.model.locate import load_model
from seamline.runtime.node.profiling import Profiler, powered
from seamline.sim import Scene
from seamline.sim.from_testbed import links_of, loads_of

MODEL = "mobilenetv2"
FPS = 1.0
CODECS = Codec.LOSSLESS
"""Every bit is kept: nearest to the plain tensors of the main comparison that `--codecs` has."""

WIFI, UPLINK = (str(EDGE), str(FOG)), (str(FOG), str(CLOUD))
SHORT = (
    "quiet morning",
    "the camera stands behind a wall",
    "the Pi runs another program",
    "quiet evening",
)
"""The phases of a quick run, whose half minute would leave the ten of the whole story three seconds each."""


def story(*, is_short: bool) -> tuple[Phase, ...]:
    """The phases that are played."""
    return tuple(phase for phase in PHASES if not is_short or phase.what in SHORT)


def starts(phases: Sequence[Phase]) -> tuple[float, ...]:
    """When each begins, as a share of the run."""
    whole = sum(phase.share for phase in phases)
    return tuple(itertools.accumulate((phase.share / whole for phase in phases[:-1]), initial=0.0))


def testbed(phases: Sequence[Phase]) -> Testbed:
    """The three machines, the two links between them, and what changes as one phase follows the other."""
    factors = {node: round(factor, 2) for node, factor in slowdowns(MODEL).items()}
    first = phases[0]
    changes: list[ChangeSpec] = []
    loads: list[LoadSpec] = []
    for at_ratio, (before, now) in zip(starts(phases)[1:], itertools.pairwise(phases), strict=True):
        for link, was_mbps, mbps in (
            (WIFI, before.wifi_mbps, now.wifi_mbps),
            (UPLINK, before.uplink_mbps, now.uplink_mbps),
        ):
            if mbps != was_mbps:
                changes.append(ChangeSpec(between=link, at_ratio=at_ratio, rate_bps=1e6 * mbps))
        for node, was, load in (
            (EDGE, before.edge_load, now.edge_load),
            (FOG, before.fog_load, now.fog_load),
            (CLOUD, before.cloud_load, now.cloud_load),
        ):
            if load != was:
                loads.append(LoadSpec(node=node, slowdown=round(factors[node] * load, 2), at_ratio=at_ratio))
    return Testbed(
        name="adaptive-2026",
        nodes=tuple(
            NodeSpec(name=node, tier=node, slowdown=factors[node], threads=1, power=POWER[node].name) for node in TIERS
        ),
        links=(
            LinkSpec(between=WIFI, rate_bps=1e6 * first.wifi_mbps, delay_s=WIFI_DELAY_S),
            LinkSpec(between=UPLINK, rate_bps=1e6 * first.uplink_mbps, delay_s=UPLINK_DELAY_S),
        ),
        changes=tuple(changes),
        loads=tuple(loads),
    )


def stored_model() -> StoredModel:
    """The model, built when it is not there yet."""
    return load_model(MODEL)[1]


def measured(bed: Testbed, model: StoredModel, cache: Path) -> Mapping[NodeId, Profile]:
    """Each node's profile, from one measurement on this computer; the nodes will find it in `cache`."""
    store = load_model(MODEL)[0]
    profiler = Profiler(OrtEngine(store, 1), EDGE, 1, cache=cache)
    here = profiler.measure(model, profiler.usual_budget_s(model))
    slowdowns = {NodeId(spec.name): spec.slowdown for spec in bed.nodes}
    return {
        node: replace(slowed(here, slowdown), device=powered(replace(here.device, name=node), POWER[node]))
        for node, slowdown in slowdowns.items()
    }


def scene(bed: Testbed, profiles: Mapping[NodeId, Profile], seconds: float, objective: Objective) -> Scene:
    """The same for the simulator."""
    return Scene(
        origin=EDGE,
        profiles=profiles,
        links=links_of(bed, seconds),
        fps=FPS,
        duration_s=seconds,
        objective=objective,
        constraints=Constraints(n_private_cuts=N_PRIVATE_CUTS, codecs=codecs_up_to(CODECS)),
        slowdowns=loads_of(bed, seconds),
    )
