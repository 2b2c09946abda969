"""Reader of an ONNX file into its normal form: fixed shapes, known types, sorted layers, values located but not loaded.

What the normal form promises is in `NormalModel`. `models.py` writes it down once, `segments.py` cuts it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from seamline.core.graph.model_graph import Layer, ordered
from seamline.core.vocabulary.errors import ModelError, UsageError
from seamline.model.metadata.exported import exported_with
from seamline.model.metadata.labels import write_labels
from seamline.model.metadata.recipe import FrameRecipe
from seamline.model.onnx.external import TensorData, locate, locate_inside
from seamline.model.onnx.folding import INLINE_BYTES, fold
from seamline.model.onnx.functions import without_functions
from seamline.model.onnx.inputs import fix_inputs, fix_values, shapes_described
from seamline.model.onnx.operators import (
    attribute_tensors,
    check_operators,
    drop_alias,
    nested_graphs,
    node_inputs,
    weight_only,
)
from seamline.model.onnx.protobuf import Outline, copied, parse_outline, refill, understood
from seamline.model.onnx.quantised import late_dequantisers, own_dequantisers
from seamline.model.onnx.scopes import Scope, make_unique, rename
from seamline.model.onnx.shape_inference import declared, infer
from seamline.model.onnx.to_graph import describe_layers, end_specs, tensor_specs

log = logging.getLogger(__name__)

NAME_KEY = "seamline.name"
"""Metadata key of a model's name; without it the file's name is used."""

IR_VERSION = 8
"""Older formats (before 4) want weights among the inputs; nothing else that matters here has changed since."""

MAX_ROUNDS = 256
"""Rounds of inference and folding: the deepest chain of shapes that depend on shapes. A 12-block ViT takes 3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalModel:
    """A model ready to be stored.

    model: inputs have fixed shapes; constants are initialisers; nodes have unique names, are all needed for an output,
    and stand in running order, those that only compute weights first; a name stands for one tensor, also inside nodes;
    outputs are made by nodes, or are inputs; types are inferred.
    weights: where the values of the initialisers above `INLINE_BYTES` are, by name; in `model` those are empty.
    """

    model: ModelProto
    weights: Mapping[str, TensorData]


def read_model(
    path: Path,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    values: Mapping[str, float] | None = None,
    frame: FrameRecipe | None = None,
    frame_size: tuple[int, int] | None = None,
    gives_pictures: bool = False,
    folds: bool = True,
) -> NormalModel:
    """The model in the ONNX file `path`.

    shapes: fixes inputs by name; without it only an open first axis becomes 1. values: makes inputs constants, every
    element the same number (a sampling rate, a switch); what they decide is then folded. frame: how a camera frame
    becomes the one input, before what the file says; it fixes that input's shape as well. frame_size: height and width
    of the frames, where nothing else says. gives_pictures: frames will be pictures, so that it must be known how.
    folds: whether constants are folded.
    Raises `UsageError` when the file is missing or a name is no input, `ModelError` when it is not ONNX, an axis
    stays open, or it asks for what is not supported.
    """
    with understood(f"`{path}`"):
        outline = _parse(path)
        found = exported_with(outline.model, path)
        write_labels(outline.model, found)
        shapes = shapes_described(
            outline.model, dict(shapes or {}), values or {}, frame, found.frame, frame_size, gives_pictures
        )
        return _normalise(outline, path, shapes, dict(values or {}), folds)


def _normalise(
    outline: Outline,
    path: Path,
    shapes: dict[str, tuple[int, ...]],
    values: dict[str, float],
    folds: bool,
) -> NormalModel:
    drop_alias(outline.model)
    model = without_functions(outline.model)
    model.ir_version = max(model.ir_version, IR_VERSION)
    graph = model.graph
    check_operators(model)
    make_unique(graph)
    weights = _take_weights(graph, path, outline.places)
    said = declared(graph, fix_inputs(graph, shapes, values))
    fix_values(graph, values)
    _make_outputs(graph, weights)
    _sort_nodes(graph)
    model = _folded(model, weights, said) if folds else infer(model, said)
    graph = model.graph
    _check_ends(graph)
    _advise(graph)
    _drop_unused(graph)
    if not graph.node:  # every output is an input: without a layer there are no two ends to cut between
        inputs = [value.name for value in graph.input]
        graph.node.append(helper.make_node("Identity", inputs[:1], [Scope.of(graph).fresh("unused")]))
    own_dequantisers(graph)
    _name_nodes(graph)
    _order_layers(graph)
    kept = {tensor.name for tensor in graph.initializer}
    return NormalModel(model=model, weights={name: data for name, data in weights.items() if name in kept})


