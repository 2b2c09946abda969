"""Draws an answer into its picture with OpenCV: boxes, masks and regions in the colour of their class, and labels."""

from __future__ import annotations

import colorsys
import threading
import unicodedata
from functools import cache
from typing import Any

import numpy as np

from seamline.codec.opencv import require_opencv
from seamline.core.vocabulary.ports import FrameArray
from seamline.heads.answers import UNSEEN, Answer, Boxes, Classes, Regions, Tensors, answer_words

GOLDEN_RATIO = 0.618034
"""Hues this share of the circle apart: neighbouring classes differ, however many there are."""

OVERLAY_RATIO = 0.45
TEXT_PER_HEIGHT = 1 / 32
LEAST_TEXT_PIXELS = 11
_ONE_WRITER = threading.Lock()
"""Sinks draw on threads of their own; that OpenCV's font may be used by two at once is said nowhere."""

WHITE, BLACK = (255, 255, 255), (0, 0, 0)

Colour = tuple[int, int, int]


def drawn(picture: FrameArray, answer: Answer | None, error: str | None = None) -> FrameArray:
    """A copy of `picture`, uint8[H, W, 3] RGB, with `answer` (or why there is none) drawn in."""
    canvas = _Canvas(np.ascontiguousarray(picture).copy())
    match answer:
        case Boxes():
            canvas.boxes(answer)
        case Classes(labels=labels):
            canvas.lines([(f"{label.name} {label.score_ratio:.2f}", colour_of(label.index)) for label in labels])
        case Regions():
            canvas.regions(answer)
        case Tensors():
            canvas.lines([(answer_words(answer)[:80], BLACK)])
        case None:
            canvas.lines([(f"failed: {error or 'no answer'}"[:80], (200, 0, 0))])
    return canvas.pixels


@cache
def colour_of(index: int) -> Colour:
    """The colour of a class, always the same, dark enough for white letters."""
    red, green, blue = colorsys.hsv_to_rgb((index * GOLDEN_RATIO) % 1.0, 0.85, 0.8)
    return round(red * 255), round(green * 255), round(blue * 255)


class _Canvas:
    """A picture that is drawn into. Lines and letters grow with it."""

    def __init__(self, pixels: FrameArray) -> None:
        self.pixels = pixels
        self._cv2 = require_opencv()
        height, width = pixels.shape[:2]
        self._thickness = max(1, round(min(height, width) / 300))
        self._text_pixels: int = max(LEAST_TEXT_PIXELS, round(min(height, width) * TEXT_PER_HEIGHT))

    def boxes(self, answer: Boxes) -> None:
        for box in answer.boxes:
            if box.mask is not None:
                rows, columns = box.mask.pixels.shape
                part = self.pixels[box.mask.top : box.mask.top + rows, box.mask.left : box.mask.left + columns]
                _blend(part, box.mask.pixels, colour_of(box.label.index))
        for box in reversed(answer.boxes):  # the surest one on top
            colour = colour_of(box.label.index)
            corners = (int(box.left), int(box.top)), (int(box.right) - 1, int(box.bottom) - 1)
            self._cv2.rectangle(self.pixels, *corners, colour, self._thickness)
            for x, y, score in box.points:
                if score >= 0.5:
                    self._cv2.circle(self.pixels, (round(x), round(y)), 2 * self._thickness, colour, -1)
            self._text(f"{box.label.name} {box.label.score_ratio:.2f}", corners[0], colour, is_above=True)

    def regions(self, answer: Regions) -> None:
        class_map = answer.class_map
        for index in np.unique(class_map):
            if index not in (UNSEEN, 0) or (index == 0 and not _is_background(answer)):
                _blend(self.pixels, class_map == index, colour_of(int(index)))
        shown = [label for label in answer.labels if label.index or not _is_background(answer)]
        self.lines([(f"{label.name} {label.score_ratio:.0%}", colour_of(label.index)) for label in shown[:8]])

    def lines(self, lines: list[tuple[str, Colour]]) -> None:
        """Lines of text in the upper left corner, each on its colour."""
        top = 0
        for text, colour in lines:
            top += self._text(text, (0, top), colour, is_above=False)

    def _text(self, text: str, corner: tuple[int, int], colour: Colour, *, is_above: bool) -> int:
        """`text` on a bar of `colour` above or below `corner`, moved into the picture; the bar's height."""
        pad = max(2, self._text_pixels // 5)
        with _ONE_WRITER:
            width, ascent, descent = self._measured(text)
        height: int = ascent + descent + 2 * pad
        rows, columns = self.pixels.shape[:2]
        left = max(0, min(corner[0], columns - width - 2 * pad))
        top = corner[1] - height if is_above else corner[1]
        top = max(0, min(top, rows - height))
        bar = (left, top), (left + width + 2 * pad, top + height - 1)
        self._cv2.rectangle(self.pixels, *bar, colour, -1)
        with _ONE_WRITER:
            self._write(text, (left + pad, top + pad + ascent))
        return height

    def _measured(self, text: str) -> tuple[int, int, int]:
        """Width, height above and below the line of `text`, in pixels."""
        if (font := _font()) is not None:
            rows, columns = self.pixels.shape[:2]
            _, _, width, _ = self._cv2.getTextSize((columns, rows), text, (0, 0), font, self._text_pixels)
            return width, round(self._text_pixels * 0.8), round(self._text_pixels * 0.25)
        (width, height), below = self._cv2.getTextSize(plain(text), self._face, self._scale, 1)
        return width, height, below // 2

    def _write(self, text: str, at: tuple[int, int]) -> None:
        if (font := _font()) is not None:
            self._cv2.putText(self.pixels, text, at, WHITE, font, self._text_pixels)
        else:
            smooth = self._cv2.LINE_AA
            self._cv2.putText(self.pixels, plain(text), at, self._face, self._scale, WHITE, 1, smooth)

    @property
    def _face(self) -> int:
        return int(self._cv2.FONT_HERSHEY_SIMPLEX)

    @property
    def _scale(self) -> float:
        return self._text_pixels / 28


def plain(text: str) -> str:
    """`text` in ASCII, all that the fonts of OpenCV 4 have: letters without their marks, others as question marks."""
    letters = unicodedata.normalize("NFKD", text)
    return (
        "".join(letter for letter in letters if not unicodedata.combining(letter)).encode("ascii", "replace").decode()
    )


@cache
def _font() -> Any:
    """OpenCV 5's own font, which has letters of most scripts; None in OpenCV 4."""
    face = getattr(require_opencv(), "FontFace", None)
    return None if face is None else face("sans")


def _is_background(answer: Regions) -> bool:
    return any(label.index == 0 and label.name.lower() == "background" for label in answer.labels)


def _blend(pixels: FrameArray, mask: Any, colour: Colour) -> None:
    """Mix `colour` into `pixels` where `mask` is on."""
    inside = pixels[mask].astype(np.float32)
    pixels[mask] = (inside * (1 - OVERLAY_RATIO) + np.array(colour, np.float32) * OVERLAY_RATIO).astype(np.uint8)
