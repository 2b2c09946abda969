"""Layouts of detectors: which of the published ways a model's outputs are arranged in, told by shapes and names.

Shapes decide where they can: a YOLO network has as many rows as its input has grid places. Where two layouts share a
shape the file's metadata and the number of class names decide, and `layout_of` says None rather than guess.
"""

from __future__ import annotations

from dataclasses import dataclass

from seamline.core.vocabulary.profiles import TensorSpec
from seamline.heads.facts import DETECTION_TASKS, ModelFacts
from seamline.heads.listed import ListedNames, listed_names
from seamline.heads.queries import Background
from seamline.heads.yolo import Dense, grid_of

MAX_LISTED = 1000
"""Rows of a list or of queries; grids have more."""

YOLO_V5_OVERLAP_RATIO = 0.45
YOLO_V8_OVERLAP_RATIO = 0.7
"""What each generation's own programs suppress beyond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseLayout:
    """A grid's rows in `output`; masks from `prototypes`, if it has them. name: of the network it is known from."""

    name: str
    output: str
    dense: Dense
    overlap_ratio: float
    prototypes: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLayout:
    """Boxes and scores as two tensors. overlap_ratio: None when the network does not find an object twice.

    is_columns: each object is a column of both, [1, 4, N] and [1, n, N].
    """

    boxes: str
    scores: str
    n_scores: int
    is_columns: bool
    background: Background
    overlap_ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueriesLayout:
    """Boxes and scores of `n_classes` side by side, each object once."""

    output: str
    n_classes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsLayout:
    """A list of finished objects as rows; masks from `prototypes`, if it has them.

    Six columns may be queries of a network with two classes instead: their last column is a score, not a number.
    """

    output: str
    prototypes: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedLayout:
    """A list of finished objects as several tensors."""

    names: ListedNames


Layout = DenseLayout | PairLayout | QueriesLayout | RowsLayout | ListedLayout


def layout_words(layout: Layout) -> str:
    """The layout's name for people."""
    match layout:
        case DenseLayout(name=name, prototypes=prototypes):
            return f"{name} layout" + (" with masks" if prototypes else "")
        case PairLayout(overlap_ratio=None):
            return "DETR layout"
        case PairLayout():
            return "boxes and scores"
        case QueriesLayout():
            return "RT-DETR layout"
        case RowsLayout() | ListedLayout():
            return "boxes without overlaps"


def layout_of(facts: ModelFacts, *, is_sure: bool) -> Layout | None:
    """How the outputs of a detector are arranged; None when they are in no known way.

    is_sure: that it is a detector; otherwise a shape that other networks have too counts as none.
    """
    names = listed_names(facts.outputs)
    if names is not None:
        return ListedLayout(names=names)
    is_sure = is_sure or facts.task in DETECTION_TASKS
    prototypes = next((spec for spec in facts.outputs if is_prototypes(spec)), None)
    tables = [spec for spec in facts.outputs if spec is not prototypes and _is_table(spec)]
    if len(facts.outputs) == len(tables) == 2 and (pair := _pair(facts, tables)) is not None:
        return pair
    for table in tables:  # the first is what is meant: exporters leave raw maps behind it
        if _is_part(facts, table):
            return None
        found = _dense(facts, table, prototypes) or _short(facts, table, prototypes, is_sure=is_sure)
        if found is not None:
            return found
    return None


def _dense(facts: ModelFacts, spec: TensorSpec, prototypes: TensorSpec | None) -> DenseLayout | None:
    if not facts.height or len(spec.shape) != 3:
        return None
    n_masks = prototypes.shape[1] if prototypes is not None else 0
    n_points, n_values = facts.point_shape if facts.task == "pose" else (0, 0)
    n_rest = n_masks + n_points * n_values
    for n_rows, n_columns, is_channels_first in _ways(spec, facts.names.n_classes, n_rest):
        grid = grid_of(n_rows, *facts.size)
        if grid is None:
            continue
        strides, n_each = grid
        n_classes, known = n_columns - 4 - n_rest, facts.names.n_classes
        is_known = known > 0 and n_classes in (known, known + 1)
        has_objectness = n_classes == known + 1 if is_known else n_each > 1 or not is_channels_first
        n_classes -= has_objectness
        if n_classes < 1:
            continue
        dense = Dense(
            height=facts.height,
            width=facts.width,
            strides=strides,
            has_objectness=has_objectness,
            is_channels_first=is_channels_first,
            n_classes=n_classes,
            n_points=n_points,
            n_point_values=n_values or 3,
        )
        return DenseLayout(
            name="YOLOv8" if not has_objectness else "YOLOv5" if n_each > 1 else "YOLOX",
            output=spec.name,
            dense=dense,
            overlap_ratio=YOLO_V5_OVERLAP_RATIO if has_objectness else YOLO_V8_OVERLAP_RATIO,
            prototypes=None if prototypes is None else prototypes.name,
        )
    return None


