"""Classification head: one vector of scores as the most likely classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seamline.core.vocabulary.pictures import PictureTransform
from seamline.core.vocabulary.ports import Array
from seamline.heads.answers import Classes, Label
from seamline.heads.names import ClassNames
from seamline.heads.scores import Ending, class_scores

N_LABELS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Classify:
    """Reads the `n_labels` classes with the highest scores, of those with at least `score_ratio`.

    output: name of the vector, float or integer[1, n_classes], perhaps with more axes of extent 1. ending: what its
    numbers are.
    """

    output: str
    names: ClassNames
    ending: Ending
    n_classes: int
    n_labels: int = N_LABELS
    score_ratio: float = 0.0

    @property
    def words(self) -> str:
        return "classify"

    def read(self, outputs: Mapping[str, Array], transform: PictureTransform | None = None) -> Classes:
        raw = outputs[self.output].reshape(-1)
        scores = class_scores(raw, self.ending)
        # by what the network says: the softmax makes equal what lies far below the best
        order = np.argsort(-raw.astype(np.float64), kind="stable")[: self.n_labels]
        return Classes(
            labels=tuple(
                Label(index=int(index), name=self.names.name(int(index)), score_ratio=float(scores[index]))
                for index in order
                if scores[index] >= self.score_ratio
            )
        )
