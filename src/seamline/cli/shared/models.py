"""From what a user types as MODEL to a model in the store: a path, or a zoo name that is built on demand.

Building and reading models is `seamline.model`'s business; here is only the choice between the two.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seamline import __version__
from seamline.core.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from seamline.model import FrameRecipe
    from seamline.model.store.models import ModelStore, StoredModel

ZOO_SEED = 0


def resolve_model(text: str) -> Path:
    """The ONNX file that `text` means: an existing path, else the zoo model of that name, built when it is not cached.

    Raises `UsageError` naming the nearest zoo model when `text` is neither.
    """
    from seamline.cli.shared.output import progress_console
    from seamline.model import zoo

    path = Path(text).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        raise UsageError(f"`{text}` is a folder, not a model", hint="name an ONNX file in it")
    if text not in zoo.names():
        raise UsageError(f"there is no model `{text}`: no such file, and no zoo model of that name", hint=_advice(text))
    cached = zoo_path(text)
    if not cached.is_file():
        console = progress_console()
        with console.status(f"building {text} (once)"):
            build_zoo_model(text, cached)
    return cached


def load_model(
    text: str,
    *,
    shapes: Sequence[str] = (),
    values: Sequence[str] = (),
    frame: FrameRecipe | None = None,
    reseed: int | None = None,
) -> tuple[ModelStore, StoredModel]:
    """The default store and the model `text` in it.

    shapes: ``NAME=1,3,224,224`` for inputs with open axes. values: ``NAME=NUMBER`` for inputs that become constants.
    frame: how a camera frame becomes the input. reseed: seed of random values for constant weights.
    """
    from seamline.model.store.models import ModelStore

    path = resolve_model(text)
    store = ModelStore()
    return store, store.add(
        path, shapes=parse_shapes(shapes), values=parse_values(values), preprocess=frame, reseed=reseed
    )


def require_zoo_name(name: str) -> None:
    """Raise `UsageError` naming the nearest one unless `name` is in the zoo."""
    from seamline.model import zoo

    if name not in zoo.names():
        near = difflib.get_close_matches(name, zoo.names(), n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"one of {', '.join(zoo.names())}"
        raise UsageError(f"there is no zoo model `{name}`", hint=hint)


def build_zoo_model(name: str, path: Path, seed: int = ZOO_SEED) -> Path:
    """Build zoo model `name` at `path`, which appears only when it is complete.

    Raises `UsageError` when something that is not a file is there: it would be replaced.
    """
    import os

    from seamline.model import zoo

    if path.exists() and not path.is_file():
        raise UsageError(f"`{path}` is there and is not a file", hint="name a file to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        zoo.build(name, unfinished, seed=seed)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def zoo_path(name: str) -> Path:
    """Where zoo model `name` is cached; by Seamline's version, so that a newer recipe does not find an older file."""
    from seamline.config import cache_dir

    return cache_dir() / "zoo" / f"{name}-{__version__}-seed{ZOO_SEED}.onnx"


def parse_shapes(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """``["input=1,3,224,224"]`` as ``{"input": (1, 3, 224, 224)}``. Raises `UsageError` when one does not read so."""
    shapes = {}
    for text in texts:
        name, _, axes = text.rpartition("=")
        extents = axes.replace("x", ",").split(",")
        if not name or not all(extent.strip().isdecimal() and int(extent) > 0 for extent in extents):
            raise UsageError(f"`{text}` is not a shape", hint="write NAME=1,3,224,224")
        shapes[name] = tuple(int(extent) for extent in extents)
    return shapes


def parse_values(texts: Iterable[str]) -> dict[str, float]:
    """``["sr=16000"]`` as ``{"sr": 16000.0}``. Raises `UsageError` when one does not read so."""
    values = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            values[name] = float(number)
        except ValueError:
            name = ""
        if not name:
            raise UsageError(f"`{text}` is not a value", hint="write NAME=NUMBER, e.g. sr=16000")
    return values


def parse_frame(
    size: str | None = None, layout: str | None = None, mean: str | None = None, std: str | None = None
) -> FrameRecipe | None:
    """The flags ``--size 224x224 --layout nchw --mean 124,116,104 --std 58,57,57``; None when none was given.

    Raises `UsageError` when one does not read so.
    """
    from seamline.model import FrameRecipe

    if size is layout is mean is std is None:
        return None
    extents = (size or "").lower().split("x")
    if size is not None and not (len(extents) == 2 and all(part.isdecimal() and int(part) > 0 for part in extents)):
        raise UsageError(f"`{size}` is not a size", hint="write HEIGHTxWIDTH, e.g. 224x224")
    if layout not in (None, "nchw", "nhwc"):
        raise UsageError(f"`{layout}` is not a layout", hint="nchw or nhwc")
    height, width = (int(part) for part in extents) if size else (None, None)
    return FrameRecipe(
        height=height,
        width=width,
        layout="nhwc" if layout == "nhwc" else "nchw",
        mean=_triple(mean or "0"),
        std=_triple(std or "1"),
    )


def _triple(text: str) -> tuple[float, float, float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    match numbers:
        case [one]:
            return (one, one, one)
        case [red, green, blue]:
            return (red, green, blue)
    raise UsageError(f"`{text}` is not one number or three", hint="write R,G,B on the 0-255 scale")


def complete_model(incomplete: str) -> list[str]:
    """Shell completion for MODEL: zoo names and ONNX files here."""
    from seamline.model import zoo

    here = [str(path) for path in Path().glob(f"{incomplete}*.onnx")] if "/" not in incomplete else []
    return [name for name in (*zoo.names(), *here) if name.startswith(incomplete)]


def _advice(text: str) -> str:
    """Where to go from a name that means nothing: the nearest zoo name or file beside it, else the list."""
    from seamline.model import zoo

    folder = Path(text).expanduser().parent
    files = [str(path) for path in folder.glob("*.onnx")] if folder.is_dir() else []
    near = difflib.get_close_matches(text, [*zoo.names(), *files], n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else "`seamline zoo list` shows the zoo"
