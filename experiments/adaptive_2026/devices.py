"""The three machines as profiles: the shape of each network measured once, its length as others measured it.

A recorded profile (ONNX Runtime, one thread, in `profiles/`) says how a network's time is spread over its blocks. Each
machine's profile is that one, stretched until the whole takes the published time. So the spread within a network is one
processor's, which is an assumption: a graphics card's or a Pi's differs. Codecs are stretched like VGG16, whose ratio
is mostly arithmetic; MobileNetV2's published times have some 40 ms of Keras in them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from experiments.adaptive_2026.published import WHOLE_S
from seamline.config.power import PROFILES, PowerSpec, parse_power
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.profiles import Profile, Quantiles
from seamline.meters.profile_file import read_profile
from seamline.runtime.node.profiling import powered

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
TIERS = (EDGE, FOG, CLOUD)
MODELS = ("vgg16", "alexnet", "mobilenetv2")
ENGINE_TIMES = "mobilenetv2-engine-times"
"""MobileNetV2 stretched like VGG16 instead of to its own published times. Those hold some 35 ms of framework: a card
that takes 7 ms for VGG16 takes 35 ms for a network of a fiftieth of the arithmetic. Shown beside, never instead."""

FOLDER = Path(__file__).parent / "profiles"

PI_RADIO = "pi-wifi"
"""The laptop is beside the access point, on a cable, and the desktop too: a cable adds nothing."""

POWER = {EDGE: parse_power(f"raspberry-pi-4+{PI_RADIO}"), FOG: PROFILES["laptop"], CLOUD: PROFILES["desktop"]}
"""The desktop's figures are its class's, without a card at full load, which would draw some 150 W more."""
STAND_IN = {
    EDGE: "Raspberry Pi 4 (its own published times)",
    FOG: "laptop (published times of a two-core server)",
    CLOUD: "desktop PC with a graphics card (published times of an i7-6700K with one)",
}


@cache
def recorded(model: str) -> Profile:
    """The measured profile that all three are made of."""
    return read_profile(FOLDER / f"{model.removesuffix('-engine-times')}.json")


def profiles(model: str, radio: str = PI_RADIO) -> dict[NodeId, Profile]:
    """One profile of `model` for each machine, with its power figures. radio: the Pi's, by its name."""
    base = recorded(model)
    power = POWER | {EDGE: parse_power(f"raspberry-pi-4+{radio}")}
    return {
        node: _stretched(base, node, power[node], slowdowns(model)[node], codec_slowdowns()[node]) for node in TIERS
    }


def slowdowns(model: str) -> dict[NodeId, float]:
    """How many times longer than in the recorded profile each machine takes; below 1 it is faster."""
    like = model if model in WHOLE_S else "vgg16"
    whole_s = recorded(like).whole_s.median
    times = WHOLE_S[like]
    return {EDGE: times.edge_s / whole_s, FOG: times.fog_s / whole_s, CLOUD: times.cloud_s / whole_s}


def codec_slowdowns() -> dict[NodeId, float]:
    """The same for codecs, which run on the processor everywhere: the card makes no difference, so 1 at least."""
    return {node: max(1.0, factor) for node, factor in slowdowns("vgg16").items()}


def _stretched(base: Profile, node: NodeId, power: PowerSpec, factor: float, codec_factor: float) -> Profile:
    device = powered(replace(base.device, name=node, cpu=STAND_IN[node], engine="published"), power)
    frame = base.frame
    return replace(
        base,
        device=device,
        blocks=tuple(replace(block, compute_s=_times(block.compute_s, factor)) for block in base.blocks),
        whole_s=_times(base.whole_s, factor),
        boundaries=tuple(replace(each, overhead_s=each.overhead_s * codec_factor) for each in base.boundaries),
        codecs=tuple(
            replace(
                cost,
                encode_s_per_byte=cost.encode_s_per_byte * codec_factor,
                decode_s_per_byte=cost.decode_s_per_byte * codec_factor,
            )
            for cost in base.codecs
        ),
        frame=None if frame is None else replace(frame, preprocess_s=frame.preprocess_s * codec_factor),
    )


def _times(quantiles: Quantiles, factor: float) -> Quantiles:
    return Quantiles(median=quantiles.median * factor, p90=quantiles.p90 * factor)
