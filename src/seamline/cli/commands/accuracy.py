"""`seamline accuracy`: how far a codec at a cut changes a model's answers on real images."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.shared.options import JsonFlag, ModelArgument, ThreadsOption
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.plans import Codec

if TYPE_CHECKING:
    from rich.table import Table

    from seamline.model.store.models import StoredModel
    from seamline.runtime.lab.accuracy import Tally

JSON_KEYS = {
    "accuracy": {
        "model": "the model",
        "model.name": "its name",
        "model.id": "content id",
        "codec": "what was measured",
        "n_images": "images used",
        "is_classifier": "whether the output is one vector of scores",
        "elapsed_s": "how long it took",
        "cuts[].cut": "number of the cut",
        "cuts[].after": "last layer before it",
        "cuts[].raw_bytes": "what crosses it, uncompressed",
        "cuts[].sent_bytes": "mean bytes per image under the codec, null when it refused all",
        "cuts[].top1_agreement_ratio": "images whose highest score is that of the unsplit model; null for other models",
        "cuts[].mean_relative_error": "norm of the deviation over the norm of the unsplit model's output, mean",
        "cuts[].max_relative_error": "the same of the worst image",
        "cuts[].n_refused": "images whose values the codec could not send (NaN or infinity under u8)",
    }
}


def register(app: typer.Typer) -> None:
    """Add `accuracy` to `app`."""
    app.command(name="accuracy")(accuracy)


def accuracy(
    model: ModelArgument,
    images: Annotated[str, typer.Option("--images", metavar="DIR", help="Folder of images, or a video file.")],
    codec: Annotated[str, typer.Option("--codec", metavar="NAME", help="lossless, f16, u8, or jpeg for the frame.")] = (
        "u8"
    ),
    cuts: Annotated[
        str, typer.Option("--cuts", metavar="WHICH", help="candidates, all, or a list: 3,8,14.")
    ] = "candidates",
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Use the first N images only.")
    ] = None,
    threads: ThreadsOption = None,
    json: JsonFlag = False,
) -> None:
    """Compare MODEL cut with a codec in between to MODEL whole, on images: same top class, or relative error."""
    from seamline.cli.shared.models import load_model
    from seamline.cli.shared.output import data_console, print_json, track
    from seamline.model.engine.ort import OrtEngine
    from seamline.runtime.lab.accuracy import compare, is_classifier, step_count, total
    from seamline.runtime.shared.sources import open_source

    name = _codec_named(codec)
    frames = list(itertools.islice(open_source(images, loop=False).frames(), limit))
    if not frames:
        raise UsageError(f"there are no images in `{images}`", hint="name a folder with PNG or JPEG files")
    store, stored = load_model(model)
    wanted = chosen_cuts(stored, cuts, name)
    started_s = time.monotonic()
    steps = compare(OrtEngine(store, threads), stored, frames, name, wanted)
    tallies = total(track(steps, step_count(stored, wanted, len(frames)), f"{stored.name} with {name}"))
    is_scores = is_classifier(stored.cuts[-1].tensors)
    summary = {
        "model": {"name": stored.name, "id": stored.model_id},
        "codec": str(name),
        "n_images": len(frames),
        "is_classifier": is_scores,
        "elapsed_s": time.monotonic() - started_s,
        "cuts": [_cut_summary(stored, tallies[cut], is_scores) for cut in wanted],
    }
    if json:
        print_json(summary)
    else:
        title = f"{stored.name} cut with {name}, {len(frames)} images"
        data_console().print(_table(title, stored, [tallies[cut] for cut in wanted], is_scores))


def chosen_cuts(model: StoredModel, text: str, codec: Codec) -> tuple[int, ...]:
    """Cuts that `text` names, ascending: ``candidates``, ``all``, or numbers. JPEG exists at cut 0, the others inside.

    Raises `UsageError` for anything else.
    """
    if codec is Codec.JPEG:
        return (0,)
    inner = model.cuts[1:-1]
    if text == "all":
        return tuple(cut.index for cut in inner)
    if text == "candidates":
        return tuple(cut.index for cut in inner if cut.is_candidate)
    try:
        numbers = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise UsageError(f"`{text}` names no cuts", hint="write candidates, all, or numbers: 3,8,14") from None
    if not all(0 < number < len(model.cuts) - 1 for number in numbers):
        raise UsageError(
            f"`{model.name}` has no inner cut {next(n for n in numbers if not 0 < n < len(model.cuts) - 1)}",
            hint=f"inner cuts are 1 to {len(model.cuts) - 2}; `seamline inspect` lists them",
        )
    return tuple(numbers)


def _codec_named(text: str) -> Codec:
    try:
        return Codec(text)
    except ValueError:
        raise UsageError(f"`{text}` is not a codec", hint=f"one of {', '.join(Codec)}") from None


def _raw_bytes(model: StoredModel, cut: int) -> int:
    """What crosses uncompressed: at cut 0 the camera frame."""
    is_frame = cut == 0 and model.preprocess is not None
    return model.preprocess.frame_spec.n_bytes if is_frame and model.preprocess else model.cuts[cut].payload_bytes


def _cut_summary(model: StoredModel, tally: Tally, is_scores: bool) -> dict[str, object]:
    n = tally.n_frames
    return {
        "cut": tally.cut,
        "after": model.cuts[tally.cut].after,
        "raw_bytes": _raw_bytes(model, tally.cut),
        "sent_bytes": tally.sent_bytes / n if n else None,
        "top1_agreement_ratio": tally.agreement_ratio if is_scores and n else None,
        "mean_relative_error": tally.mean_error if n else None,
        "max_relative_error": tally.largest_error if n else None,
        "n_refused": tally.n_refused,
    }


def _table(title: str, model: StoredModel, tallies: Sequence[Tally], is_scores: bool) -> Table:
    from seamline.cli.shared.tables import add_row, new_table
    from seamline.core.vocabulary.quantities import ABSENT, bytes_text, ratio_text

    heads = ("cut", "after", "raw", "sent", "top-1 kept", "mean error", "worst error", "refused")
    table = new_table(*heads, title=title, right=tuple(head for head in heads if head != "after"))
    for tally in tallies:
        n = tally.n_frames
        add_row(
            table,
            str(tally.cut),
            model.cuts[tally.cut].after,
            bytes_text(_raw_bytes(model, tally.cut)),
            bytes_text(tally.sent_bytes / n if n else None),
            f"{tally.agreement_ratio:.2%}" if is_scores and n else ABSENT,
            ratio_text(tally.mean_error if n else None),
            ratio_text(tally.largest_error if n else None),
            str(tally.n_refused or ABSENT),
        )
    return table
