"""Segments as models of their own, in the layout of Triton's model repository: what other servers load.

    DIR/NAME/config.pbtxt
    DIR/NAME/1/model.onnx       beside it model.data, where the weights are too large for one file

KServe's Triton runtime reads the same layout. A tensor that only crosses a segment is no input or output of it: whoever
chains models hands it on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, ValueInfoProto
from onnx.external_data_helper import load_external_data_for_model

from seamline.core.vocabulary.errors import ModelError, UsageError
from seamline.core.vocabulary.plans import Segment
from seamline.model.store.stored import StoredModel

VERSION = "1"
ONE_FILE_BYTES = 1 << 30
"""More weights lie beside the graph: protobuf ends at 2 GB."""

_TYPES: Mapping[int, str] = {
    TensorProto.FLOAT: "TYPE_FP32", TensorProto.FLOAT16: "TYPE_FP16", TensorProto.DOUBLE: "TYPE_FP64",
    TensorProto.BOOL: "TYPE_BOOL", TensorProto.UINT8: "TYPE_UINT8", TensorProto.UINT16: "TYPE_UINT16",
    TensorProto.UINT32: "TYPE_UINT32", TensorProto.UINT64: "TYPE_UINT64", TensorProto.INT8: "TYPE_INT8",
    TensorProto.INT16: "TYPE_INT16", TensorProto.INT32: "TYPE_INT32", TensorProto.INT64: "TYPE_INT64",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A model that was written. inputs, outputs: what it takes and gives, by name. passed: what only crosses it."""

    name: str
    path: Path
    segment: Segment
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    passed: tuple[str, ...]


def export_name(name: str, segment: Segment, model: StoredModel) -> str:
    """What `segment` is called: `name`, with its two cuts behind it unless it is the whole model."""
    return name if segment == model.whole else f"{name}_{segment.start}_{segment.stop}"


def export_segment(model: StoredModel, segment: Segment, name: str, folder: Path) -> Exported:
    """Write `segment` below `folder` as a model called `name`.

    Raises `UsageError` when there is one, `ModelError` for a segment that computes nothing or that no server takes.
    """
    part = model.segment(segment)
    if part.model is None:
        raise ModelError(f"no layer runs in {segment} of `{model.name}`", hint="`seamline inspect` lists the cuts")
    config = _config(name, part.model.graph.input, part.model.graph.output)
    target = folder / name
    if target.exists():
        raise UsageError(f"`{target}` is there", hint="name another folder with -o, or remove it")
    version = target / VERSION
    version.mkdir(parents=True)
    graph = onnx.ModelProto()
    graph.CopyFrom(part.model)
    weights_bytes = sum(_n_bytes(tensor) for tensor in graph.graph.initializer)
    load_external_data_for_model(graph, str(model.folder))
    is_apart = weights_bytes > ONE_FILE_BYTES
    apart: dict[str, Any] = {"save_as_external_data": True, "location": "model.data"} if is_apart else {}
    onnx.save(graph, version / "model.onnx", **apart)
    (target / "config.pbtxt").write_text(config, encoding="utf-8")
    return Exported(
        name=name,
        path=target,
        segment=segment,
        inputs=tuple(value.name for value in part.model.graph.input),
        outputs=tuple(value.name for value in part.model.graph.output),
        passed=tuple(sorted(part.passed)),
    )


def _config(name: str, inputs: Iterable[ValueInfoProto], outputs: Iterable[ValueInfoProto]) -> str:
    lines = [f'name: "{name}"', 'platform: "onnxruntime_onnx"', "max_batch_size: 0"]
    for word, values in (("input", inputs), ("output", outputs)):
        lines += [f"{word} [", ",\n".join(map(_tensor, values)), "]"]
    return "\n".join(lines) + "\n"


def _tensor(value: ValueInfoProto) -> str:
    kind = value.type.tensor_type
    if kind.elem_type not in _TYPES:
        raise ModelError(f"`{value.name}` is of a type that Triton's configuration does not know")
    dims = ", ".join(str(axis.dim_value) if axis.HasField("dim_value") else "-1" for axis in kind.shape.dim)
    quoted = value.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'  {{ name: "{quoted}" data_type: {_TYPES[kind.elem_type]} dims: [ {dims} ] }}'


def _n_bytes(tensor: Any) -> int:
    sizes = {entry.key: entry.value for entry in tensor.external_data}
    return int(sizes.get("length", 0)) or int(tensor.ByteSize())
