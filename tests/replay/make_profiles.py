"""Writes the profiles beside this file: published whole-model times, shared out over the layers by MACs.

The times are measurements of others (Keras, Scission project: Raspberry Pi 4, edge server with 2 cores, cloud
machine); how they divide over the layers is modelled here, as proportional to multiply-accumulates plus a little per
layer. The tensor sizes are those of the networks. Power is the published linear model of a Raspberry Pi 4B
(hal-03912723), idle and at full use; none is given for the others. Run it only to change the inputs:
``python tests/replay/make_profiles.py``.
"""

import json
from pathlib import Path

WHOLE_S = {
    "vgg19": {"edge": 2.735, "fog": 0.305, "cloud": 0.0086},
    "mobilenetv2": {"edge": 0.444, "fog": 0.098, "cloud": 0.035},
}
DEVICES = {
    "edge": {"cpu": "Raspberry Pi 4B", "idle_w": 2.24, "busy_w": 5.72},
    "fog": {"cpu": "edge server, 2 cores"},
    "cloud": {"cpu": "cloud machine"},
}
FRAME = {"raw_bytes": 150_528, "jpeg_bytes": 25_000, "preprocess_s": 0.002}
VGG19 = [64, 64, "pool", 128, 128, "pool", *[256] * 4, "pool", *[512] * 4, "pool", *[512] * 4, "pool"]
MOBILENETV2 = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
]
PER_LAYER_RATIO = 0.003
"""Share of the whole that every layer costs beyond its MACs (calls, memory traffic)."""

Layer = tuple[str, list[int], int]


def vgg19() -> list[Layer]:
    """(name, output shape, MACs), flattening and activations folded into their layer."""
    layers, channels, side = [], 3, 224
    for at, width in enumerate(VGG19):
        if width == "pool":
            side //= 2
            layers.append((f"pool{at}", [1, channels, side, side], 0))
        else:
            layers.append((f"conv{at}", [1, width, side, side], 9 * channels * width * side * side))
            channels = width
    width = channels * side * side
    for at, n_outputs in enumerate((4096, 4096, 1000)):
        layers.append((f"fc{at}", [1, n_outputs], width * n_outputs))
        width = n_outputs
    return layers


def mobilenetv2() -> list[Layer]:
    """The same at the seams between inverted residual blocks, where one tensor crosses."""
    layers: list[Layer] = [("stem", [1, 32, 112, 112], 27 * 32 * 112 * 112)]
    channels, side = 32, 112
    for expansion, width, n_blocks, stride in MOBILENETV2:
        for at in range(n_blocks):
            hidden, area_in = channels * expansion, side * side
            side = side // stride if at == 0 else side
            macs = (
                (channels * hidden * area_in if expansion > 1 else 0) + 9 * hidden * side**2 + hidden * width * side**2
            )
            layers.append((f"block{len(layers)}", [1, width, side, side], macs))
            channels = width
    layers.append(("head", [1, 1280, 7, 7], 320 * 1280 * 49))
    layers.append(("classifier", [1, 1000], 1280 * 1000))
    return layers


def profile(model: str, layers: list[Layer], device: str) -> dict[str, object]:
    whole_s = WHOLE_S[model][device]
    total_macs = sum(macs for _, _, macs in layers)
    weights = [macs / total_macs + PER_LAYER_RATIO for _, _, macs in layers]
    blocks = [round(whole_s * weight / sum(weights), 7) for weight in weights]
    cuts, before = [], 0
    for at, (name, shape, macs) in enumerate([("input", [1, 3, 224, 224], 0), *layers]):
        before += macs
        n_elements = 1
        for extent in shape:
            n_elements *= extent
        tensor = {"name": name, "dtype": "float32", "shape": shape}
        cuts.append({"index": at, "after": name, "tensors": [tensor], "bytes": 4 * n_elements, "macs_before": before})
    return {
        "schema": "seamline.profile/1",
        "source": "published whole-model time, shared out by MACs (modelled); see make_profiles.py",
        "model": {"name": model},
        "device": {"name": device, **DEVICES[device]},
        "frame": FRAME,
        "cuts": cuts,
        "blocks": [
            {"from_cut": at, "to_cut": at + 1, "compute_s": {"median": seconds, "p90": seconds}}
            for at, seconds in enumerate(blocks)
        ],
        "whole_s": {"median": whole_s, "p90": whole_s},
    }


if __name__ == "__main__":
    for model, layers in (("vgg19", vgg19()), ("mobilenetv2", mobilenetv2())):
        profiles = [profile(model, layers, device) for device in DEVICES]
        lines = ",\n".join(json.dumps(one) for one in profiles)
        (Path(__file__).parent / f"{model}.profiles.json").write_text(f"[\n{lines}\n]\n")
