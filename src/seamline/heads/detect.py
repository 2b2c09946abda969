"""Detection head: a network's outputs as boxes in the picture, by score, without those that overlap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from seamline.core.vocabulary.pictures import Fit, PictureTransform, picture_transform
from seamline.core.vocabulary.ports import Array
from seamline.heads.answers import Box, Boxes, Label, Mask
from seamline.heads.found import MAX_CANDIDATES, Floats, Found, suppressed, surest
from seamline.heads.layouts import (
    DenseLayout,
    Layout,
    ListedLayout,
    PairLayout,
    QueriesLayout,
    RowsLayout,
    layout_words,
)
from seamline.heads.listed import are_queries, read_listed, read_rows
from seamline.heads.names import ClassNames
from seamline.heads.queries import Background, read_pair, read_queries
from seamline.heads.reduced import EXPECTED_OBJECTS, PROTOTYPES, from_arrays, objects_fault, to_arrays
from seamline.heads.yolo import read_dense

SCORE_RATIO = 0.25
N_BOXES = 300
"""Least score and most boxes where the user says nothing; Ultralytics has the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detect:
    """Reads boxes. score_ratio: the least. n_boxes: the most. overlap_ratio: of one class, None for the layout's own.

    height, width: of the network's input.
    """

    layout: Layout
    names: ClassNames
    height: int
    width: int
    score_ratio: float = SCORE_RATIO
    n_boxes: int = N_BOXES
    overlap_ratio: float | None = None

    @property
    def words(self) -> str:
        return f"detect ({layout_words(self.layout)})"

    @property
    def n_classes(self) -> int | None:
        """Classes that the layout has scores for; None where it says only which class was found."""
        match self.layout:
            case DenseLayout(dense=dense):
                return dense.n_classes
            case PairLayout(n_scores=n_scores, background=background):
                return n_scores - (background is Background.LAST)
            case QueriesLayout(n_classes=n_classes):
                return n_classes
        return None

    def read(self, outputs: Mapping[str, Array], transform: PictureTransform | None) -> Boxes:
        """Boxes in pixels of the picture that `transform` made the input of, of the input when it is None."""
        return self.finish(self.reduce(outputs), transform)

    @property
    def expected_bytes(self) -> int:
        return EXPECTED_OBJECTS * 8 * 6

    def reduce(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """Objects that are likely and do not overlap, in pixels of the input."""
        found, overlap_ratio = self._found(outputs)
        found = surest(found, self.score_ratio, MAX_CANDIDATES)
        found = found.at(found.classes >= 0)
        if overlap_ratio is not None:
            found = suppressed(found, overlap_ratio)
        return to_arrays(found, self._prototypes(outputs))

    def finish(self, reduced: Mapping[str, Array], transform: PictureTransform | None) -> Boxes:
        transform = transform or picture_transform(Fit.STRETCH, (self.height, self.width), (self.height, self.width))
        return self._boxes(from_arrays(reduced), reduced.get(PROTOTYPES), transform)

    def fault(self, reduced: Mapping[str, Array]) -> str | None:
        return objects_fault(reduced, has_prototypes=self._prototypes_name is not None)

    def _found(self, outputs: Mapping[str, Array]) -> tuple[Found, float | None]:
        """All objects, and the overlap beyond which one goes; None when none does."""
        size = (self.height, self.width)
        match self.layout:
            case DenseLayout(output=output, dense=dense, overlap_ratio=usual):
                return read_dense(outputs[output], dense, self.score_ratio), self.overlap_ratio or usual
            case PairLayout(background=background, overlap_ratio=usual) as pair:
                boxes, scores = outputs[pair.boxes], outputs[pair.scores]
                if pair.is_columns:
                    boxes, scores = boxes.transpose(0, 2, 1), scores.transpose(0, 2, 1)
                found = read_pair(boxes, scores, size, background, self.score_ratio)
                return found, None if usual is None else self.overlap_ratio or usual
            case QueriesLayout(output=output):
                return read_queries(outputs[output], size, self.score_ratio), None
            case RowsLayout(output=output):
                if are_queries(outputs[output]):
                    return read_queries(outputs[output], size, self.score_ratio), None
                return read_rows(outputs[output], size), None
            case ListedLayout(names=names):
                return read_listed(outputs, names, size), None
        assert_never(self.layout)

    def _prototypes(self, outputs: Mapping[str, Array]) -> Array | None:
        name = self._prototypes_name
        return None if name is None else outputs[name][0]

    @property
    def _prototypes_name(self) -> str | None:
        return self.layout.prototypes if isinstance(self.layout, DenseLayout | RowsLayout) else None

    def _boxes(self, found: Found, prototypes: Array | None, transform: PictureTransform) -> Boxes:
        """Those that lie in the picture at least in part, at most `n_boxes`."""
        edges = transform.to_picture(found.boxes)
        points = None if found.points is None else transform.to_picture(found.points[:, :, :2], clip=False)
        boxes = []
        for at in np.flatnonzero((edges[:, 2] > edges[:, 0]) & (edges[:, 3] > edges[:, 1]))[: self.n_boxes]:
            left, top, right, bottom = edges[at].tolist()
            mask = None
            if prototypes is not None and found.coefficients is not None:
                mask = mask_of(found.coefficients[at], prototypes, (left, top, right, bottom), transform)
            index = int(found.classes[at])
            boxes.append(
                Box(
                    label=Label(index=index, name=self.names.name(index), score_ratio=float(found.scores[at])),
                    left=left,
                    top=top,
                    right=right,
                    bottom=bottom,
                    mask=mask,
                    points=()
                    if points is None or found.points is None
                    else tuple(
                        (float(x), float(y), float(score))
                        for (x, y), score in zip(points[at], found.points[at, :, 2], strict=True)
                    ),
                )
            )
        return Boxes(boxes=tuple(boxes), height=transform.picture_height, width=transform.picture_width)


def mask_of(coefficients: Floats, prototypes: Array, edges: tuple[float, float, float, float],
            transform: PictureTransform) -> Mask:  # fmt: skip
    """Mask of one object: its pixels inside `edges` (left, top, right, bottom, of the picture).

    coefficients: float64[M]. prototypes: float[M, h, w] over the whole input. A pixel belongs to the object where the
    sum, interpolated between prototype pixels, is above 0 (a probability above one half).
    """
    left, top = math.floor(edges[0]), math.floor(edges[1])
    right = min(transform.picture_width, max(left + 1, math.ceil(edges[2])))
    bottom = min(transform.picture_height, max(top + 1, math.ceil(edges[3])))
    logits = np.tensordot(coefficients, prototypes.astype(np.float64), axes=1)
    corners = transform.to_input(np.array([[left + 0.5, top + 0.5], [right - 0.5, bottom - 0.5]]))
    columns = np.linspace(corners[0, 0], corners[1, 0], right - left) * (logits.shape[1] / transform.width) - 0.5
    rows = np.linspace(corners[0, 1], corners[1, 1], bottom - top) * (logits.shape[0] / transform.height) - 0.5
    return Mask(left=left, top=top, pixels=_between(_between(logits, rows).T, columns).T > 0.0)


def _between(values: Floats, places: Floats) -> Floats:
    """Rows of `values` at fractional `places`, float64[len(places), ...]; beyond the ends the first or the last."""
    places = places.clip(0, len(values) - 1)
    before = np.floor(places).astype(np.int64)
    after = np.minimum(before + 1, len(values) - 1)
    share = (places - before)[:, np.newaxis]
    return np.asarray(values[before] * (1 - share) + values[after] * share, np.float64)
