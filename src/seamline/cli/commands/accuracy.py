"""`seamline accuracy`: how far a codec at a cut changes a model's answers on real images."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.shared.flag_groups import with_groups
from seamline.cli.shared.model_flags import ModelArgument, ModelFlags, ModelIdentity, cuts_named
from seamline.cli.shared.options import JsonFlag, ThreadsOption, choice
from seamline.core.vocabulary.calibration import CALIBRATED, MAX_CHANGE_RATIO
from seamline.core.vocabulary.documented import key_docs
from seamline.core.vocabulary.plans import LOSSY, Codec
from seamline.core.vocabulary.quantities import ABSENT, bytes_text, ratio_text

if TYPE_CHECKING:
    from rich.table import Table

    from seamline.model.store.models import StoredModel
    from seamline.runtime.lab.accuracy import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class CutAccuracy:
    """What a codec at one cut does to the answers."""

    cut: Annotated[int, "number of the cut"]
    after: Annotated[str, "last layer before it"]
    raw_bytes: Annotated[int, "what crosses it, uncompressed"]
    sent_bytes: Annotated[float | None, "mean bytes per image under the codec, null when it refused all"]
    agreement_ratio: Annotated[
        float | None,
        "answers that mean the same: top class, boxes that match, pixels of one class, or 1 less the relative error; "
        "null when no image shows anything",
    ]
    top1_agreement_ratio: Annotated[
        float | None, "images whose highest score is that of the unsplit model; null for other models"
    ]
    mean_relative_error: Annotated[
        float | None, "norm of the deviation over the norm of the unsplit model's output, mean"
    ]
    max_relative_error: Annotated[float | None, "the same of the worst image"]
    n_refused: Annotated[int, "images whose values the codec could not send (NaN or infinity under u8)"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracySummary:
    """What `seamline accuracy --json` prints."""

    model: Annotated[ModelIdentity, "the model"]
    codec: Annotated[Codec, "what was measured"]
    n_images: Annotated[int, "images used"]
    is_classifier: Annotated[bool, "whether the output is one vector of scores"]
    elapsed_s: Annotated[float, "how long it took"]
    cuts: tuple[CutAccuracy, ...]


JSON_KEYS = {"accuracy": partial(key_docs, AccuracySummary)}


def register(app: typer.Typer) -> None:
    app.command(name="accuracy")(accuracy)


@with_groups
def accuracy(
    model: ModelArgument,
    about: ModelFlags,
    images: Annotated[str, typer.Option("--images", metavar="DIR", help="Folder of images, or a video file.")],
    codec: Annotated[
        str, typer.Option("--codec", metavar="NAME", help="lossless, f16, u8, q6 to q2, or jpeg for the frame.")
    ] = ("u8"),
    cuts: Annotated[
        str, typer.Option("--cuts", metavar="WHICH", help="candidates, all, or a list: 3,8,14.")
    ] = "candidates",
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Use the first N images only.")
    ] = None,
    threads: ThreadsOption = None,
    json: JsonFlag = False,
) -> None:
    """Compare MODEL cut with a codec in between to MODEL whole, on images: same top class, or relative error.

    What a codec that rounds does is kept beside the model, as the calibration that streams go by
    (`--codecs calibrated`, `--min-agreement`).
    """
    from seamline.cli.shared.output import print_result, progress_console, track
    from seamline.model.engine.ort import OrtEngine
    from seamline.model.store.calibration import keep_calibration
    from seamline.runtime.lab.accuracy import calibration_of, compare, images_of, is_classifier, step_count, total

    name = choice(codec, tuple(Codec), "a codec")
    frames = images_of(images, limit)
    store, stored = about.load(model, gives_pictures=True)
    # JPEG exists at cut 0, the others inside
    wanted = (0,) if name is Codec.JPEG else cuts_named(stored, cuts, inner_only=True)
    started_s = time.monotonic()
    steps = compare(OrtEngine(store, threads), stored, frames, name, wanted)
    tallies = total(track(steps, step_count(stored, wanted, len(frames)), f"{stored.name} with {name}"))
    is_scores = is_classifier(stored.cuts[-1].tensors)
    summary = AccuracySummary(
        model=ModelIdentity(name=stored.name, id=stored.model_id),
        codec=name,
        n_images=len(frames),
        is_classifier=is_scores,
        elapsed_s=time.monotonic() - started_s,
        cuts=tuple(_cut_summary(stored, tallies[cut], is_scores) for cut in wanted),
    )
    if name in LOSSY:
        keep_calibration(stored.folder, [calibration_of(tallies[cut], name, is_scores) for cut in wanted])
        progress_console().print(_allowed_text(stored, name, len(frames)))
    title = f"{stored.name} cut with {name}, {len(frames)} images"
    print_result(summary, as_json=json, words=lambda: _table(title, summary))


def _allowed_text(model: StoredModel, codec: Codec, n_images: int) -> str:
    """What the calibration that was kept means for streams."""
    from seamline.model.store.calibration import read_calibration
    from seamline.runtime.lab.accuracy import too_few_text

    if (words := too_few_text(n_images)) is not None:
        return words
    kept = [each for each in read_calibration(model.folder) if each.codec is codec]
    n_allowed = sum(each.allows(MAX_CHANGE_RATIO) for each in kept)
    where = f"where answers change by at most {MAX_CHANGE_RATIO:.0%} (`--codecs {CALIBRATED}`)"
    return f"kept: streams may use {codec} at {n_allowed} of {len(kept)} cuts, {where}"


def _raw_bytes(model: StoredModel, cut: int) -> int:
    """What crosses uncompressed: at cut 0 the camera frame."""
    is_frame = cut == 0 and model.preprocess is not None
    return model.preprocess.frame_spec.n_bytes if is_frame and model.preprocess else model.cuts[cut].payload_bytes


def _cut_summary(model: StoredModel, tally: Tally, is_scores: bool) -> CutAccuracy:
    n = tally.n_frames
    return CutAccuracy(
        cut=tally.cut,
        after=model.cuts[tally.cut].after,
        raw_bytes=_raw_bytes(model, tally.cut),
        sent_bytes=tally.sent_bytes / n if n else None,
        agreement_ratio=tally.agreement_ratio if tally.n_judged else None,
        top1_agreement_ratio=tally.top1_ratio if is_scores and n else None,
        mean_relative_error=tally.mean_error if n else None,
        max_relative_error=tally.largest_error if n else None,
        n_refused=tally.n_refused,
    )


def _table(title: str, summary: AccuracySummary) -> Table:
    from seamline.cli.shared.tables import add_row, new_table

    heads = ("cut", "after", "raw", "sent", "agreement", "mean error", "worst error", "refused")
    table = new_table(*heads, title=title, right=tuple(head for head in heads if head != "after"))
    for each in summary.cuts:
        kept = each.agreement_ratio
        add_row(
            table,
            str(each.cut),
            each.after,
            bytes_text(each.raw_bytes),
            bytes_text(each.sent_bytes),
            ABSENT if kept is None else f"{kept:.2%}",
            ratio_text(each.mean_relative_error),
            ratio_text(each.max_relative_error),
            str(each.n_refused or ABSENT),
        )
    return table
