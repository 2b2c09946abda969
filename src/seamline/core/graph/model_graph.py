"""The layers of one model as a frozen graph: what each needs, makes and costs, in the order in which they run.

The order matters, because every cut is a prefix of it: `ordered` picks one that keeps few bytes alive. Reading a model
file is `seamline.model`'s business; the places between the layers are in `cuts.py`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.profiles import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One operation on tensors. Weights are no inputs; a layer with sub-graphs (If, Loop, Scan) stays whole.

    inputs, outputs: names of tensors, without repeats. macs: multiply-accumulates for one frame; 0 for element-wise
    work. weight_bytes: what an engine holds of the weights that it reads (shared weights count at every reader).
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    macs: int = 0
    weight_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelGraph:
    """A model: layers in the order they run, each after all it needs.

    tensors: every tensor that has a fixed shape and a dtype that can be sent, and all inputs and outputs, whose shape a
    frame may decide and which may be no tensors that can be sent; one that is missing cannot cross a cut.
    inputs, outputs: names, in the order of the model file; an output is made by a layer, or is an input.
    """

    name: str
    layers: tuple[Layer, ...]
    tensors: Mapping[str, TensorSpec]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def input_specs(self) -> tuple[TensorSpec, ...]:
        return tuple(self.tensors[name] for name in self.inputs)

    @property
    def output_specs(self) -> tuple[TensorSpec, ...]:
        return tuple(self.tensors[name] for name in self.outputs)

    def can_cross(self, tensor: str) -> bool:
        """Whether `tensor` may cross a cut inside the model: a size that the frame decides has no price to plan by."""
        return tensor in self.tensors and not self.tensors[tensor].is_open

    @property
    def is_local(self) -> bool:
        """Whether the model can only run whole where its frames are: an input or output cannot be sent."""
        return any(spec.is_local for spec in (*self.input_specs, *self.output_specs))

    def verify(self) -> None:
        """Raises `ModelError` unless names are unique, every layer runs after what it needs, and the ends are known."""
        made = set(self.inputs)
        seen: set[str] = set()
        for layer in self.layers:
            if layer.name in seen:
                raise ModelError(f"model `{self.name}` has two layers named `{layer.name}`")
            seen.add(layer.name)
            for tensor in layer.inputs:
                if tensor not in made:
                    raise ModelError(f"layer `{layer.name}` needs `{tensor}` before it is made")
            for tensor in layer.outputs:
                if tensor in made:
                    raise ModelError(f"tensor `{tensor}` is made twice, the second time by `{layer.name}`")
                made.add(tensor)
        if not self.outputs:
            raise ModelError(f"model `{self.name}` has no output")
        for tensor in self.outputs:
            if tensor not in made:
                raise ModelError(f"output `{tensor}` of model `{self.name}` is made by no layer")
        for tensor in self.inputs + self.outputs:
            if tensor not in self.tensors:
                raise ModelError(f"`{tensor}` of model `{self.name}` has no fixed shape or a dtype that cannot be sent")


def ordered(
    layers: Sequence[Layer], *, inputs: Iterable[str], outputs: Iterable[str], n_bytes: Mapping[str, int]
) -> tuple[Layer, ...]:
    """`layers` in an order that keeps the tensors alive between layers few and small, found in O(E log V).

    The better of two orders by bytes alive summed over all places: the given one (if it is an order at all), and a
    greedy one. Finding the best is NP-hard (register allocation), and exporters usually write a good one.
    n_bytes: size of tensors; unknown ones count 0. Raises `ModelError` when a tensor is missing or layers form a cycle.
    """
    ends = frozenset(outputs)
    greedy = _greedy(layers, frozenset(inputs), ends, n_bytes)
    if not _is_order(layers, frozenset(inputs)):
        return greedy
    given_bytes = _alive_bytes(layers, ends, n_bytes)
    return greedy if _alive_bytes(greedy, ends, n_bytes) < given_bytes else tuple(layers)


def _greedy(
    layers: Sequence[Layer], inputs: frozenset[str], outputs: frozenset[str], n_bytes: Mapping[str, int]
) -> tuple[Layer, ...]:
    """Always the ready layer that adds the fewest live bytes; among equals the one that became ready last.

    The second rule finishes a branch before the next one begins.
    """
    readers = _readers(layers)
    n_unread = {tensor: len(found) + (tensor in outputs) for tensor, found in readers.items()}
    made = {tensor for layer in layers for tensor in layer.outputs}
    for layer in layers:
        for tensor in layer.inputs:
            if tensor not in made and tensor not in inputs:
                raise ModelError(f"layer `{layer.name}` needs `{tensor}`, which nothing makes")
    n_missing = [sum(tensor in made for tensor in layer.inputs) for layer in layers]
    growth_bytes: dict[int, int] = {}
    heap: list[tuple[int, int, int]] = []

    def offer(index: int) -> None:
        layer = layers[index]
        born = sum(n_bytes.get(tensor, 0) for tensor in layer.outputs if tensor in readers or tensor in outputs)
        freed = sum(n_bytes.get(tensor, 0) for tensor in layer.inputs if n_unread[tensor] == 1)
        growth_bytes[index] = born - freed
        heapq.heappush(heap, (born - freed, -len(growth_bytes), index))

    for index in reversed([index for index, count in enumerate(n_missing) if count == 0]):
        offer(index)
    done: set[int] = set()
    order: list[Layer] = []
    while heap:
        growth, _, index = heapq.heappop(heap)
        if index in done or growth != growth_bytes[index]:
            continue  # an older offer: its growth has changed since
        done.add(index)
        order.append(layers[index])
        for tensor in layers[index].inputs:
            n_unread[tensor] -= 1
            if n_unread[tensor] == 1 and tensor not in outputs:
                last = next(reader for reader in readers[tensor] if reader not in done)
                if n_missing[last] == 0:
                    offer(last)
        for tensor in layers[index].outputs:
            for reader in reversed(readers.get(tensor, ())):
                n_missing[reader] -= 1
                if n_missing[reader] == 0:
                    offer(reader)
    if len(order) < len(layers):
        stuck = next(layer.name for index, layer in enumerate(layers) if index not in done)
        raise ModelError(f"the layers around `{stuck}` need each other in a circle")
    return tuple(order)


def _readers(layers: Sequence[Layer]) -> dict[str, list[int]]:
    readers: dict[str, list[int]] = {}
    for index, layer in enumerate(layers):
        for tensor in layer.inputs:
            readers.setdefault(tensor, []).append(index)
    return readers


def _is_order(layers: Sequence[Layer], inputs: frozenset[str]) -> bool:
    made = set(inputs)
    for layer in layers:
        if not made.issuperset(layer.inputs):
            return False
        made.update(layer.outputs)
    return True


def _alive_bytes(layers: Sequence[Layer], outputs: frozenset[str], n_bytes: Mapping[str, int]) -> int:
    """Bytes alive after each layer, summed over all layers: every tensor counts from its birth to its last reader.

    Model inputs count too: they live from the start.
    """
    last_reader = {tensor: index for index, layer in enumerate(layers) for tensor in layer.inputs}
    born = {tensor: index for index, layer in enumerate(layers) for tensor in layer.outputs}
    total = 0
    for tensor in last_reader.keys() | outputs:
        end = len(layers) if tensor in outputs else last_reader[tensor]
        total += n_bytes.get(tensor, 0) * (end - born.get(tensor, 0))
    return total
