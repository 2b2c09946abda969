"""Scopes of an ONNX graph: which tensor a name means, inside the branches and bodies of If, Loop and Scan as well.

A graph inside a node sees the names around it and may use one of them again for a tensor of its own (a body's input, a
result of a branch). `make_unique` gives every tensor of a model a name of its own, once, right after the file is read;
every later pass may then look names up without asking where it is. Names that a pass adds come from `Scope.fresh`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from onnx import FunctionProto, GraphProto, NodeProto

from seamline.model.onnx.operators import own_names, subgraphs, tensor_names


class Scope:
    """Names of one graph by the names they have got; those of the graphs around it are seen through `parent`.

    Names of one model are claimed once, whichever of its scopes asks: `known` lists all that the file uses.
    """

    def __init__(self, parent: Scope | None = None, known: Iterable[str] = ()) -> None:
        self._parent = parent
        self._meaning: dict[str, str] = {}
        self._known: set[str] = set(known) if parent is None else parent._known
        self._claimed: set[str] = set() if parent is None else parent._claimed

    @classmethod
    def of(cls, graph: GraphProto) -> Scope:
        """Scope of the whole model `graph`, for names that are added to it."""
        return cls(known=tensor_names(graph))

    def define(self, name: str) -> None:
        """A tensor of this graph is called `name` in the file; it keeps that name unless another tensor has it."""
        if name in self._meaning:
            return
        self._meaning[name] = self.fresh(name) if name in self._claimed else name
        self._claimed.add(self._meaning[name])

    def lookup(self, name: str) -> str:
        """The name that the tensor has got which is called `name` here; one that nothing defines keeps its own."""
        if name in self._meaning:
            return self._meaning[name]
        return name if self._parent is None else self._parent.lookup(name)

    def fresh(self, wanted: str) -> str:
        """A name like `wanted` that nothing in the model has; it is taken from now on."""
        name, number = wanted, 0
        while not name or name in self._known:
            number += 1
            name = f"{wanted}/{number}"
        self._known.add(name)
        return name


def make_unique(graph: GraphProto) -> None:
    """Rename tensors inside the nodes of `graph`, in place, until every name stands for one tensor of the model."""
    scope = Scope.of(graph)
    for name in own_names(graph):
        scope.define(name)
    for node in graph.node:
        _rename_node(node, scope)


def make_function_unique(function: FunctionProto) -> None:
    """The same for the body of a `function`: its parameters, results and inner tensors."""
    own = [*function.input, *function.output, *(name for node in function.node for name in node.output)]
    inner = [name for node in function.node for graph in subgraphs(node) for name in tensor_names(graph)]
    scope = Scope(known=(*own, *inner))
    for name in filter(None, own):
        scope.define(name)
    for node in function.node:
        _rename_node(node, scope)


def rename(nodes: Iterable[NodeProto], names: Mapping[str, str]) -> None:
    """Give tensors of `nodes`, and of the graphs inside them, their new `names`; every name must be unique."""
    for node in nodes:
        _substitute(node, names)
        for graph in subgraphs(node):
            rename(graph.node, names)
            for value in graph.output:
                value.name = names.get(value.name, value.name)


def _rename_node(node: NodeProto, scope: Scope) -> None:
    _substitute(node, {name: scope.lookup(name) for name in (*node.input, *node.output)})
    for graph in subgraphs(node):
        inner = Scope(scope)
        for name in own_names(graph):
            inner.define(name)
        for value in (*graph.input, *graph.output, *graph.value_info):
            value.name = inner.lookup(value.name)
        for tensor in graph.initializer:
            tensor.name = inner.lookup(tensor.name)
        for sparse in graph.sparse_initializer:
            sparse.values.name = inner.lookup(sparse.values.name)
        for inside in graph.node:
            _rename_node(inside, inner)


def _substitute(node: NodeProto, names: Mapping[str, str]) -> None:
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]
