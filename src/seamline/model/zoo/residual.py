"""ResNet-50 and MobileNetV2: blocks with a way around them, where two tensors cross a cut."""

from __future__ import annotations

from seamline.model.zoo.network import Network, Tensor

_MOBILE_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""(expansion, channels, blocks, first stride): table 2 of Sandler et al. 2018."""

_RESNET_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""(inner channels, blocks, first stride): table 1 of He et al. 2016; the stride sits in the 3x3, as in torchvision."""

_BRANCH_SCALE = 0.5
"""Keeps the sum of many random branches from growing: each adds a quarter of the power."""


def network(name: str) -> Network:
    """``mobilenetv2`` or ``resnet50``."""
    net = Network(name)
    x = _mobilenet_features(net) if name == "mobilenetv2" else _resnet_features(net)
    net.dense(net.flatten(net.global_average(x)), 1000, is_output=True)
    return net


def _mobilenet_features(net: Network) -> Tensor:
    x = net.relu6(net.batch_norm(net.conv(net.input, 32, 3, stride=2, rectified=False)))
    rectified = True
    for expansion, channels, n_blocks, stride in _MOBILE_STAGES:
        for index in range(n_blocks):
            x = _inverted_residual(net, x, expansion, channels, stride if index == 0 else 1, rectified)
            rectified = False  # blocks end without one: the linear bottleneck
    return net.relu6(net.batch_norm(net.conv(x, 1280, 1, rectified=False)))


def _inverted_residual(net: Network, x: Tensor, expansion: int, channels: int, stride: int, rectified: bool) -> Tensor:
    inner = x
    if expansion != 1:
        inner = net.relu6(net.batch_norm(net.conv(x, x.channels * expansion, 1, rectified=rectified)))
    inner = net.relu6(net.batch_norm(net.conv(inner, inner.channels, 3, stride=stride, groups=inner.channels)))
    is_residual = stride == 1 and x.channels == channels
    inner = net.batch_norm(net.conv(inner, channels, 1), scale=_BRANCH_SCALE if is_residual else 1.0)
    return net.add(x, inner) if is_residual else inner


def _resnet_features(net: Network) -> Tensor:
    x = net.relu(net.batch_norm(net.conv(net.input, 64, 7, stride=2, rectified=False)))
    x = net.max_pool(x, 3, 2, pad=1)
    for channels, n_blocks, stride in _RESNET_STAGES:
        for index in range(n_blocks):
            x = _bottleneck(net, x, channels, stride if index == 0 else 1)
    return x


def _bottleneck(net: Network, x: Tensor, channels: int, stride: int) -> Tensor:
    inner = net.relu(net.batch_norm(net.conv(x, channels, 1)))
    inner = net.relu(net.batch_norm(net.conv(inner, channels, 3, stride=stride)))
    inner = net.batch_norm(net.conv(inner, channels * 4, 1), scale=_BRANCH_SCALE)
    if x.channels != inner.channels:
        x = net.batch_norm(net.conv(x, channels * 4, 1, stride=stride, pads=(0, 0)))
    return net.relu(net.add(inner, x))
