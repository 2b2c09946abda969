"""Configuration files of Hugging Face models beside the ONNX file: preprocessor_config.json and config.json.

Optimum puts the ONNX file beside them, repositories for browsers into a folder ``onnx`` below. timm's config.json says
both in one (``pretrained_cfg``). Sources: transformers' image processors, timm's ``push_to_hf_hub``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnx import ModelProto

from seamline.config.plain_files import read_plain_text
from seamline.core.vocabulary.pictures import Fit
from seamline.model.metadata.preprocess import Resample, Triple
from seamline.model.metadata.recipe import Exported, FrameRecipe

log = logging.getLogger(__name__)

MAX_BYTES = 4 << 20
LEAST_WHOLE_SIDE = 384
"""From this size on ConvNeXt's processor stretches pictures, and crops none."""

_TASKS = {
    "ForImageClassification": "classify",
    "ForObjectDetection": "detect",
    "ForSemanticSegmentation": "segment",
}
_RESAMPLES: dict[int, Resample] = {0: "nearest", 1: "area", 2: "area", 3: "area", 4: "area", 5: "area"}
"""Pillow's filters, all of which average where a picture shrinks, but for the nearest."""


def huggingface(_: ModelProto, path: Path) -> Exported:
    """What stands beside `path`, or above its folder where that is called ``onnx``; nothing without such files."""
    folders = [path.parent, *([path.parent.parent] if path.parent.name == "onnx" else [])]
    config = _read(folders, "config.json")
    processor = _read(folders, "preprocessor_config.json")
    timm = config.get("pretrained_cfg")
    frame = _of_timm(timm) if isinstance(timm, Mapping) else _of_processor(processor)
    architectures = config.get("architectures")
    names = [str(name) for name in architectures] if isinstance(architectures, list) else []
    task = next((task for ending, task in _TASKS.items() if any(name.endswith(ending) for name in names)), None)
    if isinstance(timm, Mapping) and config.get("num_classes"):
        task = "classify"
    return Exported(frame=frame, labels=_labels(config), task=task)


def _read(folders: list[Path], name: str) -> Mapping[str, Any]:
    for folder in folders:
        path = folder / name
        try:
            found = json.loads(read_plain_text(path, MAX_BYTES))
            if isinstance(found, Mapping):
                return found
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError) as exc:
            log.warning("`%s` cannot be read: %s", path, exc)
    return {}


def _of_processor(said: Mapping[str, Any]) -> FrameRecipe | None:
    """The recipe of a transformers image processor; None when it is of something else (audio, text)."""
    if not {"image_mean", "do_normalize", "do_rescale", "image_processor_type", "feature_extractor_type"} & said.keys():
        return None
    if "sampling_rate" in said or "feature_size" in said:
        return None
    factor = _number(said.get("rescale_factor"), 1 / 255) if said.get("do_rescale", True) else 1.0
    mean, std = (0.0,) * 3, (1.0,) * 3
    if said.get("do_normalize", "image_mean" in said):
        mean = _triple(said.get("image_mean")) or (0.5,) * 3
        std = _triple(said.get("image_std")) or (0.5,) * 3
    if not factor or not all(std):
        return None
    scale = 1 / factor
    size, crop = _size(said.get("size")), _size(said.get("crop_size"))
    shortest = _shortest(said.get("size"))
    fit, crop_ratio = Fit.STRETCH, None
    if "crop_pct" in said and (side := shortest or (size[0] if size else None)) and not crop:  # ConvNeXt's way
        size = (side, side)
        if side < LEAST_WHOLE_SIDE:
            crop_pct = _number(said["crop_pct"], 1.0)
            fit, crop_ratio = Fit.CROP, crop_pct if 0 < crop_pct <= 1 else None
    elif said.get("do_center_crop") or (shortest and crop):
        fit = Fit.CROP
        size, crop_ratio = crop or size, _ratio(crop, shortest)
    elif shortest or said.get("do_pad"):  # detectors: the aspect stays, and what is missing is padded
        fit = Fit.LETTERBOX
    height, width = size or (None, None)
    return FrameRecipe(
        height=height,
        width=width,
        mean=(mean[0] * scale, mean[1] * scale, mean[2] * scale),
        std=(std[0] * scale, std[1] * scale, std[2] * scale),
        fit=fit,
        crop_ratio=crop_ratio,
        resample=_RESAMPLES.get(said.get("resample", 2), "area"),
        pad=round(sum(mean) * scale / 3) if fit is Fit.LETTERBOX else None,  # it pads with 0 after the mean is gone
        is_centred=False if fit is Fit.LETTERBOX else None,
        channels="bgr" if said.get("do_flip_channel_order") else None,
    )


def _of_timm(said: Mapping[str, Any]) -> FrameRecipe | None:
    mean, std, size = _triple(said.get("mean")), _triple(said.get("std")), said.get("input_size")
    if mean is None or std is None or not all(std):
        return None
    is_size = isinstance(size, list) and len(size) == 3 and all(type(side) is int and side > 0 for side in size)
    height, width = size[1:] if is_size and isinstance(size, list) else (None, None)
    crop = _number(said.get("crop_pct"), 1.0)
    is_squashed = said.get("crop_mode") == "squash"
    return FrameRecipe(
        height=height,
        width=width,
        mean=(mean[0] * 255, mean[1] * 255, mean[2] * 255),
        std=(std[0] * 255, std[1] * 255, std[2] * 255),
        fit=Fit.STRETCH if is_squashed else Fit.CROP,
        crop_ratio=crop if 0 < crop <= 1 and not is_squashed else None,
    )


def _size(said: Any) -> tuple[int, int] | None:
    """``{"height": 224, "width": 224}``, a side, or a pair; None for what gives no fixed size."""
    if isinstance(said, Mapping):
        said = [said.get("height"), said.get("width")]
    if type(said) is int:
        said = [said, said]
    if isinstance(said, list) and len(said) == 2 and all(type(side) is int and side > 0 for side in said):
        return (said[0], said[1])
    return None


def _shortest(said: Any) -> int | None:
    side = said.get("shortest_edge") if isinstance(said, Mapping) else None
    return side if type(side) is int and side > 0 else None


def _ratio(crop: tuple[int, int] | None, shortest: int | None) -> float | None:
    """Side of the crop relative to the largest: 0.875 for 224 of 256."""
    return None if crop is None or not shortest else min(1.0, min(crop) / shortest)


def _triple(said: Any) -> Triple | None:
    if isinstance(said, int | float) and not isinstance(said, bool):
        said = [said] * 3
    if isinstance(said, list) and len(said) == 1:
        said = said * 3
    if isinstance(said, list) and len(said) == 3 and all(isinstance(number, int | float) for number in said):
        return (float(said[0]), float(said[1]), float(said[2]))
    return None


def _number(said: Any, otherwise: float) -> float:
    return float(said) if isinstance(said, int | float) and not isinstance(said, bool) else otherwise


def _labels(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Names by ``id2label``, or timm's; None unless every number has its name."""
    names = config.get("id2label")
    if isinstance(names, Mapping) and names:
        found = [names.get(str(number)) for number in range(len(names))]
        return tuple(str(name) for name in found) if None not in found else None
    listed = config.get("label_names")
    return tuple(str(name) for name in listed) if isinstance(listed, list) and listed else None