def _ways(spec: TensorSpec, n_names: int, n_rest: int) -> list[tuple[int, int, bool]]:
    """Rows, columns and whether the columns come first: the two ways to read [1, a, b], the likelier one first.

    One whose columns are as many as the names need, then the one with more rows: small numbers of columns are often
    the places of some coarse grid.
    """
    _, first, last = spec.shape
    ways = [(last, first, True), (first, last, False)]
    return sorted(ways, key=lambda way: (n_names == 0 or way[1] - 4 - n_rest not in (n_names, n_names + 1), -way[0]))


def _short(
    facts: ModelFacts, spec: TensorSpec, prototypes: TensorSpec | None, *, is_sure: bool
) -> RowsLayout | QueriesLayout | None:
    """Of outputs with few rows: a list of objects, or queries."""
    n_rows, n_columns = spec.shape[-2:]
    n_masks = prototypes.shape[1] if prototypes is not None else 0
    known = facts.names.n_classes
    if len(spec.shape) == 2:
        return RowsLayout(output=spec.name) if n_columns == 7 and is_sure else None
    if n_rows > MAX_LISTED or n_rows < 10 or spec.shape[0] != 1:
        return None
    if n_columns == 6 + n_masks:
        return RowsLayout(output=spec.name, prototypes=None if prototypes is None else prototypes.name)
    is_queries = known == n_columns - 4 if known else is_sure
    return (
        QueriesLayout(output=spec.name, n_classes=n_columns - 4)
        if is_queries and n_columns > 4 and not n_masks
        else None
    )


def _pair(facts: ModelFacts, tables: list[TensorSpec]) -> PairLayout | None:
    """Of two tables, one row (or column) of each for each object."""
    for axis in (-1, 1):
        fours = [spec for spec in tables if len(spec.shape) > 2 and spec.shape[axis] == 4]
        named = [spec for spec in fours if "box" in spec.name.lower() or "dets" in spec.name.lower()]
        boxes = named[0] if named else fours[0] if len(fours) == 1 else None
        if boxes is None:
            continue
        scores = tables[1] if boxes is tables[0] else tables[0]
        n_rows, n_scores = boxes.n_elements // 4, scores.shape[axis]
        if scores.n_elements == n_rows * n_scores and n_rows >= n_scores * (axis == 1):
            return _pair_of(facts, boxes, scores, n_rows, n_scores, is_columns=axis == 1)
    return None


def _pair_of(
    facts: ModelFacts, boxes: TensorSpec, scores: TensorSpec, n_rows: int, n_scores: int, *, is_columns: bool
) -> PairLayout:
    known, is_query = facts.names.n_classes, n_rows <= MAX_LISTED
    background = Background.NONE
    if is_query and (n_scores == known + 1 if known else n_scores == N_COCO_AND_NONE):
        background = Background.LAST
    elif not is_query and (n_scores == known + 1 or facts.names.name(0).lower().startswith("background")):
        background = Background.FIRST
    return PairLayout(
        boxes=boxes.name,
        scores=scores.name,
        n_scores=n_scores,
        is_columns=is_columns,
        background=background,
        overlap_ratio=None if is_query else YOLO_V5_OVERLAP_RATIO,
    )


def _is_part(facts: ModelFacts, table: TensorSpec) -> bool:
    """Whether `table` has a row for the same places as another output, which says the rest of them.

    An export that keeps boxes, scores and objectness apart in a way that is not known here; read alone, some column
    would be taken for another.
    """
    n_places = max(table.shape)
    others = [spec for spec in facts.outputs if spec is not table and spec.shape != table.shape and len(spec.shape) > 1]
    return any(n_places in spec.shape and len(spec.shape) <= 3 for spec in others)


N_COCO_AND_NONE = 92
"""Scores of DETR and YOLOS trained on COCO: 91 classes and "no object"."""


def _is_table(spec: TensorSpec) -> bool:
    if len(spec.shape) == 4 and spec.shape[0] == 1 and spec.shape[2] == 1 and spec.shape[3] == 4:
        return True
    is_float = spec.dtype.startswith("float")
    return is_float and ((len(spec.shape) == 3 and spec.shape[0] == 1) or len(spec.shape) == 2) and spec.shape[-1] > 1


def is_prototypes(spec: TensorSpec) -> bool:
    """[1, 32, height / 4, width / 4] of networks that segment each object."""
    return len(spec.shape) == 4 and spec.shape[0] == 1 and 8 <= spec.shape[1] <= 256 and min(spec.shape[2:]) >= 8