def _folded(model: ModelProto, weights: dict[str, TensorData], said: Mapping[str, ValueInfoProto]) -> ModelProto:
    """`model` with shapes inferred and constants folded, alternately: each makes more of the other possible."""
    for _ in range(MAX_ROUNDS):
        model = infer(model, said)
        if not fold(model, weights):
            break
    else:
        model = infer(model, said)
    return model


def _parse(path: Path) -> Outline:
    if path.exists() and not path.is_file():
        raise UsageError(f"`{path}` is not a file", hint="name an ONNX file")
    outline = parse_outline(path, INLINE_BYTES)
    model = outline.model
    if model.ir_version < 1 or not model.graph.node or not model.opset_import:
        words = f"`{path}` is not an ONNX model: it has no layers or no operator set"
        raise ModelError(words, hint="export the model to ONNX first")
    model.graph.name = _model_name(model, path)
    return outline


def _model_name(model: ModelProto, path: Path) -> str:
    """The name in the metadata, else the file's without ending, in characters that fit a folder and a table.

    The graph's own name is what the exporter put there: ``main_graph`` for all of PyTorch's.
    """
    given = [entry.value for entry in model.metadata_props if entry.key == NAME_KEY]
    name = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in (given or [path.stem])[0])
    return name[:64] or "model"


def _take_weights(graph: GraphProto, path: Path, places: Mapping[int, tuple[int, int]]) -> dict[str, TensorData]:
    """Empty the large initialisers of `graph` and say where their values are; all other values move into the model.

    places: what was left in the file `path`, by number of initialiser.
    """
    folder = path.parent
    refill(graph.node, [node for node in graph.node if not _constant_to_initialiser(node, graph)])
    for inner in nested_graphs(graph):
        for tensor in attribute_tensors(inner):
            _localise(tensor, locate(tensor, folder))
        if inner is not graph:
            for tensor in inner.initializer:
                _localise(tensor, locate(tensor, folder))
    weights = {}
    for number, tensor in enumerate(graph.initializer):
        own = copied(tensor)
        data = locate_inside(own, path, *places[number]) if number in places else locate(own, folder)
        if data.n_bytes <= INLINE_BYTES or tensor.data_type == TensorProto.STRING:
            _localise(tensor, data)
            continue
        if tensor.name in weights:
            raise ModelError(f"the model has two weights named `{tensor.name}`")
        weights[tensor.name] = data
        _empty(tensor)
        tensor.data_location = TensorProto.EXTERNAL
    return weights


def _constant_to_initialiser(node: NodeProto, graph: GraphProto) -> bool:
    """Whether `node` was a constant tensor; its value is then among the initialisers of `graph`."""
    if node.op_type != "Constant" or node.domain or len(node.attribute) != 1:
        return False
    attribute = node.attribute[0]
    tensor = TensorProto()
    match attribute.name:
        case "value":
            tensor.CopyFrom(attribute.t)
        case "value_int" | "value_ints":
            values = [attribute.i] if attribute.name == "value_int" else list(attribute.ints)
            tensor = helper.make_tensor("", TensorProto.INT64, [len(values)], values)
        case "value_float" | "value_floats":
            numbers = [attribute.f] if attribute.name == "value_float" else list(attribute.floats)
            tensor = helper.make_tensor("", TensorProto.FLOAT, [len(numbers)], numbers)
        case "value_string" | "value_strings":
            texts = [attribute.s] if attribute.name == "value_string" else list(attribute.strings)
            tensor = helper.make_tensor("", TensorProto.STRING, [len(texts)], texts)
        case _:
            return False
    if attribute.name in ("value_int", "value_float", "value_string"):
        del tensor.dims[:]
    tensor.name = node.output[0]
    graph.initializer.append(tensor)
    return True


def _localise(tensor: TensorProto, data: TensorData) -> None:
    """Put the values at `data` into `tensor` as raw bytes; tensors of strings stay as they are."""
    if tensor.data_type == TensorProto.STRING:
        return
    values = b"".join(data.chunks())
    _empty(tensor)
    tensor.raw_data = values


def _empty(tensor: TensorProto) -> None:
    for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "doc_string"):
        tensor.ClearField(field)
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")


