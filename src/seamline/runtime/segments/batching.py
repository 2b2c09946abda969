"""Batches: a second session of a segment, whose first axis is open, for frames of several streams at once.

Models are made for one frame. Most graphs compute any number of them when their inputs' first extent is open; whether
this one does is not argued but tried: runtimes refuse a graph whose shapes do not fit, and what is computed together
has to be what is computed alone (`_is_same`), for frames that differ. How many frames it then pays to run at once is
measured too, against single runs in turns; a segment that gains less than `FIRST_GAIN` a frame has no batches. Layers
that make the input from a camera frame (`prepending.py`) have no such axis: they run frame by frame before.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import Array, Tensors
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.model import OrtEngine
from seamline.model.engine.ort import OpenSession
from seamline.model.engine.runnable import ComputeMany
from seamline.model.onnx.prepending import PREFIX
from seamline.model.onnx.protobuf import refill
from seamline.model.onnx.segments import SegmentModel
from seamline.model.onnx.session import translated

SIZES = (2, 4, 8)
FIRST_GAIN, FURTHER_GAIN = 1.3, 1.1
"""Time of a frame alone over its share of a batch, from which batches are made; and from one size to the next."""

SLOWEST_S = 0.3
"""A frame that takes longer alone keeps every core busy for itself, and would take long to measure."""

N_RUNS = 5
SAME_RATIO = 1e-4
"""Of the largest value: by so much outputs of sums in another order may differ."""

Feed = Mapping[str, Array]
AXIS = "frames"


class Single(Protocol):
    """A segment that runs frames one by one (`model.engine.runnable`), and may be told how to run several."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...

    def run(self, tensors: Tensors) -> dict[str, Array]: ...

    def feed(self, tensors: Tensors) -> dict[str, Array]: ...

    def batch(self, many: ComputeMany, n_most: int) -> None: ...


def open_batch(engine: OrtEngine, model_id: str, segment: Segment, single: Single) -> bool:
    """Let `single`, which is `segment` as `engine` has prepared it, run several frames as one where that is safe and
    pays; whether it does.

    Raises `ModelError` when a session cannot be made for want of memory; whatever else speaks against it is a no.
    """
    part, open_session = engine.opened(model_id, segment, SIZES[-1])
    if part.model is None or any(spec.is_open or spec.is_local for spec in (*part.inputs, *part.outputs)):
        return False
    if len(part.passed) == len(part.outputs):
        return False
    try:
        many = _Many(part, open_session)
        n_most = _measured(single, many.run)
    except ModelError:
        return False
    if n_most > 1:
        single.batch(many.run, n_most)
    return n_most > 1


class _Many:
    """Runs the ONNX model of a segment over several feeds at once."""

    def __init__(self, part: SegmentModel, open_session: OpenSession) -> None:
        assert part.model is not None
        before, rest = _without_frame(part.model)
        self._before = None if before is None else open_session(before)
        if self._before is not None:
            with translated("the layers before the axis of frames failed"):
                made = self._made({spec.name: _example(spec.dtype, spec.shape, 0) for spec in part.inputs})
            for name in (value.name for value in self._before.get_outputs()):
                rest.graph.input.append(
                    helper.make_tensor_value_info(
                        name, helper.np_dtype_to_tensor_dtype(made[name].dtype), made[name].shape
                    )
                )
        _open(rest)
        self._session = open_session(rest)
        self._names = [value.name for value in self._session.get_inputs()]
        self._fetches = [spec.name for spec in part.outputs if spec.name not in part.passed]

    def run(self, feeds: Sequence[Feed]) -> list[dict[str, Array]]:
        """Outputs of each feed. Raises `ModelError` when the runtime refuses them together."""
        with translated("the segment failed"):
            known = [self._made(feed) for feed in feeds]
            stacked = {name: np.concatenate([one[name] for one in known]) for name in self._names}
            found = self._session.run(self._fetches, stacked)
        if any(not output.ndim or output.shape[0] != len(feeds) for output in found):
            raise ModelError("the segment does not keep frames apart")
        outputs = dict(zip(self._fetches, found, strict=True))
        return [{name: output[at : at + 1] for name, output in outputs.items()} for at in range(len(feeds))]

    def _made(self, feed: Feed) -> Feed:
        """`feed` with what the layers before the open axis make of it."""
        if self._before is None:
            return feed
        names = [value.name for value in self._before.get_outputs()]
        taken = {value.name: feed[value.name] for value in self._before.get_inputs()}
        return {**feed, **dict(zip(names, self._before.run(names, taken), strict=True))}


