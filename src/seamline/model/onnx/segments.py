"""Segment extraction: the runnable part between two cuts of a stored model, without touching its weights.

A segment is a graph whose initialisers keep pointing into the one weights file of the store, so the operating system
maps the same pages into every segment. Built from indexed nodes, in time linear in the segment; measured 0.5 ms for
VGG-19. Running it is `ort.py`'s work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from seamline.core.graph.cuts import layer_counts
from seamline.core.graph.model_graph import ModelGraph
from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.profiles import Cut, TensorSpec
from seamline.core.vocabulary.quantities import bytes_text
from seamline.model.metadata.preprocess import FRAME, Preprocess
from seamline.model.onnx.operators import node_inputs, weight_only
from seamline.model.onnx.prepending import prepend
from seamline.model.onnx.to_graph import tensor_specs


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentModel:
    """One segment as an ONNX model, or None when no layer runs in it.

    inputs, outputs: all that crosses its two cuts, in their order (at cut 0 of a model that takes frames, the frame
    instead of the input that is made of it, and first; the ONNX model calls that by another name where it has a
    tensor of this one).
    passed: tensors that cross both cuts untouched; they are neither inputs nor outputs of the ONNX model.
    least_bytes: of memory that running it takes: its largest tensor, or what it computes of weights alone, which a
    runtime does ahead.
    """

    model: ModelProto | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    passed: frozenset[str]
    least_bytes: int = 0

    def check_fits(self, memory_bytes: int) -> None:
        """Raise `ModelError` when it cannot run in `memory_bytes`: trying would take the machine down."""
        if self.least_bytes > memory_bytes:
            what = f"`{self.model.graph.name}`" if self.model is not None else "the segment"
            raise ModelError(
                f"{what} makes a tensor of {bytes_text(self.least_bytes)}, there are {bytes_text(memory_bytes)} here",
                hint="run these layers on a node with more memory",
            )


class Cutter:
    """Indexes one stored model and makes its segments. Safe to use from several threads: it only reads."""

    def __init__(
        self, model: ModelProto, graph: ModelGraph, cuts: Sequence[Cut], preprocess: Preprocess | None
    ) -> None:
        self._model = model
        self._graph = graph
        self._cuts = tuple(cuts)
        self._counts = layer_counts(graph, cuts)
        self._preprocess = preprocess
        self._target = "" if preprocess is None else preprocess.target(graph.input_specs).name
        nodes = {node.name: node for node in model.graph.node}
        self._nodes = tuple(nodes[layer.name] for layer in graph.layers)
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._makers = {name: node for node in weight_only(model.graph) for name in node.output}
        everything = (*model.graph.input, *model.graph.value_info, *model.graph.output)
        self._values = {value.name: value for value in everything}
        self._bytes = {name: spec.n_bytes for name, spec in tensor_specs(everything).items()}

    def segment(self, segment: Segment) -> SegmentModel:
        """The part of the model between two cuts. Raises `ModelError` when it ends beyond the last cut."""
        if segment.stop >= len(self._cuts):
            last = len(self._cuts) - 1
            raise ModelError(f"segment {segment} does not exist", hint=f"`{self._graph.name}` has cuts 0 to {last}")
        inputs, outputs = self._crossing(segment.start), self._crossing(segment.stop)
        passed = frozenset(spec.name for spec in inputs) & frozenset(spec.name for spec in outputs)
        if self._takes_frame(segment) and segment.stop:
            passed -= {FRAME}  # the frame itself goes no further; a tensor may have its name
        nodes = self._nodes[self._counts[segment.start] : self._counts[segment.stop]]
        made = {name for node in nodes for name in node.output}
        if self._takes_frame(segment) and nodes:
            made.add(self._target)  # the preprocessing makes it, and it may cross further on
        ends = [spec.name for spec in outputs if spec.name in made]
        model = self._build(nodes, ends, segment) if ends else None
        least_bytes = 0 if model is None else self._least_bytes(model.graph)
        return SegmentModel(model=model, inputs=inputs, outputs=outputs, passed=passed, least_bytes=least_bytes)

    def _least_bytes(self, graph: GraphProto) -> int:
        of_weights, largest = 0, max((self._bytes.get(value.name, 0) for value in graph.input), default=0)
        for node in graph.node:
            n_bytes = sum(self._bytes.get(name, 0) for name in node.output)
            largest = max(largest, n_bytes)
            if any(name in self._makers for name in node.output):
                of_weights += n_bytes
        return max(largest, of_weights)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What a segment from cut 0 takes: the model's inputs, the frame for the one that is made of it."""
        return self._crossing(0)

    def _crossing(self, index: int) -> tuple[TensorSpec, ...]:
        if index == 0 and self._preprocess is not None:
            others = (spec for spec in self._cuts[0].tensors if spec.name != self._target)
            return (self._preprocess.frame_spec, *others)
        return self._cuts[index].tensors

    def _takes_frame(self, segment: Segment) -> bool:
        return segment.start == 0 and self._preprocess is not None

    def _build(self, nodes: Sequence[NodeProto], ends: Sequence[str], segment: Segment) -> ModelProto:
        model = ModelProto(ir_version=self._model.ir_version, producer_name="seamline")
        model.opset_import.extend(self._model.opset_import)
        graph = model.graph
        graph.name = f"{self._graph.name}{segment}"
        made = {name for node in nodes for name in node.output}
        needed = dict.fromkeys(name for node in nodes for name in node_inputs(node) if name not in made)
        makers, weights, outer = self._sources(needed)
        graph.initializer.extend(weights)
        graph.node.extend(makers)
        graph.node.extend(nodes)
        graph.input.extend(self._values[name] for name in outer)
        graph.output.extend(self._values[name] for name in ends)
        inner = sorted(made.difference(ends))  # so that the engine need not infer their shapes
        graph.value_info.extend(self._values[name] for name in inner if name in self._values)
        if self._takes_frame(segment) and self._preprocess is not None:
            prepend(graph, self._preprocess, self._target)
        return model

    def _sources(self, needed: dict[str, None]) -> tuple[list[NodeProto], list[TensorProto], list[str]]:
        """Sources of `needed`: operators that make weights (in running order), weights, tensors from before."""
        makers: dict[int, NodeProto] = {}
        weights: list[TensorProto] = []
        outer: list[str] = []
        waiting, seen = list(needed), set(needed)
        while waiting:
            name = waiting.pop()
            if name in self._weights:
                weights.append(self._weights[name])
            elif name in self._makers:
                maker = self._makers[name]
                makers[id(maker)] = maker
                fresh = [other for other in node_inputs(maker) if other not in seen]
                seen.update(fresh)
                waiting.extend(fresh)
            else:
                outer.append(name)
        order = {id(node): None for node in self._makers.values() if id(node) in makers} if makers else {}
        return [makers[key] for key in order], weights[::-1], outer[::-1]
