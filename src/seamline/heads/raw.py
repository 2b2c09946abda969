"""Raw head: a network's outputs as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from seamline.core.vocabulary.pictures import PictureTransform
from seamline.core.vocabulary.ports import Array
from seamline.heads.answers import Tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Reads nothing into the outputs."""

    n_classes: int | None = None

    @property
    def words(self) -> str:
        return "raw"

    def read(self, outputs: Mapping[str, Array], transform: PictureTransform | None = None) -> Tensors:
        return Tensors(outputs=dict(outputs))
