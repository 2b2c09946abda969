"""AlexNet and VGG: chains of convolutions with large dense layers at the end."""

from __future__ import annotations

from seamline.model.zoo.network import Network, Tensor

_VGG = {
    "vgg16": ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)),
    "vgg19": ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)),
}
"""(channels, convolutions) of each block: configurations D and E in table 1 of Simonyan and Zisserman 2015."""


def network(name: str) -> Network:
    """``alexnet``, ``vgg16`` or ``vgg19``."""
    net = Network(name)
    x = _alexnet_features(net) if name == "alexnet" else _vgg_features(net, _VGG[name])
    x = net.flatten(x)
    for _ in range(2):
        x = net.relu(net.dense(x, 4096))
    net.dense(x, 1000, is_output=True)
    return net


def _alexnet_features(net: Network) -> Tensor:
    """torchvision's layout, after Krizhevsky 2014 (one weird trick). Its adaptive pooling changes nothing at 224."""
    x = net.relu(net.conv(net.input, 64, 11, stride=4, pads=(2, 2), bias=True, rectified=False))
    x = net.max_pool(x, 3, 2)
    x = net.max_pool(net.relu(net.conv(x, 192, 5, bias=True)), 3, 2)
    for channels in (384, 256, 256):
        x = net.relu(net.conv(x, channels, 3, bias=True))
    return net.max_pool(x, 3, 2)


def _vgg_features(net: Network, blocks: tuple[tuple[int, int], ...]) -> Tensor:
    x = net.input
    for channels, n_convolutions in blocks:
        for _ in range(n_convolutions):
            x = net.relu(net.conv(x, channels, 3, bias=True, rectified=x is not net.input))
        x = net.max_pool(x, 2, 2)
    return x
