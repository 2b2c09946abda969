"""`seamline inspect`: where a model can be cut, and what crosses there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.shared.flag_groups import with_groups
from seamline.cli.shared.model_flags import ModelArgument, ModelFlags
from seamline.cli.shared.options import JsonFlag
from seamline.core.vocabulary.documented import copied, key_docs

if TYPE_CHECKING:
    from seamline.core.vocabulary.profiles import Cut
    from seamline.model.store.stored import StoredModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """How a camera frame becomes the input of a model."""

    height: Annotated[int, "rows of the frame"]
    width: Annotated[int, "columns of the frame"]
    layout: Annotated[str, "axes of the input in order: nchw, nhwc, chw, hwc, nhw or hw"]
    mean: Annotated[tuple[float, ...], "subtracted, per channel R, G, B on the 0-255 scale"]
    std: Annotated[tuple[float, ...], "divided by after that"]
    dtype: Annotated[str, "of the input"]
    channels: Annotated[str, "of the input: rgb, bgr or grey"]
    fit: Annotated[str, "how a picture of another aspect is brought to size: letterbox, crop or stretch"]
    pad: Annotated[int, "grey level around a letterboxed picture"]
    resample: Annotated[str, "how pixels are resampled: area, linear, cubic or nearest"]
    crop_ratio: Annotated[float, "side of the part that is cropped, relative to the largest that fits"]
    is_centred: Annotated[bool, "whether a letterboxed picture stands in the middle, else in the upper left corner"]
    input: Annotated[str, "which of several inputs takes the picture, empty when there is one"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The model that is looked at."""

    name: Annotated[str, "its name"]
    id: Annotated[str, "content id: the same on every node that has the model"]
    n_layers: Annotated[int, "layers, weights not counted"]
    macs: Annotated[int, "multiply-accumulates of one inference"]
    frame: Annotated[Frame | None, "how a camera frame becomes the input, null when the model does not say"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor that crosses a cut."""

    name: Annotated[str, "name of the tensor"]
    dtype: Annotated[str, "NumPy name of its element type"]
    shape: Annotated[tuple[int, ...], "its shape"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedCut:
    """One legal cut."""

    index: Annotated[int, "number of the cut, as plans name it"]
    after: Annotated[str, "last layer before the cut"]
    tensors: Annotated[tuple[Tensor, ...], "what crosses the cut"]
    bytes: Annotated[int, "size of all crossing tensors, uncompressed"]
    macs_before: Annotated[int, "multiply-accumulates before the cut"]
    macs_after: Annotated[int, "multiply-accumulates behind the cut"]
    is_candidate: Annotated[bool, "whether the planner considers the cut"]
    carries_input: Annotated[bool, "whether a model input itself crosses, so that raw pixels would leave"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectSummary:
    """What `seamline inspect --json` prints."""

    model: Annotated[Model, "the model"]
    cuts: Annotated[
        tuple[InspectedCut, ...], "every legal cut, in order; the first is the model input, the last its output"
    ]


JSON_KEYS = {"inspect": partial(key_docs, InspectSummary)}


def register(app: typer.Typer) -> None:
    app.command(name="inspect")(inspect)


@with_groups
def inspect(
    model: ModelArgument,
    about: ModelFlags,
    candidates: Annotated[bool, typer.Option("--candidates", help="Show only cuts the planner considers.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Print every place where MODEL can be cut, with what crosses there and the work before and after it."""
    from seamline.cli.shared.output import NARROW_WIDTH, data_console, print_json
    from seamline.cli.shared.tables import cut_table

    _, stored = about.load(model)
    macs = stored.cuts[-1].macs_before
    cuts = [cut for cut in stored.cuts if cut.is_candidate or not candidates]
    if as_json:
        print_json(_summary(stored, cuts))
        return
    console = data_console()
    console.print(cut_table(stored.name, cuts, macs, is_narrow=console.width < NARROW_WIDTH))
    if stored.preprocess is not None:
        console.print(f"pictures: {stored.preprocess.words()}")
        console.print(_beside_the_picture(stored))


def _beside_the_picture(stored: StoredModel) -> str:
    """Whether any cut sends less than the picture, as it is and as JPEG."""
    from seamline.core.analysis.break_even import first_below
    from seamline.core.cost.payload import JPEG_BYTES_PER_PIXEL
    from seamline.core.vocabulary.quantities import bytes_text

    assert stored.preprocess is not None
    n_pixels = stored.preprocess.height * stored.preprocess.width
    words = []
    for what, n_bytes in (("the picture,", 3 * n_pixels), ("its JPEG, about", int(n_pixels * JPEG_BYTES_PER_PIXEL))):
        cut = first_below(stored.cuts, n_bytes)
        found = "at no cut" if cut is None else f"first at cut {cut.index} ({bytes_text(cut.payload_bytes)})"
        words.append(f"less than {what} {bytes_text(n_bytes)}, {found}")
    return f"what crosses is {', '.join(words)}; `seamline plan` says from which link speed on splitting pays"


def _summary(stored: StoredModel, cuts: Sequence[Cut]) -> InspectSummary:
    macs, frame = stored.cuts[-1].macs_before, stored.preprocess
    return InspectSummary(
        model=Model(
            name=stored.name,
            id=stored.model_id,
            n_layers=len(stored.graph.layers),
            macs=macs,
            frame=None if frame is None else copied(Frame, frame),
        ),
        cuts=tuple(
            copied(
                InspectedCut,
                cut,
                tensors=tuple(copied(Tensor, each) for each in cut.tensors),
                bytes=cut.payload_bytes,
                macs_after=macs - cut.macs_before,
            )
            for cut in cuts
        ),
    )
