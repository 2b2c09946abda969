"""Calibration of a model, kept beside it: ``<model folder>/calibration.json``.

It belongs to the weights, so it is kept by the model's id and goes with its folder. Never sent to another node: the
origin decides which codecs a plan may use.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import msgspec

from seamline.config import cache_dir
from seamline.config.durable import write_file
from seamline.config.plain_files import read_plain
from seamline.core.vocabulary.calibration import CutCalibration
from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.plans import Codec

FILE = "calibration.json"
SCHEMA = "seamline.calibration/1"
MAX_BYTES = 1 << 22

_ID = re.compile(r"[0-9a-f]{64}")  # ids come from profiles of others and become paths
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class _Entry(msgspec.Struct, frozen=True):
    cut: _Count
    codec: Codec
    n_frames: _Count
    max_change_ratio: Annotated[float, msgspec.Meta(ge=0.0)]
    n_changed: _Count | None = None
    n_refused: _Count = 0
    agreement_ratio: _Share | None = None
    agreement_error_ratio: _Share = 0.0
    sent_bytes: Annotated[float, msgspec.Meta(ge=0.0)] | None = None


class _File(msgspec.Struct, frozen=True):
    schema: str
    cuts: tuple[_Entry, ...]


def default_root() -> Path:
    """Folder of the store of models: below the folder of all caches."""
    return cache_dir() / "models"


def calibration_of(model_id: str | None) -> tuple[CutCalibration, ...]:
    """What is kept beside the model of that id in the default store; nothing where there is none or the id is no id."""
    if model_id is None or not _ID.fullmatch(model_id):
        return ()
    return read_calibration(default_root() / model_id)


def read_calibration(folder: Path) -> tuple[CutCalibration, ...]:
    """What is kept beside the model in `folder`; nothing when there is no such file, or one that is no calibration."""
    try:
        found = msgspec.json.decode(read_plain(folder / FILE, MAX_BYTES), type=_File)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ()
    if found.schema != SCHEMA:
        return ()
    return tuple(CutCalibration(**msgspec.structs.asdict(each)) for each in found.cuts)


def keep_calibration(folder: Path, entries: Sequence[CutCalibration]) -> None:
    """Keep `entries` beside the model in `folder`, replacing those of the same cuts and codecs. Raises `ModelError`."""
    known = {(each.cut, each.codec): each for each in (*read_calibration(folder), *entries)}
    cuts = tuple(_Entry(**asdict(each)) for each in sorted(known.values(), key=lambda each: (each.cut, each.codec)))
    try:
        write_file(folder / FILE, (msgspec.json.encode(_File(schema=SCHEMA, cuts=cuts)),))
    except OSError as exc:
        raise ModelError(f"the calibration cannot be kept in `{folder}`: {exc.strerror}") from exc
