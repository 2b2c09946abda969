"""Arithmetic kernels of the lossy codecs, run by ONNX Runtime.

NumPy casts float32 to float16 at 0.7-0.9 GB/s on one core, ONNX Runtime at 10-20 (decision 6), so every element-wise
step is a graph of one operator or few. What NumPy does as fast (minimum and maximum) stays in NumPy.
Graphs have no shapes, so that one session each serves all tensors of the process. Which grid a tensor is quantised on
is `quantise.py`, what is sent at all and how it is described on the wire `tensors.py`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from seamline.core.vocabulary.ports import Array

F16_MAX = 65504.0
"""Largest finite float16."""

Floats = npt.NDArray[np.float32]
Levels = npt.NDArray[np.uint8]


def to_f16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Nearest float16 of each element, any shape. Values beyond +-65504 and infinities saturate; NaN stays NaN.

    Saturating, because one infinity in a feature map becomes NaN in the next layer.
    """
    if values.size == 0:
        return np.empty(values.shape, np.float16)
    limits = {"low": np.array(-F16_MAX, np.float32), "high": np.array(F16_MAX, np.float32)}
    return _run(_f16_session(), {"x": values, **limits})


def from_f16(values: npt.NDArray[np.float16]) -> npt.NDArray[np.float32]:
    """Exact float32 of each element."""
    if values.size == 0:
        return np.empty(values.shape, np.float32)
    return _run(_f32_session(), {"x": values})


def quantise(values: Floats, scale: Floats, zero_point: Levels) -> Levels:
    """``round(value / scale) + zero_point``, saturating: scalars for the whole tensor, or vectors along axis 1."""
    return _run(_quantise_session(), {"x": values, "scale": scale, "zero_point": zero_point})


def quantise_columns(values: Floats, scales: Floats, zero_points: Levels) -> Levels:
    """The same for values[rows, n] and vectors of n; ONNX Runtime's own operator takes 20 times as long for those."""
    limits = {"low": np.array(0.0, np.float32), "high": np.array(255.0, np.float32)}
    return _run(
        _columns_session(), {"x": values, "scale": scales, "zero_point": zero_points.astype(np.float32), **limits}
    )


def dequantise(levels: Levels, scale: Floats, zero_point: Levels) -> Floats:
    """``scale * (level - zero_point)``: scalars for the whole tensor, or vectors along axis 1."""
    return _run(_dequantise_session(), {"x": levels, "scale": scale, "zero_point": zero_point})


def _run(session: Any, feeds: dict[str, Array]) -> Array:
    output: Array = session.run(None, feeds)[0]
    return output


@cache
def _f16_session() -> Any:
    from onnx import TensorProto, helper

    clip = helper.make_node("Clip", ["x", "low", "high"], ["clipped"])
    cast = helper.make_node("Cast", ["clipped"], ["y"], to=TensorProto.FLOAT16)
    return _session([clip, cast], {"x": "FLOAT", "low": "FLOAT", "high": "FLOAT"}, "FLOAT16")


@cache
def _f32_session() -> Any:
    from onnx import TensorProto, helper

    return _session([helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)], {"x": "FLOAT16"}, "FLOAT")


@cache
def _quantise_session() -> Any:
    from onnx import helper

    node = helper.make_node("QuantizeLinear", ["x", "scale", "zero_point"], ["y"], axis=1)
    return _session([node], {"x": "FLOAT", "scale": "FLOAT", "zero_point": "UINT8"}, "UINT8")


@cache
def _columns_session() -> Any:
    from onnx import TensorProto, helper

    steps = [("Div", "scale"), ("Round", None), ("Add", "zero_point")]
    nodes, value = [], "x"
    for op, operand in steps:
        nodes.append(helper.make_node(op, [value, *([operand] if operand else [])], [op]))
        value = op
    nodes.append(helper.make_node("Clip", [value, "low", "high"], ["clipped"]))
    nodes.append(helper.make_node("Cast", ["clipped"], ["y"], to=TensorProto.UINT8))
    return _session(nodes, dict.fromkeys(("x", "scale", "zero_point", "low", "high"), "FLOAT"), "UINT8")


@cache
def _dequantise_session() -> Any:
    from onnx import helper

    node = helper.make_node("DequantizeLinear", ["x", "scale", "zero_point"], ["y"], axis=1)
    return _session([node], {"x": "UINT8", "scale": "FLOAT", "zero_point": "UINT8"}, "FLOAT")


def _session(nodes: list[Any], inputs: dict[str, str], output: str) -> Any:
    """A session for `nodes`, from the named inputs to ``y``. Limits are scalars, the others have any shape.

    Imports wait until a lossy codec is used: onnx and onnxruntime take 0.2 s to load.
    One thread: a codec runs beside the model's threads, and one already outruns any link.
    """
    import onnxruntime
    from onnx import TensorProto, helper

    def declare(name: str, dtype: str) -> Any:
        shape: list[int] | None = [] if name in ("low", "high") else None
        return helper.make_tensor_value_info(name, TensorProto.DataType.Value(dtype), shape)

    graph = helper.make_graph(nodes, "codec", [declare(*item) for item in inputs.items()], [declare("y", output)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
