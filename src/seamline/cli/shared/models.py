"""What a user types about a MODEL: its name or path, its inputs, and how a frame becomes one of them.

Finding and loading is `seamline.model.locate`'s; here are the words of the flags, and spinners while a model is built.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from seamline.core.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from seamline.model import FrameRecipe
    from seamline.model.store.models import ModelStore, StoredModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """Which model a summary is of."""

    name: Annotated[str, "its name"]
    id: Annotated[str, "content id"]


def load_model(
    text: str,
    *,
    shapes: Sequence[str] = (),
    values: Sequence[str] = (),
    frame: FrameRecipe | None = None,
    reseed: int | None = None,
) -> tuple[ModelStore, StoredModel]:
    """The default store and the model `text` in it, as `model.locate.load_model`, with a spinner while it is built.

    shapes: ``NAME=1,3,224,224`` for inputs with open axes. values: ``NAME=NUMBER`` for inputs that become constants.
    """
    from seamline.cli.shared.output import TERMINAL
    from seamline.model import locate

    return locate.load_model(
        text,
        shapes=parse_shapes(shapes),
        values=parse_values(values),
        frame=frame,
        reseed=reseed,
        progress=TERMINAL,
    )


def parse_shapes(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """``["input=1,3,224,224"]`` as ``{"input": (1, 3, 224, 224)}``. Raises `UsageError` when one does not read so."""
    shapes = {}
    for text in texts:
        name, _, axes = text.rpartition("=")
        extents = axes.replace("x", ",").split(",")
        if not name or not all(extent.strip().isdecimal() for extent in extents):
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
