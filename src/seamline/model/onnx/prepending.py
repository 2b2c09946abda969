"""Layers that make a model's input from the camera frame: integers until the layout is right, floats afterwards.

Measured at 224x224, one thread: Cast, Sub and Mul on interleaved pixels and a Transpose of floats take 1.9 ms; a
Transpose of bytes, then the same arithmetic plane by plane, 0.3 ms, and gives the same bits.
Only operators and forms that are the same in every opset from 7 on (Unsqueeze takes its axis in another way since 13).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from seamline.core.vocabulary.ports import Array
from seamline.model.metadata.preprocess import FRAME, Preprocess
from seamline.model.onnx.operators import tensor_names
from seamline.model.onnx.protobuf import refill

PREFIX = "seamline/preprocess"

GREY_WEIGHTS = (0.299, 0.587, 0.114)
"""Luma of R, G, B by ITU-R BT.601, as OpenCV and Pillow have it."""


def prepend(graph: GraphProto, preprocess: Preprocess, target: str) -> None:
    """Have `graph`, a whole segment, take a frame in place of its input `target`, and make that first.

    Arithmetic is float32: the same on every node, and with the runtime's optimisations or without. The input is called
    ``frame``, and what is added ``seamline/preprocess/...``, unless the segment has such names.
    """
    steps = _Steps(graph)
    is_planar = preprocess.layout in ("nchw", "chw", "nhw", "hw") or preprocess.channels == "grey"
    if is_planar:
        steps.add("Transpose", perm=[2, 0, 1])
    if preprocess.channels == "bgr":
        order = steps.constant("order", np.array([2, 1, 0], np.int64))
        steps.add("Gather", order, axis=0 if is_planar else 2)
    if preprocess.channels == "grey":
        _add_grey(steps, preprocess)
    elif not is_planar:  # rows of interleaved colours: constants are as long as a row, so that whole rows are computed
        steps.reshape("rows", (preprocess.height, 3 * preprocess.width))
    _add_values(steps, preprocess, is_planar)
    steps.reshape("shape", preprocess.input_shape)
    steps.put_before(target, preprocess)


def _add_grey(steps: _Steps, preprocess: Preprocess) -> None:
    """One plane of whole grey levels from three colours."""
    steps.cast("float32")
    steps.reshape("colours", (1, 3, preprocess.height, preprocess.width))
    weights = np.asarray(GREY_WEIGHTS, np.float32).reshape(1, 3, 1, 1)
    steps.add("Conv", steps.constant("grey", weights))
    steps.add("Add", steps.constant("half", np.float32(0.5)))
    steps.add("Floor")


def _add_values(steps: _Steps, preprocess: Preprocess, is_planar: bool) -> None:
    """(x - mean) / std in float32, then the input's dtype; whole pixels go there at once."""
    if not preprocess.is_identity:
        steps.cast("float32")
        if any(preprocess.mean):
            mean = np.asarray(preprocess.mean, np.float32)
            steps.add("Sub", steps.constant("mean", _by_channel(mean, preprocess, is_planar)))
        scale = np.float32(1) / np.asarray(preprocess.std, np.float32)
        steps.add("Mul", steps.constant("scale", _by_channel(scale, preprocess, is_planar)))
        if not preprocess.dtype.startswith("float"):  # a cast to integers would cut off towards zero
            steps.add("Add", steps.constant("half", np.float32(0.5)))
            steps.add("Floor")
    steps.cast(preprocess.dtype)


def _by_channel(values: Array, preprocess: Preprocess, is_planar: bool) -> Array:
    """Three `values` of R, G, B in the shape that they are broadcast from."""
    if len(set(values.tolist())) == 1:
        return np.asarray(values[0])
    ordered = values[::-1] if preprocess.channels == "bgr" else values
    return ordered.reshape(3, 1, 1) if is_planar else np.tile(ordered, preprocess.width)


class _Steps:
    """Nodes in a row, each taking what the one before it made; constants go into `graph`, whose names stay its own."""

    def __init__(self, graph: GraphProto) -> None:
        taken = {*tensor_names(graph), *(node.name for node in graph.node)}
        self._prefix = PREFIX
        while any(name.startswith(self._prefix) for name in taken):
            self._prefix += "+"
        self._frame = FRAME if FRAME not in taken else self._inner(FRAME)
        self._graph = graph
        self._nodes: list[NodeProto] = []
        self._dtype = "uint8"
        self._constants: set[str] = set()

    def constant(self, key: str, value: Any) -> str:
        name = self._inner(key)
        if key not in self._constants:
            self._constants.add(key)
            self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, op: str, *others: str, **attributes: Any) -> None:
        index = len(self._nodes)
        before = self._nodes[-1].output[0] if self._nodes else self._frame
        node = helper.make_node(
            op, [before, *others], [self._inner(str(index))], name=self._inner(f"{op}_{index}"), **attributes
        )
        self._nodes.append(node)

    def cast(self, dtype: str) -> None:
        if dtype != self._dtype:
            self.add("Cast", to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
            self._dtype = dtype

    def reshape(self, key: str, shape: tuple[int, ...]) -> None:
        self.add("Reshape", self.constant(key, np.asarray(shape, np.int64)))

    def put_before(self, target: str, preprocess: Preprocess) -> None:
        """End in `target`, which is then no input of the graph any more; the frame is, as its first."""
        self._nodes[-1].output[0] = target
        refill(self._graph.node, (*self._nodes, *self._graph.node))
        others = [value for value in self._graph.input if value.name != target]
        shape = list(preprocess.frame_spec.shape)
        frame = helper.make_tensor_value_info(self._frame, TensorProto.UINT8, shape)
        refill(self._graph.input, (frame, *others))

    def _inner(self, key: str) -> str:
        return f"{self._prefix}/{key}"
