"""Every place where a model can be cut, what crosses there, and which places are worth considering.

A cut is a prefix of the order in `ModelGraph.layers`; one or several tensors cross it. What crossing costs is in
`formulas.py`; making a runnable segment between two cuts is `seamline.model`'s business.
"""

from __future__ import annotations

from collections.abc import Sequence

from seamline.core.graph.model_graph import Layer, ModelGraph
from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.limits import is_sendable
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.profiles import Cut, TensorSpec

LIGHT_RATIO = 1 / 4096
"""A layer below this share of the model's multiply-accumulates does not start a group of its own: an engine fuses it or
runs it in no time. The smallest depthwise convolution of MobileNetV2 has 1/700, a squeeze-and-excite layer 1/10000."""

ACTIVATIONS = frozenset({"Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh"})
"""What integer kernels apply to their result before it is quantised."""

MODEL_INPUT = "input"
"""What cut 0 stands after."""


def legal_cuts(graph: ModelGraph) -> tuple[Cut, ...]:
    """All cuts of `graph`: 0 is its inputs, the last its outputs. Linear in layers and crossing tensors.

    A tensor crosses when it was made before (or is a model input) and is used after, or is a model output made before.
    Places where a tensor without known shape or sendable dtype crosses are left out, and those where more crosses than
    one message carries (`vocabulary.limits`). So are those inside a quantised unit (`bound_tensors`): a cut there would
    compute in floats what the whole model computes in integers. A model with an input or output that no wire carries
    has its two ends only.
    """
    places = _places(graph)
    candidates = _candidates(graph, places)
    raw = _raw_tensors(graph)
    cuts: list[Cut] = []
    macs_before = weights_before_bytes = 0
    for n_before, tensors in enumerate(places):
        macs_before += graph.layers[n_before - 1].macs if n_before else 0
        weights_before_bytes += graph.layers[n_before - 1].weight_bytes if n_before else 0
        if tensors is None:
            continue
        cut = Cut(
            index=len(cuts),
            after=graph.layers[n_before - 1].name if n_before else MODEL_INPUT,
            tensors=tensors,
            payload_bytes=_payload_bytes(tensors),
            macs_before=macs_before,
            is_candidate=n_before in candidates,
            carries_input=_carries(tensors, raw),
            weights_before_bytes=weights_before_bytes,
        )
        cuts.append(cut)
    return tuple(cuts)


def bound_tensors(graph: ModelGraph) -> frozenset[str]:
    """Float tensors inside the quantised units of `graph`, at which it is not cut.

    A unit is what engines turn into one integer kernel: DequantizeLinear > operation > QuantizeLinear, with activations
    (Relu, Clip, ...) in between. Its borders, where 8-bit tensors cross, are legal. Bound is what a DequantizeLinear
    makes, and what only a QuantizeLinear reads when it was computed from such; without a QuantizeLinear behind it (the
    end of a quantised part) an operation's result is an ordinary tensor.
    """
    dequantised = {name for layer in graph.layers if layer.op == "DequantizeLinear" for name in layer.outputs}
    if not dequantised:
        return frozenset()
    readers: dict[str, list[Layer]] = {}
    for layer in graph.layers:
        for tensor in layer.inputs:
            readers.setdefault(tensor, []).append(layer)
    bound = set(dequantised)
    inner: set[str] = set()  # results that only activations and one QuantizeLinear follow
    for layer in reversed(graph.layers):
        behind = [reader for tensor in layer.outputs for reader in readers.get(tensor, ())]
        if len(behind) != 1 or any(tensor in graph.outputs for tensor in layer.outputs):
            continue
        follower = behind[0]
        if follower.op == "QuantizeLinear" or (follower.op in ACTIVATIONS and inner.issuperset(follower.outputs)):
            inner.update(layer.outputs)
    fed = set(dequantised)
    for layer in graph.layers:
        if fed.intersection(layer.inputs) and inner.issuperset(layer.outputs) and layer.op != "QuantizeLinear":
            bound.update(layer.outputs)
            fed.update(layer.outputs)
    return frozenset(bound)


def layer_counts(graph: ModelGraph, cuts: Sequence[Cut]) -> tuple[int, ...]:
    """How many layers stand before each cut. Raises `ModelError` when a cut names a layer that `graph` has not."""
    position = {layer.name: index + 1 for index, layer in enumerate(graph.layers)}
    counts = [0]
    for cut in cuts[1:]:
        if cut.after not in position:
            raise ModelError(f"cut {cut.index} stands after `{cut.after}`, which model `{graph.name}` has not")
        counts.append(position[cut.after])
    return tuple(counts)


def layers_between(graph: ModelGraph, cuts: Sequence[Cut], segment: Segment) -> tuple[Layer, ...]:
    """The layers of `segment`. Raises `ModelError` when it ends beyond the last cut."""
    if segment.stop >= len(cuts):
        raise ModelError(
            f"segment {segment} does not exist", hint=f"model `{graph.name}` has cuts 0 to {len(cuts) - 1}"
        )
    counts = layer_counts(graph, cuts)
    return graph.layers[counts[segment.start] : counts[segment.stop]]


