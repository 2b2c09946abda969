"""Networks whose kernels want their weights packed, with random weights, as plain ONNX files without preprocessing.

Sizes are those of small real ones: a decoder's products in 4 bits, a quantised detector's convolutions, ViT-Ti/16, and
a speech network's recurrent layers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from seamline.model import zoo
from seamline.model.metadata.preprocess import METADATA_KEY

OPSETS = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]


class Net:
    """Nodes and weights as they are made; `last` is the tensor that the next layer reads."""

    def __init__(self, shape: list[int], seed: int = 0) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self.last = "x"
        self.rng = np.random.default_rng(seed)
        self._shape = shape

    def constant(self, values: object, dtype: str = "float32") -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def weight(self, *shape: int) -> str:
        return self.constant(self.rng.standard_normal(shape) / np.sqrt(shape[0]))

    def add(self, op: str, inputs: list[str], **attributes: Any) -> str:
        self.last = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [self.last], name=self.last, **attributes))
        return self.last

    def save(self, path: Path, shape: list[int]) -> Path:
        ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, self._shape)]
        graph = helper.make_graph(
            self.nodes, path.stem, ends, [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, shape)],
            self.weights,
        )  # fmt: skip
        onnx.save(helper.make_model(graph, opset_imports=OPSETS, ir_version=10), path)
        return path


def int4(path: Path, *, rows: int = 16, width: int = 2048, layers: int = 6) -> Path:
    net, block = Net([1, rows, width]), 32
    for _ in range(layers):
        q = net.constant(net.rng.integers(0, 256, (width, width // block, block // 2)), "uint8")
        scale = net.constant(net.rng.random(width * width // block) * 0.004)
        sizes = {"K": width, "N": width, "bits": 4, "block_size": block, "accuracy_level": 4}
        net.add("MatMulNBits", [net.last, q, scale], domain="com.microsoft", **sizes)
        net.add("Relu", [net.last])
    return net.save(path, [1, rows, width])


def int8_qdq(path: Path, *, channels: int = 64, size: int = 28, layers: int = 12) -> Path:
    net = Net([1, channels, size, size])
    scale, zero, weight_scale = net.constant(0.02), net.constant(0, "int8"), net.constant(0.01)
    for _ in range(layers):
        quantised = net.add("QuantizeLinear", [net.last, scale, zero])
        plain = net.add("DequantizeLinear", [quantised, scale, zero])
        values = net.constant(net.rng.integers(-50, 50, (channels, channels, 3, 3)), "int8")
        weight = net.add("DequantizeLinear", [values, weight_scale, zero])
        net.add("Conv", [plain, weight], pads=[1] * 4)
        net.add("Relu", [net.last])
    net.add("QuantizeLinear", [net.last, scale, zero])
    net.add("DequantizeLinear", [net.last, scale, zero])
    return net.save(path, [1, channels, size, size])


def vit(path: Path, *, tokens: int = 197, width: int = 192, heads: int = 3, layers: int = 12) -> Path:
    net = Net([1, tokens, width])
    split = net.constant([1, tokens, heads, width // heads], "int64")
    joined = net.constant([1, tokens, width], "int64")
    for _ in range(layers):
        begin = net.last
        normal = net.add("LayerNormalization", [begin, net.constant(np.ones(width)), net.constant(np.zeros(width))])
        parts = []
        for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
            made = net.add("MatMul", [normal, net.weight(width, width)])
            made = net.add("Add", [made, net.constant(np.zeros(width))])
            parts.append(net.add("Transpose", [net.add("Reshape", [made, split])], perm=perm))
        scores = net.add("Mul", [net.add("MatMul", parts[:2]), net.constant((width / heads) ** -0.5)])
        mixed = net.add("MatMul", [net.add("Softmax", [scores], axis=-1), parts[2]])
        mixed = net.add("Reshape", [net.add("Transpose", [mixed], perm=[0, 2, 1, 3]), joined])
        begin = net.add("Add", [begin, net.add("MatMul", [mixed, net.weight(width, width)])])
        normal = net.add("LayerNormalization", [begin, net.constant(np.ones(width)), net.constant(np.zeros(width))])
        wide = net.add("Gelu", [net.add("MatMul", [normal, net.weight(width, 4 * width)])])
        net.add("Add", [begin, net.add("MatMul", [wide, net.weight(4 * width, width)])])
    return net.save(path, [1, tokens, width])


def lstm(path: Path, *, steps: int = 50, width: int = 256, layers: int = 4) -> Path:
    net = Net([steps, 1, width])
    axis = net.constant([1], "int64")
    for _ in range(layers):
        net.add("LSTM", [net.last, net.weight(1, 4 * width, width), net.weight(1, 4 * width, width)], hidden_size=width)
        net.add("Squeeze", [net.last, axis])
    return net.save(path, [steps, 1, width])


def of_zoo(name: str) -> Callable[[Path], Path]:
    """Writer of a zoo model that takes its input as plain ONNX Runtime does."""

    def write(path: Path) -> Path:
        zoo.build(name, path, seed=0)
        model = onnx.load(path)
        for entry in [entry for entry in model.metadata_props if entry.key == METADATA_KEY]:
            model.metadata_props.remove(entry)
        onnx.save(model, path)
        return path

    return write


NETS: dict[str, Callable[[Path], Path]] = {
    "vgg19": of_zoo("vgg19"),
    "mobilenetv2": of_zoo("mobilenetv2"),
    "int8-qdq": int8_qdq,
    "int4-matmul": int4,
    "vit-tiny": vit,
    "lstm": lstm,
}
