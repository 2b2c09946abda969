"""A small language for convolutional networks: layers become ONNX nodes, parameters recipes for values.

Nothing is materialised here, so that counting the parameters of VGG-19 costs nothing; `writing.py` fills in values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, helper

from seamline.core.vocabulary.errors import ModelError
from seamline.model.metadata.preprocess import Preprocess

Floats = npt.NDArray[np.float32]
Fill = Callable[[np.random.Generator, int], Floats]
"""Makes the next so many values of a parameter, in row-major order."""

IMAGENET = Preprocess(
    height=224, width=224, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
)  # the mean and spread of ImageNet's pixels, which torchvision's models were trained with

INPUT = "input"
OUTPUT = "output"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A weight to be."""

    name: str
    shape: tuple[int, ...]
    fill: Fill

    @property
    def n_values(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """Output of a layer: name and channels, height, width (height and width 0 after flattening)."""

    name: str
    channels: int
    height: int
    width: int


@dataclass(slots=True)
class Network:
    """A network under construction: each method adds a layer and returns its output.

    values: trained weights by parameter name; parameters found there take them instead of random ones.
    """

    name: str
    preprocess: Preprocess = IMAGENET
    values: dict[str, Floats] | None = None
    batch_norm_epsilon: float = 1e-5
    nodes: list[NodeProto] = field(default_factory=list)
    parameters: dict[str, Parameter] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    _n_of: dict[str, int] = field(default_factory=dict)

    @property
    def input(self) -> Tensor:
        return Tensor(name=INPUT, channels=3, height=self.preprocess.height, width=self.preprocess.width)

    def conv(
        self,
        x: Tensor,
        channels: int,
        kernel: int,
        *,
        stride: int = 1,
        pads: tuple[int, int] | None = None,
        groups: int = 1,
        bias: bool = False,
        rectified: bool = True,
        key: str | None = None,
    ) -> Tensor:
        """A square convolution. pads: before and after, on both axes; half the kernel when None.

        rectified: whether `x` comes from a ReLU; then half its power is gone, and the weights make up for it
        (He et al. 2015, eq. 10). key: name of its trained weights.
        """
        before, after = pads if pads is not None else (kernel // 2, kernel // 2)
        name = self._next("conv")
        fan_in = x.channels // groups * kernel * kernel
        std = math.sqrt((2.0 if rectified else 1.0) / fan_in)
        weights = [self._add(f"{name}.weight", (channels, x.channels // groups, kernel, kernel), normal(std), key)]
        if bias:
            weights.append(self._add(f"{name}.bias", (channels,), normal(0.05), key))
        height, width = ((extent + before + after - kernel) // stride + 1 for extent in (x.height, x.width))
        return self._node(
            "Conv", name, [x.name, *weights], channels, height, width, kernel_shape=[kernel, kernel],
            strides=[stride, stride], pads=[before, before, after, after], group=groups,
        )  # fmt: skip

    def batch_norm(self, x: Tensor, *, scale: float = 1.0, key: str | None = None) -> Tensor:
        """Batch normalisation as trained networks have it: random scale, bias, mean and variance near the usual."""
        name = self._next("norm")
        weights = [
            self._add(f"{name}.weight", (x.channels,), uniform(0.9 * scale, 1.1 * scale), key),
            self._add(f"{name}.bias", (x.channels,), normal(0.1), key),
            self._add(f"{name}.running_mean", (x.channels,), normal(0.1), key),
            self._add(f"{name}.running_var", (x.channels,), uniform(0.8, 1.2), key),
        ]
        epsilon = self.batch_norm_epsilon
        return self._node(
            "BatchNormalization", name, [x.name, *weights], x.channels, x.height, x.width, epsilon=epsilon
        )

    def relu(self, x: Tensor) -> Tensor:
        return self._node("Relu", self._next("relu"), [x.name], x.channels, x.height, x.width)

    def relu6(self, x: Tensor) -> Tensor:
        limits = [self._constant("zero", 0.0), self._constant("six", 6.0)]
        return self._node("Clip", self._next("relu"), [x.name, *limits], x.channels, x.height, x.width)

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return self._node("Add", self._next("add"), [x.name, y.name], x.channels, x.height, x.width)

    def max_pool(self, x: Tensor, kernel: int, stride: int, pad: int = 0) -> Tensor:
        height, width = ((extent + 2 * pad - kernel) // stride + 1 for extent in (x.height, x.width))
        return self._node(
            "MaxPool", self._next("pool"), [x.name], x.channels, height, width, kernel_shape=[kernel, kernel],
            strides=[stride, stride], pads=[pad] * 4,
        )  # fmt: skip

    def global_average(self, x: Tensor) -> Tensor:
        return self._node("GlobalAveragePool", self._next("pool"), [x.name], x.channels, 1, 1)

    def flatten(self, x: Tensor) -> Tensor:
        return self._node("Flatten", self._next("flatten"), [x.name], x.channels * x.height * x.width, 0, 0)

    def dense(self, x: Tensor, channels: int, *, is_output: bool = False, key: str | None = None) -> Tensor:
        """A fully connected layer on a flattened tensor; the network's output when `is_output`."""
        name = self._next("fc")
        weights = [
            self._add(f"{name}.weight", (channels, x.channels), normal(math.sqrt(2.0 / x.channels)), key),
            self._add(f"{name}.bias", (channels,), normal(0.05), key),
        ]
        output = OUTPUT if is_output else None
        return self._node("Gemm", name, [x.name, *weights], channels, 0, 0, output=output, transB=1)

    def _node(
        self, op: str, name: str, inputs: list[str], channels: int, height: int, width: int,
        output: str | None = None, **attributes: Any,
    ) -> Tensor:  # fmt: skip
        made = output or f"{name}.out"
        self.nodes.append(helper.make_node(op, inputs, [made], name=name, **attributes))
        return Tensor(name=made, channels=channels, height=height, width=width)

    def _add(self, name: str, shape: tuple[int, ...], fill: Fill, key: str | None = None) -> str:
        if self.values is not None and key is not None:
            fill = _taken(self.values, f"{key}.{name.rpartition('.')[2]}", shape)
        self.parameters[name] = Parameter(name=name, shape=shape, fill=fill)
        return name

    def _constant(self, name: str, value: float) -> str:
        return self._add(name, (), lambda _, count: np.full(count, value, np.float32))

    def _next(self, kind: str) -> str:
        self._n_of[kind] = self._n_of.get(kind, 0) + 1
        return f"{kind}{self._n_of[kind]}"


def normal(std: float) -> Fill:
    """Values from N(0, std^2)."""
    return lambda rng, count: rng.standard_normal(count, dtype=np.float32) * np.float32(std)


def uniform(low: float, high: float) -> Fill:
    """Values evenly from [low, high)."""
    return lambda rng, count: rng.random(count, dtype=np.float32) * np.float32(high - low) + np.float32(low)


def _taken(values: dict[str, Floats], key: str, shape: tuple[int, ...]) -> Fill:
    """The trained values under `key`, handed out piece by piece."""
    found = values.get(key)
    if found is None or found.shape != shape:
        got = "nothing" if found is None else str(list(found.shape))
        raise ModelError(f"the trained weights have {got} for `{key}`, the network needs {list(shape)}")
    flat = np.ascontiguousarray(found).reshape(-1)
    at = 0

    def fill(_: np.random.Generator, count: int) -> Floats:
        nonlocal at
        at += count
        return flat[at - count : at]

    return fill
