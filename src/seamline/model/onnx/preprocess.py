"""Preprocessing of a camera frame into a model's input, inside the first segment, so that it runs where that does.

The recipe travels in the metadata of the ONNX file. Resizing the picture to network size is the frame source's work.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.model.onnx.operators import tensor_names

METADATA_KEY = "seamline.preprocess"
FRAME = "frame"
"""Name of the input of a segment that starts with preprocessing."""

_PREFIX = "seamline/preprocess"
_MAX_EXTENT = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """Preprocessing of ``frame: uint8[height, width, 3]`` (RGB) into an input: (frame - mean) / std, then layout.

    mean, std: per channel R, G, B on the 0-255 scale. layout: nchw gives float32[1, 3, H, W], nhwc float32[1, H, W, 3].
    Raises `ModelError` when a value makes no sense.
    """

    height: int
    width: int
    layout: Literal["nchw", "nhwc"] = "nchw"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        extents_fit = all(type(extent) is int and 0 < extent <= _MAX_EXTENT for extent in (self.height, self.width))
        numbers = (*self.mean, *self.std)
        numbers_fit = len(self.mean) == len(self.std) == 3 and all(math.isfinite(number) for number in numbers)
        if not (extents_fit and numbers_fit and all(self.std) and self.layout in ("nchw", "nhwc")):
            raise ModelError(f"preprocessing makes no sense: {asdict(self)}", hint="mean and std are 3 numbers each")

    @property
    def frame_spec(self) -> TensorSpec:
        return TensorSpec(name=FRAME, dtype="uint8", shape=(self.height, self.width, 3))

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        return (1, 3, self.height, self.width) if self.layout == "nchw" else (1, self.height, self.width, 3)

    def check_fits(self, inputs: tuple[TensorSpec, ...]) -> None:
        """Raises `ModelError` unless a model with `inputs` takes exactly what this makes."""
        if len(inputs) != 1 or inputs[0].shape != self.input_shape or inputs[0].dtype != "float32":
            found = ", ".join(f"{spec.name}: {spec.dtype}{list(spec.shape)}" for spec in inputs)
            raise ModelError(f"preprocessing makes float32{list(self.input_shape)}, the model takes {found}")

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Preprocess:
        """Raises `ModelError` when `text` is not what `to_json` writes."""
        try:
            fields = json.loads(text)
            mean, std = (tuple(float(number) for number in fields.pop(key)) for key in ("mean", "std"))
            return Preprocess(mean=mean, std=std, **fields)  # type: ignore[arg-type] # lengths are checked by Preprocess
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise ModelError(f"preprocessing in the model's metadata is malformed: {text[:200]!r}") from exc


def read_preprocess(model: ModelProto) -> Preprocess | None:
    """Preprocessing in the metadata of `model`, if any."""
    texts = [entry.value for entry in model.metadata_props if entry.key == METADATA_KEY]
    return Preprocess.from_json(texts[0]) if texts else None


def write_preprocess(model: ModelProto, preprocess: Preprocess) -> None:
    """Put `preprocess` into the metadata of `model`, replacing what is there."""
    for entry in list(model.metadata_props):
        if entry.key == METADATA_KEY:
            model.metadata_props.remove(entry)
    model.metadata_props.add(key=METADATA_KEY, value=preprocess.to_json())


def prepend(graph: GraphProto, preprocess: Preprocess, target: str) -> None:
    """Have `graph`, a whole segment, take a frame in place of its input `target`, and make that first.

    Cast, Sub, Mul, Transpose, Reshape, in float32: the same on every node, and in every opset from 7 on (Unsqueeze
    takes its axis in another way since 13). The input is called ``frame``, and what is added
    ``seamline/preprocess/...``, unless the model has such names.
    """
    taken = set(tensor_names(graph)) | {node.name for node in graph.node}
    prefix = _PREFIX
    while any(name.startswith(prefix) for name in taken):
        prefix += "+"
    frame = FRAME if FRAME not in taken else f"{prefix}/{FRAME}"
    scale = np.float32(1) / np.asarray(preprocess.std, np.float32)
    shape = np.asarray(preprocess.input_shape, np.int64)
    constants = {"mean": np.asarray(preprocess.mean, np.float32), "scale": scale, "shape": shape}
    for key, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(value, f"{prefix}/{key}"))
    steps: list[tuple[str, list[str], dict[str, Any]]] = [
        ("Cast", [], {"to": TensorProto.FLOAT}),
        ("Sub", [f"{prefix}/mean"], {}),
        ("Mul", [f"{prefix}/scale"], {}),
        *([("Transpose", [], {"perm": [2, 0, 1]})] if preprocess.layout == "nchw" else []),
        ("Reshape", [f"{prefix}/shape"], {}),
    ]
    nodes, last = [], frame
    for index, (op, others, attributes) in enumerate(steps):
        output = target if index == len(steps) - 1 else f"{prefix}/{index}"
        nodes.append(helper.make_node(op, [last, *others], [output], name=f"{prefix}/{op}", **attributes))
        last = output
    layers = list(graph.node)
    del graph.node[:]
    graph.node.extend((*nodes, *layers))
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(frame, TensorProto.UINT8, list(preprocess.frame_spec.shape)))
