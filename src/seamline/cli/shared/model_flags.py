"""A MODEL on the command line: its name, its flags, which of its cuts are meant, and what summaries say of it.

Finding and loading is `seamline.model.locate`'s; here are the words of the flags, and spinners while a model is built.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.shared.options import choice
from seamline.core.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from seamline.model import FrameRecipe
    from seamline.model.locate import ModelOptions
    from seamline.model.store.models import ModelStore, StoredModel


def complete_model(incomplete: str) -> list[str]:
    """Shell completion for MODEL: zoo names and ONNX files here."""
    from seamline.model import zoo

    here = [str(path) for path in Path().glob(f"{incomplete}*.onnx")] if "/" not in incomplete else []
    return [name for name in (*zoo.names(), *here) if name.startswith(incomplete)]


ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Path of an ONNX file, or a name from `seamline zoo list` (built on demand).",
        autocompletion=complete_model,
        show_default=False,
    ),
]
OptionalModelArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="Path of an ONNX file or zoo name; not needed where profiles are given, which carry the cuts.",
        autocompletion=complete_model,
        show_default=False,
    ),
]


def complete_preset(incomplete: str) -> list[str]:
    """Shell completion for --preprocess."""
    from seamline.model.metadata.recipe import PRESET_WORDS

    return [name for name in PRESET_WORDS if name.startswith(incomplete)]


ShapeOption = Annotated[
    tuple[str, ...],
    typer.Option("--shape", metavar="NAME=AXES", help="Fix an open input, e.g. input=1,3,224,224. Repeatable."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFlags:
    """What is said of a model beside its file."""

    shape: ShapeOption = ()
    value: Annotated[
        tuple[str, ...],
        typer.Option(
            "--value", metavar="NAME=NUMBER", help="Make an input a constant, e.g. sr=16000; what it decides is folded."
        ),
    ] = ()
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="HxW", help="Size of the camera frames the model takes; what its input says."),
    ] = None
    layout: Annotated[
        str | None,
        typer.Option("--layout", metavar="LAYOUT", help="Axes of the model's input: nchw, nhwc, chw, hwc, nhw, hw."),
    ] = None
    mean: Annotated[
        str | None, typer.Option("--mean", metavar="R,G,B", help="Subtracted from frames of 0-255 before they enter.")
    ] = None
    std: Annotated[
        str | None,
        typer.Option("--std", metavar="R,G,B", help="What frames are divided by after that. A zero is refused."),
    ] = None
    preprocess: Annotated[
        str | None,
        typer.Option(
            "--preprocess",
            metavar="NAME",
            help="How a picture becomes the input: imagenet, yolo, yolox, unit, symmetric, caffe, clip, raw, or none.",
            autocompletion=complete_preset,
        ),
    ] = None
    fit: Annotated[
        str | None,
        typer.Option(
            "--fit", metavar="FIT", help="What becomes of pictures of another aspect: letterbox, crop or stretch."
        ),
    ] = None
    channels: Annotated[
        str | None, typer.Option("--channels", metavar="ORDER", help="Colours of the model's input: rgb, bgr or grey.")
    ] = None

    def options(self) -> ModelOptions:
        """The same read. Raises `UsageError` for what does not read so."""
        from seamline.model.locate import ModelOptions

        return ModelOptions(shapes=parse_shapes(self.shape), values=parse_values(self.value), frame=self._frame())

    def load(
        self, model: str, *, gives_pictures: bool = False, reseed: int | None = None
    ) -> tuple[ModelStore, StoredModel]:
        """The default store and `model` in it, as `model.locate.load_model`, with a spinner while it is built."""
        from seamline.cli.shared.output import TERMINAL
        from seamline.model.locate import load_model

        return load_model(model, self.options(), gives_pictures=gives_pictures, reseed=reseed, progress=TERMINAL)

    def _frame(self) -> FrameRecipe | None:
        """None when no flag is about pictures."""
        from seamline.core.vocabulary.pictures import Fit
        from seamline.model.metadata.preprocess import CHANNELS, LAYOUTS
        from seamline.model.metadata.recipe import ARRAYS, FrameRecipe, preset_named

        if self.preprocess not in (None, ARRAYS):
            preset_named(self.preprocess)
        height, width = (None, None) if self.size is None else _extents(self.size)
        recipe = FrameRecipe(
            preprocess=self.preprocess,
            height=height,
            width=width,
            layout=None if self.layout is None else choice(self.layout, LAYOUTS, "a layout"),
            mean=None if self.mean is None else _triple(self.mean),
            std=None if self.std is None else _triple(self.std),
            channels=None if self.channels is None else choice(self.channels, CHANNELS, "an order of colours"),
            fit=None if self.fit is None else choice(self.fit, tuple(Fit), "a way to fit pictures"),
        )
        return None if recipe == FrameRecipe() else recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """Which model a summary is of."""

    name: Annotated[str, "its name"]
    id: Annotated[str, "content id"]


def cuts_named(model: StoredModel, text: str, *, inner_only: bool) -> tuple[int, ...]:
    """Cuts that `text` names, ascending: ``candidates``, ``all``, or numbers such as ``3,8,14``.

    inner_only: without the first and the last, where all of the model lies on one side. Raises `UsageError` for
    anything else.
    """
    cuts = model.cuts[1:-1] if inner_only else model.cuts
    if text == "all":
        return tuple(cut.index for cut in cuts)
    if text == "candidates":
        return tuple(cut.index for cut in cuts if cut.is_candidate)
    try:
        numbers = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise UsageError(f"`{text}` names no cuts", hint="write candidates, all, or numbers: 3,8,14") from None
    known = {cut.index for cut in cuts}
    if missing := [number for number in numbers if number not in known]:
        kind = "inner cut" if inner_only else "cut"
        span = f"{kind}s are {min(known)} to {max(known)}" if known else f"it has no {kind}s"
        raise UsageError(f"`{model.name}` has no {kind} {missing[0]}", hint=f"{span}; `seamline inspect` lists them")
    return tuple(numbers)


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


def _extents(size: str) -> tuple[int, int]:
    match size.lower().split("x"):
        case [height, width] if height.isdecimal() and width.isdecimal() and int(height) > 0 and int(width) > 0:
            return int(height), int(width)
    raise UsageError(f"`{size}` is not a size", hint="write HEIGHTxWIDTH, e.g. 224x224")


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
