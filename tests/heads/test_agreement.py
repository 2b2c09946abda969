"""Claims about agreement: which answers mean the same, and how much of boxes and regions counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from seamline.heads.agreement import Judge
from seamline.heads.answers import Answer, Box, Boxes, Classes, Label, Regions, Tensors


@dataclass(frozen=True)
class Reads:
    """A head that finds the answer itself among the outputs."""

    words: str = "test"
    n_classes: int | None = None

    def read(self, outputs: Any, transform: Any) -> Answer:
        return outputs["answer"] if "answer" in outputs else Tensors(outputs=outputs)


def agreement(found: Any, expected: Any) -> float | None:
    return Judge(Reads()).agreement_ratio({"answer": found}, {"answer": expected})


def label(index: int, score: float = 0.9) -> Label:
    return Label(index=index, name=str(index), score_ratio=score)


def boxes(*found: tuple[int, float, float]) -> Boxes:
    """Squares of 10 pixels, each by class, left and top."""
    squares = [Box(label=label(index), left=x, top=y, right=x + 10, bottom=y + 10) for index, x, y in found]
    return Boxes(boxes=tuple(squares), height=100, width=100)


def test_classifiers_agree_where_the_likeliest_class_is_the_same() -> None:
    assert agreement(Classes(labels=(label(3, 0.5), label(1))), Classes(labels=(label(3), label(2)))) == 1.0
    assert agreement(Classes(labels=(label(3),)), Classes(labels=(label(1),))) == 0.0


@pytest.mark.parametrize(
    ("found", "ratio"),
    [
        (boxes((0, 0, 0), (1, 50, 50)), 1.0),
        (boxes((1, 51, 50), (0, 1, 1)), 1.0),  # a little off, in another order
        (boxes((0, 0, 0)), 2 / 3),
        (boxes((0, 0, 0), (2, 50, 50)), 0.5),  # another class
        (boxes((0, 0, 0), (1, 56, 50)), 0.5),  # overlap 4 / 16
        (boxes((0, 0, 0), (0, 1, 0), (1, 50, 50)), 0.8),  # one found twice counts once
        (boxes(), 0.0),
    ],
)
def test_boxes_agree_by_the_share_that_has_a_counterpart(found: Boxes, ratio: float) -> None:
    expected = boxes((0, 0, 0), (1, 50, 50))
    assert agreement(found, expected) == pytest.approx(ratio)
    assert agreement(expected, found) == pytest.approx(ratio)


def test_a_frame_in_which_nothing_is_found_says_nothing() -> None:
    assert agreement(boxes(), boxes()) is None


def test_regions_agree_by_the_share_of_pixels() -> None:
    one, other = np.zeros((4, 5), np.int16), np.zeros((4, 5), np.int16)
    other[0] = 1
    assert agreement(Regions(class_map=one, labels=()), Regions(class_map=other, labels=())) == 0.75


def test_other_outputs_agree_by_their_relative_error() -> None:
    judge = Judge(Reads())
    expected = {"x": np.array([3.0, 4.0], np.float32), "y": np.ones(2, np.float32)}
    found = {"x": np.array([3.0, 4.5], np.float32), "y": np.ones(2, np.float32)}
    assert judge.agreement_ratio(found, expected) == pytest.approx(0.9)
    assert judge.agreement_ratio({"x": -expected["x"], "y": expected["y"]}, expected) == 0.0
    assert judge.agreement_ratio({"x": np.ones(3), "y": expected["y"]}, expected) == 0.0, "another shape"