def _without_frame(model: ModelProto) -> tuple[ModelProto | None, ModelProto]:
    """The layers that make the input from a camera frame, None where there are none; and a copy of the others."""
    rest = ModelProto()
    rest.CopyFrom(model)
    nodes = [node for node in model.graph.node if node.name.startswith(PREFIX)]
    if not nodes:
        return None, rest
    before = ModelProto()
    before.CopyFrom(model)
    used = {name for node in nodes for name in node.input}
    target = nodes[-1].output[0]
    refill(before.graph.node, nodes)
    refill(before.graph.input, [value for value in model.graph.input if value.name in used])
    refill(before.graph.output, [helper.make_empty_tensor_value_info(target)])
    refill(before.graph.initializer, [one for one in model.graph.initializer if one.name in used])
    refill(rest.graph.node, [node for node in model.graph.node if not node.name.startswith(PREFIX)])
    refill(rest.graph.input, [value for value in model.graph.input if value.name not in used])
    refill(rest.graph.initializer, [one for one in model.graph.initializer if one.name not in used])
    return before, rest


def _open(model: ModelProto) -> None:
    """Open the first axis of all inputs and outputs. Raises `ModelError` when one is not made for one frame."""
    graph = model.graph
    for value in (*graph.input, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if not dims or (dims[0].HasField("dim_value") and dims[0].dim_value != 1):
            raise ModelError(f"`{value.name}` has no axis of frames")
        dims[0].Clear()
        dims[0].dim_param = AXIS
    del graph.value_info[:]  # said for one frame; the runtime infers them
    shapes = {
        one.name: one for one in graph.initializer if one.data_type == TensorProto.INT64 and not one.external_data
    }
    for node in graph.node:
        if node.op_type == "Reshape" and not any(attribute.name == "allowzero" for attribute in node.attribute):
            _keep_first_axis(graph, node, shapes)


def _keep_first_axis(graph: Any, node: NodeProto, shapes: Mapping[str, TensorProto]) -> None:
    """A shape that begins with 1 takes its first extent from the input instead."""
    known = shapes.get(node.input[1])
    wanted = None if known is None else numpy_helper.to_array(known)
    if wanted is None or wanted.ndim != 1 or not len(wanted) or wanted[0] != 1:
        return
    opened = wanted.copy()
    opened[0] = 0
    name = f"{node.input[1]}/{AXIS}/{node.output[0]}"
    graph.initializer.append(numpy_helper.from_array(opened, name))
    node.input[1] = name


def _measured(single: Single, many: ComputeMany) -> int:
    """Frames that it pays to run at once, 1 for none. Raises `ModelError` when they do not come out as alone."""
    frames = [
        {spec.name: _example(spec.dtype, spec.shape, seed) for spec in single.inputs} for seed in range(SIZES[-1])
    ]
    feeds = [single.feed(frame) for frame in frames]
    alone = [single.run(frame) for frame in frames[: SIZES[0] + 1]]
    for one, together in zip(alone, many(feeds[: SIZES[0] + 1]), strict=True):
        if not all(_is_same(one[name], output) for name, output in together.items() if name in one):
            raise ModelError("frames together do not come out as they do alone")
    best, least_ratio = 1, 1.0
    for size in SIZES:
        ratio = _share_ratio(partial(single.run, frames[0]), partial(many, feeds[:size]), size)
        if ratio * (FIRST_GAIN if best == 1 else FURTHER_GAIN) > least_ratio:
            break
        best, least_ratio = size, ratio
    return best


def _share_ratio(alone: Callable[[], object], together: Callable[[], object], size: int) -> float:
    """Share of one frame in a run of `size` together, over the time of one alone; the quickest of some runs of both, in
    turns, as others may compute meanwhile."""
    alone_s, together_s = math.inf, math.inf
    for _ in range(N_RUNS):
        alone_s = min(alone_s, _took_s(alone))
        if alone_s > SLOWEST_S:
            return math.inf
        together_s = min(together_s, _took_s(together))
    return together_s / size / alone_s


def _took_s(run: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    run()
    return time.perf_counter() - started_s


def _is_same(one: Array, other: Array) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not np.issubdtype(one.dtype, np.floating):
        return bool(np.array_equal(one, other))
    largest = float(np.max(np.abs(one), initial=0.0))
    return bool(np.allclose(one, other, rtol=0.0, atol=SAME_RATIO * largest + 1e-9, equal_nan=True))


def _example(dtype: str, shape: Sequence[int], seed: int) -> Array:
    """A tensor of any values, other ones for every seed."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(np.bool_)
    if np.issubdtype(np.dtype(dtype), np.floating):
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, 2 if dtype != "uint8" else 256, shape).astype(dtype)
