"""Writer of a `Network` as one ONNX file, value by value, so that 575 MB of weights are never in memory at once.

An ONNX file is a protobuf message whose fields may be written one after the other, once their lengths are known:
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper

from seamline.config.paths import refused_words
from seamline.core.vocabulary.errors import UsageError
from seamline.model.metadata.preprocess import write_preprocess
from seamline.model.onnx.protobuf import GRAPH_INITIALIZER, MODEL_GRAPH, TENSOR_RAW_DATA, field_head
from seamline.model.onnx.reading import NAME_KEY
from seamline.model.zoo.network import INPUT, OUTPUT, Network, Parameter

OPSET = 17
IR_VERSION = 8
N_CLASSES = 1000

_CHUNK_VALUES = 1 << 22
_FLOAT_BYTES = 4


def write_network(network: Network, path: Path, seed: int) -> Path:
    """Write `network` with the values that `seed` gives. Raises `UsageError` when `path` cannot be written."""
    model = _skeleton(network)
    graph = model.graph.SerializeToString(deterministic=True)
    model.ClearField("graph")
    heads = [(parameter, _tensor_head(parameter)) for parameter in network.parameters.values()]
    length = len(graph) + sum(_field_bytes(GRAPH_INITIALIZER, _tensor_bytes(*entry)) for entry in heads)
    try:
        with path.open("wb") as file:
            file.write(model.SerializeToString(deterministic=True))
            file.write(field_head(MODEL_GRAPH, length) + graph)
            for parameter, head in heads:
                file.write(field_head(GRAPH_INITIALIZER, _tensor_bytes(parameter, head)) + head)
                for piece in _values(parameter, seed):
                    file.write(piece)
    except PermissionError as exc:
        fact, hint = refused_words(path)
        raise UsageError(fact, hint=hint) from exc
    except OSError as exc:
        raise UsageError(f"cannot write `{path}`: {exc.strerror}") from exc
    return path


def _skeleton(network: Network) -> ModelProto:
    shape = [1, 3, network.preprocess.height, network.preprocess.width]
    graph = helper.make_graph(
        network.nodes,
        network.name,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [1, N_CLASSES])],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="seamline")
    for key, value in {**network.metadata, NAME_KEY: network.name}.items():
        model.metadata_props.add(key=key, value=value)
    write_preprocess(model, network.preprocess)
    return model


def _tensor_head(parameter: Parameter) -> bytes:
    """The tensor's message up to its values."""
    tensor = TensorProto(name=parameter.name, data_type=TensorProto.FLOAT, dims=parameter.shape)
    described: bytes = tensor.SerializeToString(deterministic=True)
    return described + field_head(TENSOR_RAW_DATA, _value_bytes(parameter))


def _value_bytes(parameter: Parameter) -> int:
    return parameter.n_values * _FLOAT_BYTES


def _tensor_bytes(parameter: Parameter, head: bytes) -> int:
    return len(head) + _value_bytes(parameter)


def _values(parameter: Parameter, seed: int) -> Iterator[bytes]:
    """Every parameter has a stream of its own, so that adding a layer does not change the others."""
    rng = np.random.default_rng([seed, zlib.crc32(parameter.name.encode())])
    left = parameter.n_values
    while left:
        count = min(left, _CHUNK_VALUES)
        yield parameter.fill(rng, count).astype("<f4").tobytes()
        left -= count


def _field_bytes(number: int, length: int) -> int:
    return len(field_head(number, length)) + length
