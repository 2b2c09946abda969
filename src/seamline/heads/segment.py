"""Segmentation head: the class of every pixel of the picture.

The network's map is smaller than the picture, often by 4 or 8. Each pixel of the picture gets the class of the place
that it falls on; nothing is interpolated, so that no class appears between two others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seamline.core.vocabulary.pictures import Fit, PictureTransform, picture_transform
from seamline.core.vocabulary.ports import Array
from seamline.heads.answers import UNSEEN, ClassMap, Label, Regions
from seamline.heads.names import ClassNames
from seamline.heads.reduced import CLASS_MAP, map_fault
from seamline.heads.scores import object_scores

THRESHOLD_RATIO = 0.5
MAX_CLASSES = 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Reads a map of classes from `output`.

    It may be float[1, n, h, w] or [1, h, w, n] (is_channels_last) with a score a class, float[1, 1, h, w] with one
    score for "it is there" (class 1) or not, or integer[1, h, w] with the classes themselves. score_ratio: from which
    on one score alone means that it is there. height, width: of the network's input.
    """

    output: str
    names: ClassNames
    height: int
    width: int
    n_classes: int | None = None
    is_channels_last: bool = False
    score_ratio: float = THRESHOLD_RATIO
    n_labels: int | None = None

    @property
    def words(self) -> str:
        return "segment"

    def read(self, outputs: Mapping[str, Array], transform: PictureTransform | None) -> Regions:
        return self.finish(self.reduce(outputs), transform)

    @property
    def expected_bytes(self) -> int:
        """Of a map as large as the input: most are smaller."""
        return 2 * self.height * self.width

    def reduce(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """The class of every pixel of the network's own map."""
        return {CLASS_MAP: self._classes(outputs[self.output])}

    def fault(self, reduced: Mapping[str, Array]) -> str | None:
        return map_fault(reduced)

    def finish(self, reduced: Mapping[str, Array], transform: PictureTransform | None) -> Regions:
        transform = transform or picture_transform(Fit.STRETCH, (self.height, self.width), (self.height, self.width))
        classes = reduced[CLASS_MAP]
        rows = _places(transform.picture_height, classes.shape[0], transform, is_down=True)
        columns = _places(transform.picture_width, classes.shape[1], transform, is_down=False)
        class_map = classes[np.ix_(rows.clip(0), columns.clip(0))]
        class_map[rows < 0] = UNSEEN
        class_map[:, columns < 0] = UNSEEN
        return Regions(class_map=class_map, labels=self._labels(class_map))

    def _classes(self, output: Array) -> ClassMap:
        """int16[h, w] of the network's own size."""
        if np.issubdtype(output.dtype, np.integer) or output.dtype == np.bool_:
            shape = [extent for extent in output.shape if extent != 1] or [1, 1]
            return np.asarray(output.reshape(shape).clip(0, MAX_CLASSES - 1), np.int16)
        scores = output.reshape(output.shape[-3:])
        scores = scores if not self.is_channels_last else scores.transpose(2, 0, 1)
        if len(scores) == 1:
            return np.asarray(object_scores(scores[0]) >= self.score_ratio, np.int16)
        return np.asarray(scores.argmax(axis=0), np.int16)

    def _labels(self, class_map: ClassMap) -> tuple[Label, ...]:
        counts = np.bincount(class_map[class_map != UNSEEN].reshape(-1).astype(np.int64))
        order = [int(index) for index in np.argsort(-counts, kind="stable") if counts[index]]
        return tuple(
            Label(index=index, name=self.names.name(index), score_ratio=float(counts[index] / counts.sum()))
            for index in order[: self.n_labels]
        )


def _places(n_pixels: int, n_places: int, transform: PictureTransform, *, is_down: bool) -> npt.NDArray[np.int64]:
    """Row (or column) of the network's map for each of the picture's, -1 where the network did not see it."""
    middles = np.arange(n_pixels) + 0.5
    zeros = np.zeros_like(middles)
    points = np.stack([zeros, middles] if is_down else [middles, zeros], axis=1)
    extent = transform.height if is_down else transform.width
    at = transform.to_input(points)[:, 1 if is_down else 0]
    places = np.floor(at * (n_places / extent)).astype(np.int64)
    source = transform.source
    first, length = (source.top, source.height) if is_down else (source.left, source.width)
    seen = (middles >= first) & (middles < first + length)
    return np.where(seen, places.clip(0, n_places - 1), -1)
