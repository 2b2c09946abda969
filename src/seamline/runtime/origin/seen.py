"""What the network sees of a frame's picture, kept until the answer so that boxes can be put back where they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from seamline.core.vocabulary.pictures import PictureTransform
from seamline.core.vocabulary.ports import FrameArray
from seamline.model import StoredModel
from seamline.model.metadata.preprocess import FRAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How a picture became the input. picture: uint8[H, W, 3] RGB as its source gave it, None when nobody draws."""

    transform: PictureTransform
    picture: FrameArray | None


def seen_by(model: StoredModel, *, keeps_picture: bool) -> Callable[[Any], Seen | None]:
    """What tells of a frame what `model` sees of it; None for frames that are no pictures."""

    name = FRAME if model.preprocess is None else model.preprocess.target(model.graph.input_specs).name

    def seen(frame: Any) -> Seen | None:
        picture = frame.get(FRAME, frame.get(name)) if isinstance(frame, Mapping) else frame
        if model.preprocess is None or not isinstance(picture, np.ndarray) or picture.ndim != 3 or 0 in picture.shape:
            return None
        rows, columns = picture.shape[:2]
        transform = model.preprocess.transform(rows, columns)
        return Seen(transform=transform, picture=picture if keeps_picture else None)

    return seen
