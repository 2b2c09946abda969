"""Machines of which it is published how long whole networks take there, for testbeds that imitate them.

Seconds per inference in Keras, from the `benchmark_data` of the Scission project (Lockhart, Harvey, Imai, Willis,
Varghese, IEEE Edge 2020, github.com/qub-blesson/Scission). Only whole networks are published here: how a network's time
is spread over its layers is this computer's. `seamline.testbed.imitation` makes slowdowns of it.
"""

from __future__ import annotations

from collections.abc import Mapping

REFERENCE = "mobilenetv2"
"""Other networks take its time, times their multiply-accumulates over its own."""

REFERENCE_MACS = 300_800_000

PUBLISHED_S: Mapping[str, Mapping[str, float]] = {
    # A Raspberry Pi 4B; a virtual machine of two cores; a desktop's Intel Core i7-6700K. All without a GPU.
    "raspberry-pi-4": {"vgg19": 2.735, "vgg16": 2.111, "resnet50": 0.961, REFERENCE: 0.444},
    "edge-server": {"vgg19": 0.305, "vgg16": 0.253, "resnet50": 0.167, REFERENCE: 0.098},
    "workstation": {"vgg16": 0.114, "resnet50": 0.082, REFERENCE: 0.054},
}


def published_s(machine: str, model: str, macs: int) -> float:
    """Seconds of `model` on `machine`, a key of `PUBLISHED_S`; by `macs`, its multiply-accumulates, if not published.

    Raises `KeyError` for a machine that is not there.
    """
    known = PUBLISHED_S[machine]
    return known[model] if model in known else known[REFERENCE] * macs / REFERENCE_MACS
