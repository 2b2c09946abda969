"""Inlining of a model's own functions: afterwards the graph has standard operators only.

A function states its own operator sets. One of another version than the model's is taken as it is when its operators
mean the same in both, and converted otherwise; what ONNX cannot convert is refused with both versions.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx.checker
import onnx.defs
import onnx.inliner
import onnx.shape_inference
from onnx import FunctionProto, ModelProto, NodeProto

from seamline.core.vocabulary.errors import ModelError
from seamline.model.onnx.operators import MAX_NODES, nested_graphs, nodes_of
from seamline.model.onnx.scopes import make_function_unique

MAX_CALLS = 64
"""How deep functions may call each other."""


def without_functions(model: ModelProto) -> ModelProto:
    """`model` with every call of its own functions replaced by what they do.

    Raises `ModelError` when a function calls itself, is not there, or needs another version of an operator.
    """
    if not model.functions:
        return model
    _check_expansion(model)
    versions = {opset.domain: opset.version for opset in model.opset_import}
    differing = {}
    for function in model.functions:
        make_function_unique(function)
        foreign = _agree(model, function, versions)
        if foreign is not None:
            differing[function.domain, function.name] = foreign
    try:
        if differing:  # converting asks for the types of what a function is given
            model = onnx.shape_inference.infer_shapes(model)
        inlined = onnx.inliner.inline_local_functions(model, convert_version=bool(differing))
    except (RuntimeError, ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as exc:
        for (domain, name), words in differing.items():
            raise _unlike(domain, name, words) from exc
        raise ModelError(f"the model's own functions cannot be resolved: {exc}") from exc
    for graph in nested_graphs(inlined.graph):
        for node in graph.node:
            if (node.domain, node.op_type) in differing:
                raise _unlike(node.domain, node.op_type, differing[node.domain, node.op_type])
    del inlined.functions[:]
    return inlined


def _check_expansion(model: ModelProto) -> None:
    """Raises `ModelError` when a function calls itself, or all calls together become too many nodes.

    Ten functions of ten calls each, one calling the next, are 10^10 nodes: counted, not made.
    """
    functions = {(function.domain, function.name): function for function in model.functions}
    n_nodes: dict[tuple[str, str], int] = {}

    def count(nodes: Iterable[NodeProto], depth: int) -> int:
        if depth > MAX_CALLS:
            raise ModelError(f"the model's own functions call each other in a circle, or more than {MAX_CALLS} deep")
        total = 0
        for node in nodes:
            key = node.domain, node.op_type
            if key in functions and key not in n_nodes:
                n_nodes[key] = count(nodes_of(functions[key].node), depth + 1)
            total += n_nodes.get(key, 1)
            if total > MAX_NODES:
                raise ModelError(f"the model has more than {MAX_NODES} nodes once its own functions are inlined")
        return total

    count(nodes_of(model.graph.node), 0)


def _unlike(domain: str, name: str, words: str) -> ModelError:
    return ModelError(f"function `{domain}.{name}` {words}", hint="export the model with one version of the operators")


def _agree(model: ModelProto, function: FunctionProto, versions: dict[str, int]) -> str | None:
    """Let `function` state the model's versions where its operators are the same in them; else what differs, in words.

    versions: of `model`, by domain; completed here, as is the model.
    """
    found = None
    for opset in function.opset_import:
        domain = opset.domain
        version = versions.get(domain)
        if version is None:
            model.opset_import.add(domain=domain, version=opset.version)
            versions[domain] = opset.version
        elif version != opset.version:
            differing = _differing(function, domain, (opset.version, version))
            if differing is None:
                opset.version = version
            else:
                found = (
                    f"has version {opset.version} of the operators of `{domain or 'ai.onnx'}`, the model version "
                    f"{version}, and `{differing}` is another in it"
                )
    return found


def _differing(function: FunctionProto, domain: str, versions: tuple[int, int]) -> str | None:
    """An operator of `domain` in `function` that is not the same in both `versions`."""
    for node in nodes_of(function.node):
        if node.domain != domain or not onnx.defs.has(node.op_type, domain):
            continue  # of another domain, another function, or the runtime's own, which have one version
        try:
            first, second = (onnx.defs.get_schema(node.op_type, version, domain) for version in versions)
        except onnx.defs.SchemaError:
            return str(node.op_type)
        if first.since_version != second.since_version:
            return str(node.op_type)
    return None