def _make_outputs(graph: GraphProto, weights: dict[str, TensorData]) -> None:
    """Have a node make every output that is a constant; one that is an input has its type, and passes through."""
    scope = Scope.of(graph)
    outputs = {value.name: value for value in graph.output}  # one that is listed twice is one
    refill(graph.output, outputs.values())
    inputs = {value.name: value for value in graph.input}
    for value in graph.output:
        if value.name in inputs:
            value.CopyFrom(inputs[value.name])
    for tensor in graph.initializer:
        name = tensor.name
        if name not in outputs:
            continue
        tensor.name = scope.fresh(name)
        if name in weights:
            weights[tensor.name] = weights.pop(name)
        rename(graph.node, {name: tensor.name})
        graph.node.append(helper.make_node("Identity", [tensor.name], [name]))


def _sort_nodes(graph: GraphProto) -> None:
    """Any running order, for shape inference; raises `ModelError` on a cycle or a tensor that nothing makes."""
    ends = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    layers = [
        Layer(
            name=str(index),
            op=node.op_type,
            inputs=node_inputs(node),
            outputs=tuple(dict.fromkeys(name for name in node.output if name)),
        )
        for index, node in enumerate(graph.node)
    ]
    names = [name for layer in layers for name in layer.outputs]
    if len(set(names)) < len(names) or ends.intersection(names):
        raise ModelError("the model makes a tensor twice")
    order = ordered(layers, inputs=ends, outputs=[value.name for value in graph.output], n_bytes={})
    _reorder(graph, [graph.node[int(layer.name)] for layer in order])


def _reorder(graph: GraphProto, nodes: list[NodeProto]) -> None:
    for node in nodes:
        node.ClearField("doc_string")
    refill(graph.node, nodes)


def _check_ends(graph: GraphProto) -> None:
    """Raises `ModelError` unless all outputs are made, and all ends have types that there are words for."""
    given = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    specs = end_specs((*graph.input, *graph.output))
    taken = given | {name for node in graph.node for name in node.output}
    for value in graph.output:
        if value.name not in taken:
            raise ModelError(f"output `{value.name}` is made by no layer")
    for what, values in (("output", graph.output), ("input", graph.input)):
        for value in values:
            if value.name not in specs:
                raise ModelError(f"{what} `{value.name}` has a type that cannot be sent")


def _advise(graph: GraphProto) -> None:
    """Name the inputs of one whole number or truth that decide a branch: fixed, they would give it cuts of its own."""
    specs = tensor_specs(graph.input)
    found: dict[str, None] = {}
    for node in graph.node:
        if node.op_type != "If":
            continue
        deciding = _inputs_behind(node.input[0], graph)
        if all(name in specs and specs[name].n_elements == 1 for name in deciding) and not any(
            specs[name].dtype.startswith("float") for name in deciding
        ):
            found.update(dict.fromkeys(sorted(deciding)))
    for name in found:
        words = "input `%s` decides a branch, which stays one layer; to cut it fix the input: --value %s=NUMBER"
        log.warning(words, name, name)


def _inputs_behind(tensor: str, graph: GraphProto) -> set[str]:
    """Inputs of `graph` that `tensor` is computed from."""
    inputs = {value.name for value in graph.input}
    makers = {name: node for node in graph.node for name in node.output}
    seen, waiting = {tensor}, [tensor]
    while waiting:
        maker = makers.get(waiting.pop())
        needs = () if maker is None else node_inputs(maker)
        waiting.extend(name for name in needs if name not in seen)
        seen.update(needs)
    return inputs & seen


def _drop_unused(graph: GraphProto) -> None:
    """Forget nodes and weights that no output needs."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node_inputs(node))
            kept.append(node)
    _reorder(graph, kept[::-1])
    made = {name for node in graph.node for name in node.output}
    refill(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in needed])
    inner = made - {value.name for value in graph.output}
    refill(graph.value_info, [value for value in graph.value_info if value.name in inner])


def _name_nodes(graph: GraphProto) -> None:
    """Unique names, keeping those that are."""
    taken: set[str] = set()
    for index, node in enumerate(graph.node):
        name = node.name or f"{node.op_type}_{index}"
        while name in taken:
            name = f"{name}_{index}"
        taken.add(name)
        node.name = name


def _order_layers(graph: GraphProto) -> None:
    """Weight-only nodes first, then the layers in the order that keeps few bytes alive."""
    layers = describe_layers(graph)
    specs = tensor_specs((*graph.input, *graph.value_info, *graph.output))
    order = ordered(
        layers,
        inputs=[value.name for value in graph.input],
        outputs=[value.name for value in graph.output],
        n_bytes={name: spec.n_bytes for name, spec in specs.items()},
    )
    by_name = {node.name: node for node in graph.node}
    makers = weight_only(graph)
    _reorder(graph, [*makers, *late_dequantisers([by_name[layer.name] for layer in order])])
