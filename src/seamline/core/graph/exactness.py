"""Exactness: which tensors of a model must cross a cut with every bit, by what the layers behind them do with them.

A feature that is rounded by a thousandth moves an answer by about as much. A number that selects is another matter: the
float that becomes an index takes another row, a position another phase, a corner of a box another region, and no small
error of an answer tells. So a tensor is exact when a layer that selects reads it, directly or through layers that work
element by element or only move elements. The walk ends at layers that mix (convolutions, products, sums over an axis):
what goes into them is features. Answers are exact as well, as far back, and so are inputs: nothing here says what they
are.

This looks at the graph alone and errs to the safe side; `seamline.codec.fidelity` looks at the values of each frame,
and `seamline accuracy` measures what a codec does to answers on real frames.
"""

from __future__ import annotations

from collections.abc import Mapping

from seamline.core.graph.model_graph import Layer, ModelGraph
from seamline.core.vocabulary.profiles import TensorSpec

SELECTING = frozenset({
    "Floor", "Ceil", "Round", "Trunc", "Mod", "BitShift", "Equal", "OneHot", "Range", "Sin", "Cos",
    "NonMaxSuppression", "RoiAlign", "MaxRoiPool", "GridSample", "AffineGrid", "DeformConv", "Loop", "Scan", "If",
})  # fmt: skip
"""Layers whose result jumps, or turns on, when an input moves a little; bodies may hold any of them."""

_FROM_SECOND_ON = frozenset({"RoiAlign", "MaxRoiPool", "GridSample", "DeformConv"})
"""Of these, the first input is features, and the others say where to look."""

_ELEMENTWISE = frozenset({
    "Add", "Sub", "Mul", "Div", "Neg", "Abs", "Min", "Max", "Clip", "Pow", "Sqrt", "Reciprocal", "Exp", "Log", "Sum",
    "Where", "Identity", "Cast", "CastLike", "Relu", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh",
    "Softplus", "Sign", "Erf", "Dropout",
})  # fmt: skip
_MOVING = frozenset({
    "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split", "Concat", "Gather", "GatherElements",
    "GatherND", "Expand", "Tile", "Pad", "ScatterElements", "ScatterND", "TopK",
})  # fmt: skip
_PASSED = _ELEMENTWISE | _MOVING | SELECTING
_FLOATS = ("float16", "float32", "float64")


def exact_tensors(graph: ModelGraph) -> frozenset[str]:
    """Names of the tensors of floats in `graph` that must keep every bit."""
    exact = set(graph.inputs) | {name for name, spec in graph.tensors.items() if spec.dtype == "float64"}
    selected = set(graph.outputs)  # what is only scaled and moved after it is an answer already, a box in pixels say
    for layer in reversed(graph.layers):
        is_reached = layer.op in _PASSED and not selected.isdisjoint(layer.outputs)
        if is_reached or _selects(layer, graph.tensors):
            where = layer.inputs[1:] if layer.op in _FROM_SECOND_ON else layer.inputs
            selected.update(name for name in where if _is_float(name, graph.tensors))
    return frozenset(name for name in exact | selected if _is_float(name, graph.tensors))


def _selects(layer: Layer, tensors: Mapping[str, TensorSpec]) -> bool:
    if layer.op in ("Cast", "CastLike"):
        return not all(_is_float(name, tensors) for name in layer.outputs)
    return layer.op in SELECTING


def _is_float(name: str, tensors: Mapping[str, TensorSpec]) -> bool:
    return name in tensors and tensors[name].dtype in _FLOATS
