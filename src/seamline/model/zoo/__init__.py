"""Models that come with Seamline: five classics with seeded random weights, and one that really recognises things.

Random weights cost and cut like trained ones; only their answers mean nothing. Written straight as ONNX, without
PyTorch. The recipes are in `classic.py`, `residual.py` and `efficientnet.py`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from seamline.core.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from seamline.model.zoo.network import Network

_RECIPES = {
    "alexnet": ("classic", "AlexNet, 61.1 M parameters, random weights"),
    "vgg16": ("classic", "VGG-16, 138.4 M parameters, random weights"),
    "vgg19": ("classic", "VGG-19, 143.7 M parameters, random weights"),
    "mobilenetv2": ("residual", "MobileNetV2, 3.5 M parameters, random weights"),
    "resnet50": ("residual", "ResNet-50, 25.6 M parameters, random weights"),
    "efficientnet-lite0": ("efficientnet", "EfficientNet-Lite0, 4.7 M parameters, real ImageNet weights (extra `zoo`)"),
}


def names() -> tuple[str, ...]:
    """All models of the zoo."""
    return tuple(_RECIPES)


def describe(name: str) -> str:
    """One line about `name`. Raises `UsageError` when it is not in the zoo."""
    return _recipe(name)[1]


def blueprint(name: str) -> Network:
    """Layers and parameters of `name`, without values. Raises `UsageError`: not in the zoo, or its extra is missing."""
    found: Network = import_module(f"{__name__}.{_recipe(name)[0]}").network(name)
    return found


def build(name: str, out_path: Path, seed: int = 0) -> Path:
    """Write `name` as an ONNX file to `out_path`, the same bytes for the same seed; values are made piece by piece.

    It maps float32[1, 3, 224, 224] to float32[1, 1000] before softmax; its metadata says how a camera frame becomes
    the input. Raises `UsageError` when `name` is not in the zoo, its extra is missing, or the file cannot be written.
    """
    from seamline.model.zoo.writing import write_network

    return write_network(blueprint(name), Path(out_path), seed)


def _recipe(name: str) -> tuple[str, str]:
    if name not in _RECIPES:
        raise UsageError(f"there is no zoo model `{name}`", hint=f"one of {', '.join(_RECIPES)}")
    return _RECIPES[name]
