"""Pictures and the network's input: how one becomes the other, and how boxes come back.

Geometry only. Pixels are resized in `runtime.inputs`, values and layout are the model's first layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt


class Fit(StrEnum):
    """How a picture of another aspect becomes one of the network's size.

    LETTERBOX keeps all of it and pads, CROP cuts its ends off, STRETCH keeps all of it and distorts.
    """

    LETTERBOX = "letterbox"
    CROP = "crop"
    STRETCH = "stretch"


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelBox:
    """A rectangle of whole pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureTransform:
    """Map of one picture into the network's input: `source`, a part of the picture, is resized into `target`.

    picture_height, picture_width, height, width: of the picture and of the input, in pixels. source: in the picture.
    target: in the input; pixels around it are padding.
    """

    picture_height: int
    picture_width: int
    height: int
    width: int
    source: PixelBox
    target: PixelBox

    def to_picture(self, points: npt.ArrayLike, *, clip: bool = True) -> npt.NDArray[np.float64]:
        """Pixels of the input as pixels of the picture: float64 of the shape of `points`.

        points: numbers[..., 2 n], x and y in turn: boxes as ``x1, y1, x2, y2``, corners, key points. clip: to the
        picture.
        """
        moved = self._moved(points, self.target, self.source)
        if clip:
            moved[..., 0::2] = moved[..., 0::2].clip(0, self.picture_width)
            moved[..., 1::2] = moved[..., 1::2].clip(0, self.picture_height)
        return moved

    def to_input(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Pixels of the picture as pixels of the input: the opposite of `to_picture`, and never clipped."""
        return self._moved(points, self.source, self.target)

    @property
    def seen_ratio(self) -> float:
        """Share of the picture that the network sees; below 1 when its ends are cut off."""
        return self.source.width * self.source.height / (self.picture_width * self.picture_height)

    @property
    def stretch_ratio(self) -> float:
        """Scale across over scale down: 1 unless the picture is distorted, but for rounding to whole pixels."""
        return (self.target.width / self.source.width) / (self.target.height / self.source.height)

    @staticmethod
    def _moved(points: npt.ArrayLike, before: PixelBox, after: PixelBox) -> npt.NDArray[np.float64]:
        moved = np.array(points, np.float64)
        moved[..., 0::2] = (moved[..., 0::2] - before.left) * (after.width / before.width) + after.left
        moved[..., 1::2] = (moved[..., 1::2] - before.top) * (after.height / before.height) + after.top
        return moved


def picture_transform(
    fit: Fit,
    picture: tuple[int, int],
    wanted: tuple[int, int],
    *,
    is_centred: bool = True,
    crop_ratio: float = 1.0,
) -> PictureTransform:
    """The transform of a picture (height, width) into an input of `wanted` (height, width).

    is_centred: False puts a letterboxed picture into the upper left corner. crop_ratio: side of the part that CROP
    takes, relative to the largest that fits: 0.875 where the picture is resized to 256 and cut to 224.
    """
    (rows, columns), (height, width) = picture, wanted
    source = PixelBox(left=0, top=0, width=columns, height=rows)
    target = PixelBox(left=0, top=0, width=width, height=height)
    if fit is Fit.CROP:
        scale = crop_ratio * min(rows / height, columns / width)
        source = _centred(rows, columns, round(height * scale), round(width * scale))
    elif fit is Fit.LETTERBOX:
        scale = min(height / rows, width / columns)
        inner = (min(height, round(rows * scale)), min(width, round(columns * scale)))
        target = _centred(height, width, *inner) if is_centred else _corner(*inner)
    return PictureTransform(
        picture_height=rows, picture_width=columns, height=height, width=width, source=source, target=target
    )


def _centred(rows: int, columns: int, height: int, width: int) -> PixelBox:
    """A box of height x width, or what fits of it, in the middle of rows x columns."""
    height, width = max(1, min(rows, height)), max(1, min(columns, width))
    return PixelBox(left=(columns - width) // 2, top=(rows - height) // 2, width=width, height=height)


def _corner(height: int, width: int) -> PixelBox:
    return PixelBox(left=0, top=0, width=max(1, width), height=max(1, height))
