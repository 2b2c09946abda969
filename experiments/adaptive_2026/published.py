"""What others measured: the paper's reductions, and times of real machines. Nothing here is ours.

Times are seconds per inference of the whole network: benchmark data of the Scission project (Keras), a Raspberry Pi 4,
a server of two cores, and a PC (i7-6700K) that computes on its graphics card.
"""

from __future__ import annotations

from dataclasses import dataclass

ENERGY_REDUCTION = (0.2709, 0.3582)
LATENCY_REDUCTION = (0.0634, 0.2292)
"""arXiv 2605.09623, abstract: lowest and highest of VGG16, AlexNet and MobileNetV2 against a static partition."""

SLOWEST_WIFI_BPS, UPLINK_BPS, UPLINK_DELAY_S = 1.6e6, 50e6, 0.010
"""The links measured with those times (Scission): Pi to server, server to PC with a ping of 20 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds per inference on each tier."""

    edge_s: float
    fog_s: float
    cloud_s: float


WHOLE_S = {
    "vgg16": Times(edge_s=2.111, fog_s=0.253, cloud_s=0.0074),
    "mobilenetv2": Times(edge_s=0.444, fog_s=0.098, cloud_s=0.035),
}
"""AlexNet is not among them: it is scaled like VGG16, which is made of the same kinds of layers."""
