"""Locates models: an ONNX file by its path, or a zoo model by its name, built once and kept in the cache.

Reading ONNX files is `model/onnx/`'s, keeping them `model/store/`'s, building them `model/zoo/`'s.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from seamline import __version__
from seamline.config import cache_dir
from seamline.config.durable import move_into_place
from seamline.core.vocabulary.errors import UsageError
from seamline.model import zoo
from seamline.model.progress import SILENT, Progress

if TYPE_CHECKING:
    from seamline.model.metadata.recipe import FrameRecipe
    from seamline.model.store.models import ModelStore, StoredModel

ZOO_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """What is said of a model beside its file.

    shapes: of inputs with open axes. values: of inputs that become constants. frame: how a picture becomes the input.
    """

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    frame: FrameRecipe | None = None


def resolve_model(text: str, progress: Progress = SILENT) -> Path:
    """The ONNX file that `text` means: an existing path, else the zoo model of that name, built when it is not cached.

    Raises `UsageError` naming the nearest zoo model when `text` is neither.
    """
    path = Path(text).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        raise UsageError(f"`{text}` is a folder, not a model", hint="name an ONNX file in it")
    if path.exists():
        raise UsageError(
            f"`{text}` is a device, a pipe or a socket, not a model", hint="copy the model to a file first"
        )
    if text not in zoo.names():
        raise UsageError(f"there is no model `{text}`: no such file, and no zoo model of that name", hint=_advice(text))
    cached = zoo_path(text)
    if not cached.is_file():
        with progress.working(f"building {text} (once)"):
            build_zoo_model(text, cached)
    return cached


def load_model(
    text: str,
    options: ModelOptions | None = None,
    *,
    gives_pictures: bool = False,
    reseed: int | None = None,
    progress: Progress = SILENT,
) -> tuple[ModelStore, StoredModel]:
    """The default store and the model `text` in it.

    gives_pictures: frames will be pictures, so that it must be known how one becomes the input. reseed: seed of random
    values for constant weights.
    Raises `UsageError` as `resolve_model` does, `ModelError` for a file that is no model.
    """
    from seamline.model.store.models import ModelStore

    said = options or ModelOptions()
    store = ModelStore()
    stored = store.add(
        resolve_model(text, progress),
        shapes=said.shapes,
        values=said.values,
        preprocess=said.frame,
        gives_pictures=gives_pictures,
        reseed=reseed,
    )
    return store, stored


def require_zoo_name(name: str) -> None:
    """Raise `UsageError` naming the nearest one unless `name` is in the zoo."""
    if name not in zoo.names():
        near = difflib.get_close_matches(name, zoo.names(), n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"one of {', '.join(zoo.names())}"
        raise UsageError(f"there is no zoo model `{name}`", hint=hint)


def build_zoo_model(name: str, path: Path, seed: int = ZOO_SEED) -> Path:
    """Build zoo model `name` at `path`, which appears only when it is complete.

    Raises `UsageError` when something that is not a file is there: it would be replaced.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"`{path}` is there and is not a file", hint="name a file to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        zoo.build(name, unfinished, seed=seed)
        move_into_place(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def zoo_path(name: str) -> Path:
    """Cached path of zoo model `name`; by Seamline's version, so that a newer recipe does not find an older file."""
    return cache_dir() / "zoo" / f"{name}-{__version__}-seed{ZOO_SEED}.onnx"


def _advice(text: str) -> str:
    """Hint for an unknown name: the nearest zoo name or file beside it, else the list."""
    folder = Path(text).expanduser().parent
    files = [str(path) for path in folder.glob("*.onnx")] if folder.is_dir() else []
    near = difflib.get_close_matches(text, [*zoo.names(), *files], n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else "`seamline zoo list` shows the zoo"
