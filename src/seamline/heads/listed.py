"""Lists of objects: outputs of networks whose file suppresses overlaps itself.

    Layout   outputs                                        of
    -------  ---------------------------------------------  ---------------------------------------------------
    ROWS     [1, N, 6 + m], [N, 7]                          YOLOv10, YOLO26, Ultralytics ``nms=True``; YOLOv7
    LISTED   boxes [1, N, 4], scores, classes (and count)   torchvision, TensorFlow, RT-DETR, TensorRT's NMS
    LISTED   boxes with scores [1, N, 5], classes           MMDetection

Rows are left, top, right, bottom, score, class (of YOLOv7 image, left, top, right, bottom, class, score).
TensorFlow's ``detection_boxes`` begin with the top and are shares of the sides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seamline.core.vocabulary.ports import Array
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.heads.found import Found, in_pixels

_BOXES = re.compile(r"box|dets|rois|location", re.IGNORECASE)
_SCORES = re.compile(r"score|conf|prob", re.IGNORECASE)
_CLASSES = re.compile(r"class|label|categor", re.IGNORECASE)
_COUNT = re.compile(r"num|count", re.IGNORECASE)
TOP_FIRST = "detection_boxes"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedNames:
    """Names of the outputs of a list. scores: None when they are the fifth column of the boxes. count: None if none."""

    boxes: str
    classes: str
    scores: str | None = None
    count: str | None = None


def listed_names(outputs: Sequence[TensorSpec]) -> ListedNames | None:
    """Which of `outputs` are boxes, scores, classes and count of a list; None when they are none."""
    boxes = [spec for spec in outputs if spec.shape[-1:] in ((4,), (5,)) and _BOXES.search(spec.name)]
    flat = [spec for spec in outputs if _is_flat(spec) and spec not in boxes]
    if len(boxes) != 1:
        return None
    counts = [spec for spec in flat if _COUNT.search(spec.name)]
    per_row = [spec for spec in flat if spec not in counts and spec.n_elements * boxes[0].shape[-1] ==
               boxes[0].n_elements]  # fmt: skip
    classes = [spec for spec in per_row if _CLASSES.search(spec.name) and not _SCORES.search(spec.name)]
    scores = [spec for spec in per_row if spec not in classes and _SCORES.search(spec.name)]
    count = counts[0].name if counts else None
    if boxes[0].shape[-1] == 5 and len(classes) == 1:
        return ListedNames(boxes=boxes[0].name, classes=classes[0].name, count=count)
    if len(classes) == 1 and len(scores) == 1:
        return ListedNames(boxes=boxes[0].name, classes=classes[0].name, scores=scores[0].name, count=count)
    return None


def read_listed(outputs: Mapping[str, Array], names: ListedNames, size: tuple[int, int]) -> Found:
    """The objects of a list; size: the input's height and width."""
    table = outputs[names.boxes]
    rows = table.reshape(-1, table.shape[-1]).astype(np.float64)
    scores = rows[:, 4] if names.scores is None else outputs[names.scores].reshape(-1).astype(np.float64)
    classes = outputs[names.classes].reshape(-1).astype(np.int64)
    n = len(rows) if names.count is None else min(len(rows), int(outputs[names.count].reshape(-1)[0]))
    boxes = rows[:, [1, 0, 3, 2]] if names.boxes.endswith(TOP_FIRST) else rows[:, :4]
    return Found(boxes=in_pixels(boxes[:n], size), scores=scores[:n], classes=classes[:n])


def are_queries(output: Array) -> bool:
    """Whether rows of six columns end in the score of a second class, rather than in the number of a class."""
    last = output[..., -1]
    return output.shape[-1] == 6 and bool((last != np.round(last)).any())


def read_rows(output: Array, size: tuple[int, int]) -> Found:
    """The objects in rows of 6 or more numbers, or of 7 in a table of two axes."""
    rows = output.reshape(-1, output.shape[-1]).astype(np.float64)
    if output.ndim == 2 and rows.shape[1] == 7:
        rows = rows[:, [1, 2, 3, 4, 6, 5]]
    return Found(
        boxes=in_pixels(rows[:, :4], size),
        scores=rows[:, 4],
        classes=rows[:, 5].round().astype(np.int64),
        coefficients=rows[:, 6:] if rows.shape[1] > 6 else None,
    )


def _is_flat(spec: TensorSpec) -> bool:
    return len(spec.shape) <= 2 and (len(spec.shape) < 2 or 1 in spec.shape)
