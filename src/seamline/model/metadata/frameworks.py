"""Models that frameworks ship with known preprocessing: recognised by the class or model names that exporters keep.

torch.onnx (the dynamo exporter) writes the classes of all modules that a node comes from; tf2onnx and keras2onnx name
nodes after the Keras model. A name is taken only where its framework defines one preprocessing for it.
"""

from __future__ import annotations

import re
from pathlib import Path

from onnx import ModelProto

from seamline.model.metadata.recipe import PRESETS, Exported, FrameRecipe

_CLASSES = "pkg.torch.onnx.class_hierarchy"
_TORCHVISION = re.compile(r"torchvision\.models\.([a-z_0-9]+)")
_NORMALISED = re.compile(
    r"alexnet|convnext|densenet|efficientnet|googlenet|inception|maxvit|mnasnet|mobilenet(v2|v3)?|quantization|regnet"
    r"|resnet|segmentation|shufflenetv2|squeezenet|swin_transformer|vgg|vision_transformer"
)
"""Modules of torchvision whose weights all take ImageNet's mean and std; videos and optical flow do not."""

_KERAS = tuple(
    (re.compile(rf"(^|/)({names})(_\d+)?(/|$)", re.IGNORECASE), preset)
    for names, preset in (
        (r"mobilenet(v2)?_[0-9.]+_\d+|nasnet(_mobile|_large)?|inception_v3|inception_resnet_v2|xception", "symmetric"),
        (r"resnet(50|101|152)v2", "symmetric"),
        (r"vgg(16|19)|resnet(50|101|152)", "caffe"),
        (r"densenet(121|169|201)", "imagenet"),
        (
            r"efficientnetb[0-7]|efficientnetv2-(b[0-3]|[sml])|mobilenetv3(small|large)|convnext_\w+|regnet[xy]\d+",
            "raw",
        ),
    )
)
"""Modes of keras.applications' ``preprocess_input``; ``raw`` where the model has its own rescaling layer."""

_OWN_PREPROCESSING = re.compile(r"(^|/)(rescaling|normalization|lambda|tf\.math\.\w+|tf\.nn\.\w+)(_\d+)?(/|$)")
"""Layers that a user has put before such a model: what numbers it then takes only they know."""


def torchvision(model: ModelProto, _: Path) -> Exported:
    """ImageNet's mean and std for a model whose outermost class is torchvision's; 0 to 1 for its detectors, which
    normalise inside."""
    for node in model.graph.node:
        classes = next((entry.value for entry in node.metadata_props if entry.key == _CLASSES), "")
        outermost = re.match(r"\s*\[\s*['\"]([^'\"]*)", classes)
        found = _TORCHVISION.match(outermost.group(1)) if outermost else None
        if found is None:
            return Exported()  # the first node tells: all come from the same model
        package = found.group(1)
        if package == "detection":
            return Exported(frame=PRESETS["unit"], task="detect")
        if _NORMALISED.fullmatch(package):
            return Exported(frame=PRESETS["imagenet"], task="segment" if package == "segmentation" else "classify")
        return Exported()
    return Exported()


def keras(model: ModelProto, _: Path) -> Exported:
    """The preprocessing of a model of keras.applications, by the name that its graph or its nodes carry."""
    if not model.producer_name.lower().startswith(("tf2onnx", "keras")):
        return Exported()
    names = [model.graph.name, *(node.name for node in model.graph.node)]
    has_own = any(_OWN_PREPROCESSING.search(name) for name in names)
    for pattern, preset in _KERAS:
        if any(pattern.search(name) for name in names) and (preset == "raw" or not has_own):
            return Exported(frame=FrameRecipe(preprocess=preset).resolved(), task=None)
    return Exported()