def verify(graph: ModelGraph, cuts: Sequence[Cut]) -> None:
    """Raises `ModelError` unless `cuts` are right for `graph`: checked tensor by tensor from the definition.

    Quadratic, for tests and for tables that came from elsewhere.
    """
    counts = layer_counts(graph, cuts)
    if [cut.index for cut in cuts] != list(range(len(cuts))) or list(counts) != sorted(set(counts)):
        raise ModelError(f"the cuts of model `{graph.name}` are not numbered in order")
    if counts[-1] != len(graph.layers) or not (cuts[0].is_candidate and cuts[-1].is_candidate):
        raise ModelError(f"the cuts of model `{graph.name}` lack an end")
    for cut, n_before in zip(cuts, counts, strict=True):
        before, after = graph.layers[:n_before], graph.layers[n_before:]
        made = {name for layer in before for name in layer.outputs}
        needed = {name for layer in after for name in layer.inputs}
        crossing = (made | set(graph.inputs)) & (needed | set(graph.outputs))
        if n_before == 0:
            crossing = set(graph.inputs)
        if {tensor.name for tensor in cut.tensors} != crossing or len(cut.tensors) != len(crossing):
            raise ModelError(f"cut {cut.index} of model `{graph.name}` lists the wrong tensors")
        if any(graph.tensors[tensor.name] != tensor for tensor in cut.tensors):
            raise ModelError(f"cut {cut.index} of model `{graph.name}` describes a tensor wrongly")
        if cut.payload_bytes != _payload_bytes(cut.tensors) or cut.macs_before != sum(layer.macs for layer in before):
            raise ModelError(f"cut {cut.index} of model `{graph.name}` is miscounted")


def _places(graph: ModelGraph) -> list[tuple[TensorSpec, ...] | None]:
    """The tensors crossing before the first layer, after it, and so on; None where something cannot be cut or sent."""
    last_reader = {tensor: index for index, layer in enumerate(graph.layers) for tensor in layer.inputs}
    for tensor in graph.outputs:
        last_reader[tensor] = len(graph.layers)
    if graph.is_local:
        return [graph.input_specs, *[None] * (len(graph.layers) - 1), graph.output_specs]
    bound = bound_tensors(graph)
    alive = dict.fromkeys(name for name in graph.inputs if name in last_reader)
    places: list[tuple[TensorSpec, ...] | None] = [graph.input_specs]
    for index, layer in enumerate(graph.layers):
        for tensor in layer.inputs:
            if last_reader[tensor] == index:
                del alive[tensor]
        for tensor in layer.outputs:
            if tensor in last_reader:
                alive[tensor] = None
        may_cross = all(graph.can_cross(tensor) and tensor not in bound for tensor in alive)
        crossing = tuple(graph.tensors[tensor] for tensor in alive) if may_cross else ()
        places.append(crossing if may_cross and is_sendable(crossing) else None)
    places[-1] = graph.output_specs
    return places


def _candidates(graph: ModelGraph, places: Sequence[tuple[TensorSpec, ...] | None]) -> frozenset[int]:
    """The best place of every group, and both ends; places are numbered by the layers before them.

    A group is the places behind one heavy layer up to the next: they have the same work before them, so only the
    smallest payload is worth a look, and of equals the last, since engines fuse what follows (Conv|BatchNorm|Relu).
    Where that place still carries raw input, the best one that does not is kept as well, for private streams.
    """
    raw = _raw_tensors(graph)
    heavy_macs = max(1, int(graph.macs * LIGHT_RATIO))
    best: dict[tuple[int, bool], tuple[int, int]] = {}
    group = 0
    for n_before, tensors in enumerate(places):
        if n_before and graph.layers[n_before - 1].macs >= heavy_macs:
            group += 1
        if tensors is None:
            continue
        rank = (_payload_bytes(tensors), -n_before)
        for key in ((group, True), (group, _carries(tensors, raw))):
            best[key] = min(best.get(key, rank), rank)
    return frozenset({0, len(places) - 1} | {-place for _, place in best.values()})


def _raw_tensors(graph: ModelGraph) -> frozenset[str]:
    """Model inputs and whatever layers without arithmetic made of them: casts, transposes, slices, look-ups, pools.

    A person would still recognise the picture in them.
    """
    raw = set(graph.inputs)
    for layer in graph.layers:
        if layer.macs == 0 and layer.inputs and raw.issuperset(layer.inputs):
            raw.update(layer.outputs)
    return frozenset(raw)


def _carries(tensors: Sequence[TensorSpec], raw: frozenset[str]) -> bool:
    return any(tensor.name in raw for tensor in tensors)


def _payload_bytes(tensors: Sequence[TensorSpec]) -> int:
    return sum(tensor.n_bytes for tensor in tensors)
