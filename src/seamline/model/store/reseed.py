"""Random values for weights that are constant.

A model whose weights are constants (a benchmark graph with its weights taken out) gives the same output however it is
wired, so that running it cut and uncut proves nothing. `seamline verify --reseed` gives it weights that do.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, TensorProto, helper

from seamline.model.onnx.external import TensorData, tensor_bytes
from seamline.model.onnx.reading import NormalModel

MIN_AXES = 2
"""Matrices and filters. Biases of zeros and scales of ones are common, and hide no wrong wiring."""

_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class SeededData(TensorData):
    """Values of a weight that are drawn again whenever they are read: N(0, 1 / fan-in), the same for the same seed."""

    seed: int

    def chunks(self) -> Iterator[bytes]:
        dims = tuple(self.tensor.dims)
        rng = np.random.default_rng([self.seed, zlib.crc32(self.tensor.name.encode())])
        scale = 1 / math.sqrt(max(1, math.prod(dims[1:])))
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(self.tensor.data_type)).newbyteorder("<")
        yield (rng.standard_normal(dims) * scale).astype(dtype).tobytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantWeights:
    """names: of the float weights with two axes or more whose values are all the same. ratio: their share of the values
    of all such weights; a few constants (a start state of zeros) are common, most of them mean an emptied model."""

    names: tuple[str, ...]
    ratio: float


def constant_weights(model: ModelProto, find: Callable[[TensorProto], TensorData]) -> ConstantWeights:
    """The constant weights of `model`. find: where the values of an initialiser are."""
    names: list[str] = []
    n_values = n_constant = 0
    for tensor in model.graph.initializer:
        size = math.prod(tensor.dims)
        if tensor.data_type not in _FLOATS or len(tensor.dims) < MIN_AXES or size < MIN_AXES:
            continue
        n_values += size
        if _is_constant(find(tensor)):
            n_constant += size
            names.append(tensor.name)
    return ConstantWeights(names=tuple(names), ratio=n_constant / n_values if n_values else 0.0)


def reseeded(normal: NormalModel, seed: int) -> NormalModel:
    """`normal` with random values in place of those `constant_weights`."""
    names = frozenset(constant_weights(normal.model, lambda tensor: _data(normal, tensor)).names)
    model = ModelProto()
    model.CopyFrom(normal.model)
    weights = dict(normal.weights)
    for tensor in model.graph.initializer:
        if tensor.name not in names:
            continue
        empty = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        data = SeededData(tensor=empty, n_bytes=tensor_bytes(empty), seed=seed)
        if tensor.name in weights:
            weights[tensor.name] = data
        else:
            tensor.CopyFrom(empty)
            tensor.raw_data = b"".join(data.chunks())
    return NormalModel(model=model, weights=weights)


def _data(normal: NormalModel, tensor: TensorProto) -> TensorData:
    return normal.weights.get(tensor.name) or TensorData(tensor=tensor, n_bytes=tensor_bytes(tensor))


def _is_constant(data: TensorData) -> bool:
    """Whether all values are the same, as bytes; stops at the first that differs."""
    width = data.n_bytes // math.prod(data.tensor.dims)
    first = b""
    for piece in data.chunks():
        first = first or piece[:width]
        if piece[:width] != first or piece[-width:] != first:
            return False  # the usual case, without comparing 16 MB
        if piece != first * (len(piece) // width):
            return False
    return True
