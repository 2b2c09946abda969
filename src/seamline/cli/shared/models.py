"""What a user types about a MODEL: its name or path, its inputs, and how a frame becomes one of them.

Finding and loading is `seamline.model.locate`'s; here are the words of the flags, and spinners while a model is built.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from seamline.core.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from seamline.model import FrameRecipe
    from seamline.model.locate import ModelOptions
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
    gives_pictures: bool = False,
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
        gives_pictures=gives_pictures,
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


def parse_options(
    shapes: Sequence[str] | None, values: Sequence[str] | None, frame: FrameRecipe | None
) -> ModelOptions:
    """``--shape``, ``--value`` and what `parse_frame` made of the others. Raises `UsageError` as they do."""
    from seamline.model.locate import ModelOptions

    return ModelOptions(shapes=parse_shapes(shapes or ()), values=parse_values(values or ()), frame=frame)


def parse_feed_back(texts: Iterable[str]) -> dict[str, str]:
    """``["state_out=state_in"]`` as a dict. Raises `UsageError` when one does not read so."""
    pairs: dict[str, str] = {}
    for text in texts:
        output, _, given = text.partition("=")
        if not output or not given or output in pairs:
            raise UsageError(f"`{text}` feeds nothing back", hint="write OUTPUT=INPUT, each output once")
        pairs[output] = given
    return pairs


def parse_frame(
    size: str | None = None,
    layout: str | None = None,
    mean: str | None = None,
    std: str | None = None,
    *,
    preprocess: str | None = None,
    fit: str | None = None,
    channels: str | None = None,
) -> FrameRecipe | None:
    """The flags ``--size 224x224 --layout nchw --mean 124,116,104 --std 58,57,57 --preprocess imagenet --fit crop``.

    None when none was given. Raises `UsageError` when one does not read so.
    """
    from seamline.core.vocabulary.pictures import Fit
    from seamline.model.metadata.preprocess import CHANNELS, LAYOUTS
    from seamline.model.metadata.recipe import ARRAYS, FrameRecipe, preset_named

    if size is layout is mean is std is preprocess is fit is channels is None:
        return None
    extents = (size or "").lower().split("x")
    if size is not None and not (len(extents) == 2 and all(part.isdecimal() and int(part) > 0 for part in extents)):
        raise UsageError(f"`{size}` is not a size", hint="write HEIGHTxWIDTH, e.g. 224x224")
    if preprocess not in (None, ARRAYS):
        preset_named(preprocess)
    height, width = (int(part) for part in extents) if size else (None, None)
    found = _one_of(fit, tuple(Fit), "a way to fit pictures")
    return FrameRecipe(
        preprocess=preprocess,
        height=height,
        width=width,
        layout=_one_of(layout, LAYOUTS, "a layout"),
        mean=None if mean is None else _triple(mean),
        std=None if std is None else _triple(std),
        channels=_one_of(channels, CHANNELS, "an order of colours"),
        fit=None if found is None else Fit(found),
    )


def complete_preset(incomplete: str) -> list[str]:
    """Shell completion for --preprocess."""
    from seamline.model.metadata.recipe import PRESET_WORDS

    return [name for name in PRESET_WORDS if name.startswith(incomplete)]


_Word = TypeVar("_Word", bound=str)


def _one_of(text: str | None, known: Sequence[_Word], what: str) -> _Word | None:
    for word in known:
        if word == text:
            return word
    if text is not None:
        raise UsageError(f"`{text}` is not {what}", hint=f"one of {', '.join(known)}")
    return None


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
