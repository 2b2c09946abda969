"""Files with a line or a row for every answer: JSON lines, CSV, and NumPy archives."""

from __future__ import annotations

import csv
import math
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from seamline.core.vocabulary.documented import json_line
from seamline.core.vocabulary.ports import Array
from seamline.heads.answers import Box, Boxes, Classes, Label, Regions, Tensors, value_json
from seamline.sinks.answered import AnsweredFrame, answered_json
from seamline.sinks.sink import Sink, StreamFacts

COLUMNS = (
    "frame", "source", "file", "source_s", "frame_time", "answer", "plan", "latency_s", "n_attempts", "error",
    "rank", "label", "class", "score", "left", "top", "right", "bottom",
)  # fmt: skip
"""Of a CSV: one row for each label or box, one without them for a frame in which nothing was found."""


class JsonLines(Sink):
    """Writes each answer as a line of JSON, at once. path: the file; None for stdout."""

    def __init__(self, path: Path | None) -> None:
        self.name = "-" if path is None else str(path)
        self._path = path
        self._file: IO[str] | None = None

    def open(self, facts: StreamFacts) -> None:
        self._file = sys.stdout if self._path is None else self._path.open("w", encoding="utf-8")

    def write(self, answered: AnsweredFrame) -> None:
        assert self._file is not None
        self._file.write(json_line(answered_json(answered)) + "\n")
        self._file.flush()

    def close(self) -> None:
        if self._file is not None and self._path is not None:
            self._file.close()


class Lines(Sink):
    """Gives each answer as one line of words to `say`: the terminal. words: None leaves an answer out."""

    def __init__(self, name: str, words: Callable[[AnsweredFrame], str | None], say: Callable[[str], None]) -> None:
        self.name = name
        self._words, self._say = words, say

    def write(self, answered: AnsweredFrame) -> None:
        if (line := self._words(answered)) is not None:
            self._say(line)


class Csv(Sink):
    """Writes `COLUMNS`, for spreadsheets. Masks, key points and tensors have no place in it."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        self._file: IO[str] | None = None
        self._writer: Any = None

    def open(self, facts: StreamFacts) -> None:
        self._file = self._path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(COLUMNS)

    def write(self, answered: AnsweredFrame) -> None:
        assert self._file is not None
        stamp = answered.stamp
        ends = [
            stamp.number, stamp.source, stamp.file, stamp.at_s, stamp.unix_s, answered.number, answered.plan,
            answered.latency_s, answered.n_attempts, answered.error,
        ]  # fmt: skip
        rows = list(_rows(answered)) or [[None] * 8]
        self._writer.writerows([*ends, *row] for row in rows)
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _rows(answered: AnsweredFrame) -> Iterator[list[Any]]:
    """What differs from row to row: rank, label, class, score and edges."""
    match answered.answer:
        case Classes(labels=labels) | Regions(labels=labels):
            for rank, label in enumerate(labels):
                yield [rank, *_label_cells(label), None, None, None, None]
        case Boxes(boxes=boxes):
            for rank, box in enumerate(boxes):
                yield [rank, *_label_cells(box.label), box.left, box.top, box.right, box.bottom]


def _label_cells(label: Label) -> list[Any]:
    return [label.name, label.index, label.score_ratio]


class Archive(Sink):
    """Writes the network's outputs bit for bit, and what they mean as arrays, into one .npz.

    ``000012/NAME`` is output NAME of answer 12; beside it stand ``boxes`` float64[n, 4], ``scores`` and ``classes`` of
    `detect`, ``scores`` and ``classes`` of `classify`, ``class_map`` of `segment`. Over all answers, in their order:
    ``answers``, ``frames``, ``source_s`` (NaN where there is none), ``frame_time``, ``latency_s``, ``plans``. Each
    answer is in the file once it is written; the index that readers need is written at the end. An output that is no
    tensor stands as its JSON text.
    """

    keeps_outputs = True

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        self._zip: zipfile.ZipFile | None = None
        self._over_all: list[tuple[int, int, float, float, float, str]] = []

    def open(self, facts: StreamFacts) -> None:
        self._zip = zipfile.ZipFile(self._path, "w", zipfile.ZIP_STORED, allowZip64=True)

    def write(self, answered: AnsweredFrame) -> None:
        for name, array in _arrays(answered).items():
            self._add(f"{answered.number:06d}/{name}", array)
        stamp = answered.stamp
        at_s = math.nan if stamp.at_s is None else stamp.at_s
        row = (answered.number, stamp.number, at_s, stamp.unix_s, answered.latency_s, answered.plan)
        self._over_all.append(row)

    def close(self) -> None:
        if self._zip is None:
            return
        try:
            columns = list(zip(*self._over_all, strict=True)) or [()] * 6
            names = ("answers", "frames", "source_s", "frame_time", "latency_s", "plans")
            for name, column, dtype in zip(names, columns, ("i8", "i8", "f8", "f8", "f8", "U"), strict=True):
                self._add(name, np.array(column, dtype))
        finally:
            self._zip.close()

    def _add(self, name: str, value: Any) -> None:
        assert self._zip is not None
        array = value if isinstance(value, np.ndarray) else np.array(json_line(value_json(value)))
        array = array.astype(str) if array.dtype.kind == "O" else array
        with self._zip.open(f"{name}.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array(member, array, allow_pickle=False)


def _arrays(answered: AnsweredFrame) -> dict[str, Any]:
    found: dict[str, Any] = {}
    match answered.answer:
        case Classes(labels=labels):
            found = _label_arrays(labels)
        case Boxes(boxes=boxes):
            found = _label_arrays(tuple(box.label for box in boxes)) | {"boxes": _edges(boxes)}
        case Regions(class_map=class_map):
            found = {"class_map": class_map}
        case Tensors() | None:
            pass
    return found | dict(answered.outputs)  # an output that has such a name is what the user means by it


def _label_arrays(labels: tuple[Label, ...]) -> dict[str, Array]:
    return {
        "scores": np.array([label.score_ratio for label in labels], np.float64),
        "classes": np.array([label.index for label in labels], np.int64),
    }


def _edges(boxes: tuple[Box, ...]) -> Array:
    return np.array([[box.left, box.top, box.right, box.bottom] for box in boxes], np.float64).reshape(-1, 4)
