"""Choice of the head for a model: what the user names, else what the file's metadata says, else what shapes show.

A head is chosen once, before frames flow. Where neither metadata nor shapes are clear the outputs stay raw: a wrong
label looks as sure as a right one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from seamline.core.graph.model_graph import ModelGraph
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.pictures import PictureTransform
from seamline.core.vocabulary.ports import Array
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.heads.answers import Answer, Tensors
from seamline.heads.classify import N_LABELS, Classify
from seamline.heads.detect import N_BOXES, SCORE_RATIO, Detect
from seamline.heads.facts import DETECTION_TASKS, NUMBERS, ModelFacts, is_vector
from seamline.heads.layouts import is_prototypes, layout_of
from seamline.heads.names import ClassNames, names_in
from seamline.heads.scores import Ending, ending_of
from seamline.heads.segment import THRESHOLD_RATIO, Segment

HEADS = ("auto", "classify", "detect", "segment", "raw")
PASSING = frozenset({"Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Cast", "Transpose", "QuantizeLinear",
                     "DequantizeLinear", "Concat", "Slice"})  # fmt: skip
"""Operators that only move numbers about: what they pass on was made before them."""

LARGEST_STRIDE = 8
"""A map of classes is at least as large as the input over this; a coarser one is of features."""

SMALLEST_MAP = 8
PICTURE_CHANNELS = (3, 4)


class Head(Protocol):
    """Reads one frame's outputs. `words` says what it is; n_classes: how many it tells apart, None when unknown."""

    @property
    def words(self) -> str: ...

    @property
    def n_classes(self) -> int | None: ...

    def read(self, outputs: Mapping[str, Array], transform: PictureTransform | None) -> Answer:
        """What the outputs say; boxes and maps in pixels of the picture, of the input when `transform` is None."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Reads nothing into the outputs."""

    n_classes: int | None = None

    @property
    def words(self) -> str:
        return "raw"

    def read(self, outputs: Mapping[str, Array], transform: PictureTransform | None = None) -> Tensors:
        return Tensors(outputs=dict(outputs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A head, why it was chosen, and what about it looks wrong, in words; None when nothing does."""

    head: Head
    reason: str
    doubt: str | None = None


def facts_of(
    graph: ModelGraph,
    metadata: Mapping[str, str],
    *,
    size: tuple[int, int] | None = None,
    names: ClassNames | None = None,
) -> ModelFacts:
    """Facts about the model of `graph`. size: height and width of the picture it takes, when that is known.

    names: of the classes, those in `metadata` when None.
    """
    height, width = size or _picture_size(graph.input_specs)
    return ModelFacts(
        outputs=graph.output_specs,
        height=height,
        width=width,
        last_ops=_last_ops(graph),
        metadata=metadata,
        names=names_in(metadata) if names is None else names,
    )


def choose_head(
    facts: ModelFacts, wanted: str = "auto", *, score_ratio: float | None = None, n_most: int | None = None
) -> Chosen:
    """The head `wanted`, one of `HEADS`, for a model. score_ratio: least score. n_most: most labels or boxes.

    Raises `UsageError` for another name, or when the outputs cannot be read so.
    """
    if wanted not in HEADS:
        raise UsageError(f"`{wanted}` is not a head", hint=", ".join(HEADS))
    chosen = _chosen(facts, wanted, score_ratio, n_most)
    n_names, n_classes = facts.names.n_classes, chosen.head.n_classes
    if not n_names or n_classes is None or n_names == n_classes:
        return chosen
    return replace(chosen, doubt=f"there are {n_names} class names for {n_classes} classes: names may be shifted")


def _chosen(facts: ModelFacts, wanted: str, score_ratio: float | None, n_most: int | None) -> Chosen:
    if wanted == "auto":
        return _by_task(facts, score_ratio, n_most) or _by_shape(facts, score_ratio, n_most)
    found: Head | None = Raw()
    if wanted == "classify":
        found = _classify(facts, score_ratio, n_most)
    elif wanted == "detect":
        found = _detect(facts, score_ratio, n_most, is_sure=True)
    elif wanted == "segment":
        found = _masks(facts, score_ratio, n_most) or _segment(facts, score_ratio, n_most)
    if found is None:
        there = ", ".join(f"{spec.name} {spec.dtype}{list(spec.shape)}" for spec in facts.outputs)
        raise UsageError(f"the outputs cannot be read as `{wanted}`: {there}", hint="--head raw shows them as they are")
    return Chosen(head=found, reason="asked for")


def _by_task(facts: ModelFacts, score_ratio: float | None, n_most: int | None) -> Chosen | None:
    """By the task in the file's metadata, which Ultralytics writes; None when there is none that is known."""
    found: Head | None = None
    if facts.task == "classify":
        found = _classify(facts, score_ratio, n_most)
    elif facts.task == "obb":
        return Chosen(head=Raw(), reason="the file's task is `obb`: boxes at an angle are not read")
    elif facts.task in DETECTION_TASKS:
        found = _detect(facts, score_ratio, n_most, is_sure=True) or _segment(facts, score_ratio, n_most)
    if found is None:
        return None
    return Chosen(head=found, reason=f"the file's task is `{facts.task}`")


def _by_shape(facts: ModelFacts, score_ratio: float | None, n_most: int | None) -> Chosen:
    shapes = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in facts.outputs)
    if facts.height and (found := _detect(facts, score_ratio, n_most, is_sure=False)) is not None:
        return Chosen(head=found, reason=f"its outputs look like it: {shapes}")
    if facts.height and _is_map_of_classes(facts) and (map_ := _segment(facts, score_ratio, n_most)) is not None:
        return Chosen(head=map_, reason=f"its output looks like it: {shapes}")
    if (vector := _classify(facts, score_ratio, n_most, is_sure=False)) is not None:
        return Chosen(head=vector, reason=f"its output looks like it: {shapes}")
    return Chosen(head=Raw(), reason=f"the outputs do not say what they are: {shapes}; see --head")


def _classify(
    facts: ModelFacts, score_ratio: float | None, n_most: int | None, *, is_sure: bool = True
) -> Classify | None:
    vectors = [spec for spec in facts.outputs if is_vector(spec)]
    named = [spec for spec in vectors if spec.n_elements == facts.names.n_classes]
    others = [spec for spec in facts.outputs if spec.n_elements > 1 and spec.dtype in NUMBERS]
    if not named and not is_sure and len(others) > 1:
        return None  # one of several vectors may be a state, an embedding, anything
    if not vectors:
        return None
    spec = (named or vectors)[0]
    return Classify(
        output=spec.name,
        names=facts.names,
        n_classes=spec.n_elements,
        ending=ending_of(facts.last_ops.get(spec.name, "")) if facts.task != "classify" else Ending.UNKNOWN,
        n_labels=n_most or N_LABELS,
        score_ratio=score_ratio or 0.0,
    )


def _detect(facts: ModelFacts, score_ratio: float | None, n_most: int | None, *, is_sure: bool) -> Detect | None:
    layout = layout_of(facts, is_sure=is_sure)
    if layout is None:
        return None
    return Detect(
        layout=layout,
        names=facts.names,
        height=facts.height,
        width=facts.width,
        score_ratio=SCORE_RATIO if score_ratio is None else score_ratio,
        n_boxes=n_most or N_BOXES,
    )


def _masks(facts: ModelFacts, score_ratio: float | None, n_most: int | None) -> Detect | None:
    """Of a network that segments each object."""
    if not any(is_prototypes(spec) for spec in facts.outputs) or len(facts.outputs) < 2:
        return None
    return _detect(facts, score_ratio, n_most, is_sure=True)


def _segment(facts: ModelFacts, score_ratio: float | None, n_most: int | None) -> Segment | None:
    for spec in facts.outputs:
        shape = spec.shape
        is_classes = spec.dtype.startswith(("int", "uint", "bool"))
        if is_classes and len(shape) > 1 and sum(extent != 1 for extent in shape) == 2:
            return _segment_of(facts, spec, score_ratio, n_most, is_channels_last=False, n_channels=0)
        if is_classes or len(shape) not in (3, 4) or (len(shape) == 4 and shape[0] != 1):
            continue
        *_, first, second, third = shape
        is_last = (third < min(first, second) and third != 1) or (third == 1 and min(first, second) > 1)
        maps = (first, second) if is_last else (second, third)
        if min(maps) >= SMALLEST_MAP:
            n_channels = third if is_last else first
            return _segment_of(facts, spec, score_ratio, n_most, is_channels_last=is_last, n_channels=n_channels)
    return None


def _segment_of(
    facts: ModelFacts,
    spec: TensorSpec,
    score_ratio: float | None,
    n_most: int | None,
    *,
    is_channels_last: bool,
    n_channels: int,
) -> Segment:
    names = facts.names
    if n_channels == 1 and names.n_classes < 2:
        names = ClassNames(names={0: "background", 1: names.names.get(0, "object")})
    return Segment(
        output=spec.name,
        names=names,
        height=facts.height,
        width=facts.width,
        n_classes=n_channels if n_channels > 1 else None,
        is_channels_last=is_channels_last,
        score_ratio=THRESHOLD_RATIO if score_ratio is None else score_ratio,
        n_labels=n_most,
    )


def _is_map_of_classes(facts: ModelFacts) -> bool:
    """Whether the first output is one, rather than a picture, a depth or features."""
    spec = facts.outputs[0]
    op = facts.last_ops.get(spec.name, "")
    shape = spec.shape[1:] if len(spec.shape) in (3, 4) and spec.shape[0] == 1 else spec.shape
    if spec.dtype.startswith(("int", "uint", "bool")):
        plane = [extent for extent in shape if extent != 1]
        return len(plane) == 2 and op == "ArgMax" and min(plane) >= SMALLEST_MAP
    if len(shape) != 3:
        return False
    n_channels, extents = (shape[2], shape[:2]) if shape[2] < min(shape[:2]) else (shape[0], shape[1:])
    if min(extents) * LARGEST_STRIDE < max(1, min(facts.size)) or min(extents) < SMALLEST_MAP:
        return False
    if n_channels == 1:
        return op == "Sigmoid"
    return n_channels == facts.names.n_classes or op == "Softmax" or (
        n_channels not in PICTURE_CHANNELS and op in ("Conv", "ConvTranspose", "Resize", "Upsample"))  # fmt: skip


def _picture_size(inputs: tuple[TensorSpec, ...]) -> tuple[int, int]:
    """Height and width of the first input that takes a picture; (0, 0) when none does."""
    for spec in inputs:
        match spec.shape:
            case (_, 1 | 3, height, width) if min(height, width) > PICTURE_CHANNELS[-1]:
                return height, width
            case (_, height, width, 1 | 3) if min(height, width) > PICTURE_CHANNELS[-1]:
                return height, width
    return 0, 0


def _last_ops(graph: ModelGraph) -> dict[str, str]:
    """The operator that made the numbers of each output, past those that only move them."""
    makers = {tensor: layer for layer in graph.layers for tensor in layer.outputs}

    def ops_behind(tensor: str) -> Iterator[str]:
        while (layer := makers.get(tensor)) is not None:
            yield layer.op
            if layer.op not in PASSING or not layer.inputs:
                return
            tensor = layer.inputs[0]

    return {output: op for output in graph.outputs for op in ops_behind(output)}
