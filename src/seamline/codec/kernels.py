"""The arithmetic of the lossy codecs, done by ONNX Runtime.

NumPy casts float32 to float16 at 0.7-0.9 GB/s on one core, ONNX Runtime at 10-20 (decision 6), so every element-wise
step is a one-operator graph. What NumPy does as fast (minimum and maximum) stays in NumPy.
Graphs have no shapes, so that one session each serves all tensors of the process. What is quantised and how it is
described on the wire is `tensors.py`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from seamline.core.errors import CodecError
from seamline.core.ports import Array

F16_MAX = 65504.0
"""Largest finite float16."""

_TINY = float(np.finfo(np.float32).tiny)


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


def to_u8(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint8], float, int]:
    """(levels, scale, zero_point) with ``value = scale * (level - zero_point)``, one range for the whole tensor.

    The range is widened to hold 0, so that the zeros of a ReLU stay exact; the error is at most half a `scale`.
    Raises `CodecError` for NaN and infinities: they would leave no levels for the other values.
    """
    if values.size == 0:
        return np.empty(values.shape, np.uint8), 1.0, 0
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    if not np.isfinite(low) or not np.isfinite(high) or np.isnan(values.max()):
        raise CodecError("a tensor with NaN or infinity has no 8-bit range", hint="send it as f16 or raw")
    scale = float(np.float32(max((high - low) / 255.0, _TINY)))
    zero_point = min(255, max(0, round(-low / scale)))
    return _run(_quantise_session(), {"x": values, **_affine(scale, zero_point)}), scale, zero_point


def from_u8(levels: npt.NDArray[np.uint8], scale: float, zero_point: int) -> npt.NDArray[np.float32]:
    """Inverse of `to_u8`: ``scale * (level - zero_point)`` as float32."""
    if levels.size == 0:
        return np.empty(levels.shape, np.float32)
    return _run(_dequantise_session(), {"x": levels, **_affine(scale, zero_point)})


def _affine(scale: float, zero_point: int) -> dict[str, Array]:
    return {"scale": np.array(scale, np.float32), "zero_point": np.array(zero_point, np.uint8)}


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

    node = helper.make_node("QuantizeLinear", ["x", "scale", "zero_point"], ["y"])
    return _session([node], {"x": "FLOAT", "scale": "FLOAT", "zero_point": "UINT8"}, "UINT8")


@cache
def _dequantise_session() -> Any:
    from onnx import helper

    node = helper.make_node("DequantizeLinear", ["x", "scale", "zero_point"], ["y"])
    return _session([node], {"x": "UINT8", "scale": "FLOAT", "zero_point": "UINT8"}, "FLOAT")


def _session(nodes: list[Any], inputs: dict[str, str], output: str) -> Any:
    """A session for `nodes`, from the named inputs to ``y``. Input ``x`` has any shape, the others are scalars.

    Imports wait until a lossy codec is used: onnx and onnxruntime take 0.2 s to load.
    One thread: a codec runs beside the model's threads, and one already outruns any link.
    """
    import onnxruntime
    from onnx import TensorProto, helper

    def declare(name: str, dtype: str) -> Any:
        shape: list[int] | None = None if name in ("x", "y") else []
        return helper.make_tensor_value_info(name, TensorProto.DataType.Value(dtype), shape)

    graph = helper.make_graph(nodes, "codec", [declare(*item) for item in inputs.items()], [declare("y", output)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
