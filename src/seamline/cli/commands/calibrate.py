"""`seamline calibrate`: how few bits each cut of a model bears on real images, kept for streams to go by."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.shared.flag_groups import with_groups
from seamline.cli.shared.model_flags import ModelArgument, ModelFlags, ModelIdentity, cuts_named
from seamline.cli.shared.options import JsonFlag, ThreadsOption
from seamline.core.vocabulary.calibration import CutCalibration
from seamline.core.vocabulary.documented import key_docs
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.plans import LOSSY, Codec
from seamline.core.vocabulary.quantities import ABSENT, bytes_text

if TYPE_CHECKING:
    from rich.table import Table

    from seamline.model.store.models import StoredModel


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecCalibration:
    """What a codec does at one cut."""

    codec: Annotated[Codec, "name of the codec"]
    sent_bytes: Annotated[float | None, "mean bytes per image, null when it refused all"]
    agreement_ratio: Annotated[float | None, "answers that mean the same; null where too few images show anything"]
    agreement_error_ratio: Annotated[float, "its standard error"]
    max_relative_error: Annotated[float, "norm of the deviation over the norm of the answer, of the worst image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedCut:
    """What the codecs do at one cut."""

    cut: Annotated[int, "number of the cut"]
    after: Annotated[str, "last layer before it"]
    raw_bytes: Annotated[int, "what crosses it, uncompressed"]
    allowed: Annotated[Codec | None, "codec with the fewest bytes that agrees often enough, null when none does"]
    codecs: tuple[CodecCalibration, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSummary:
    """What `seamline calibrate --json` prints."""

    model: Annotated[ModelIdentity, "the model"]
    n_images: Annotated[int, "images used"]
    judged_by: Annotated[str, "what reads the answers: the head, in words"]
    min_agreement_ratio: Annotated[float, "agreement, less its standard error, from which a codec is allowed"]
    jpeg: CodecCalibration
    elapsed_s: Annotated[float, "how long it took"]
    cuts: tuple[CalibratedCut, ...]


JSON_KEYS = {"calibrate": partial(key_docs, CalibrationSummary)}


def register(app: typer.Typer) -> None:
    app.command(name="calibrate")(calibrate)


@with_groups
def calibrate(
    model: ModelArgument,
    about: ModelFlags,
    images: Annotated[
        str, typer.Option("--images", metavar="DIR", help="Folder of images, a video file, or a camera with --limit.")
    ],
    cuts: Annotated[str, typer.Option("--cuts", metavar="WHICH", help="candidates, all, or a list: 3,8,14.")] = (
        "candidates"
    ),
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Use the first N images only.")
    ] = None,
    min_agreement: Annotated[
        float, typer.Option("--min-agreement", metavar="SHARE", min=0.0, max=1.0, help="What the table goes by.")
    ] = 0.98,
    threads: ThreadsOption = None,
    json: JsonFlag = False,
) -> None:
    """Find how few bits the tensors at each cut of MODEL bear on images, until its answers are others.

    Every codec that rounds is tried at every cut, from the most bits to the fewest, and JPEG on the frame itself. What
    is found is kept beside the model; streams go by it with `--min-agreement`.
    """
    from seamline.cli.shared.output import print_result, progress_console, track
    from seamline.core.cost.payload import offered_codecs
    from seamline.heads.agreement import judge_of
    from seamline.model.engine.ort import OrtEngine
    from seamline.model.store.calibration import keep_calibration
    from seamline.runtime.lab.accuracy import (
        calibration_of,
        compare,
        images_of,
        is_classifier,
        step_count,
        too_few_text,
        total,
    )
    from seamline.runtime.lab.fewer_bits import calibrations

    frames = images_of(images, limit)
    store, stored = about.load(model, gives_pictures=True)
    started_s, engine = time.monotonic(), OrtEngine(store, threads)
    is_scores = is_classifier(stored.cuts[-1].tensors)
    named = cuts_named(stored, cuts, inner_only=True)
    wanted = tuple(cut for cut in named if LOSSY.intersection(offered_codecs(stored.cuts[cut], None)))
    if not wanted:
        raise UsageError(f"at no cut of `{stored.name}` that was asked for may a value be rounded")

    def measured(codec: Codec, cuts: tuple[int, ...]) -> list[CutCalibration]:
        steps = compare(engine, stored, frames, codec, cuts)
        tallies = total(track(steps, step_count(stored, cuts, len(frames)), f"{stored.name} with {codec}"))
        return [calibration_of(tallies[cut], codec, is_scores) for cut in cuts]

    jpeg = measured(Codec.JPEG, (0,))
    found = calibrations(measured, wanted)
    keep_calibration(stored.folder, [*jpeg, *found])
    if (words := too_few_text(len(frames))) is not None:
        progress_console().print(words)
    summary = CalibrationSummary(
        model=ModelIdentity(name=stored.name, id=stored.model_id),
        n_images=len(frames),
        judged_by=judge_of(stored).head.words,
        min_agreement_ratio=min_agreement,
        jpeg=_codec_summary(jpeg[0]),
        elapsed_s=time.monotonic() - started_s,
        cuts=tuple(_cut_summary(stored, cut, found, min_agreement) for cut in wanted),
    )
    print_result(summary, as_json=json, words=lambda: _table(summary))


def _cut_summary(model: StoredModel, cut: int, found: Sequence[CutCalibration], min_agreement: float) -> CalibratedCut:
    here = [each for each in found if each.cut == cut]
    allowed = [(each.sent_bytes or 0.0, each.codec) for each in here if each.agrees(min_agreement)]
    return CalibratedCut(
        cut=cut,
        after=model.cuts[cut].after,
        raw_bytes=model.cuts[cut].payload_bytes,
        allowed=min(allowed)[1] if allowed else None,
        codecs=tuple(_codec_summary(each) for each in here),
    )


def _codec_summary(each: CutCalibration) -> CodecCalibration:
    return CodecCalibration(
        codec=each.codec,
        sent_bytes=each.sent_bytes,
        agreement_ratio=each.agreement_ratio,
        agreement_error_ratio=each.agreement_error_ratio,
        max_relative_error=each.max_change_ratio,
    )


def _jpeg_text(jpeg: CodecCalibration) -> str:
    share = ABSENT if jpeg.agreement_ratio is None else f"{jpeg.agreement_ratio:.1%}"
    return f"{share}, {bytes_text(jpeg.sent_bytes)}"


def _table(summary: CalibrationSummary) -> Table:
    from seamline.cli.shared.tables import add_row, new_table

    title = (
        f"{summary.model.name} on {summary.n_images} images, by {summary.judged_by}: "
        f"fewest bytes with {summary.min_agreement_ratio:.1%} agreement; the frame as JPEG: {_jpeg_text(summary.jpeg)}"
    )
    heads = ("cut", "after", "raw", "u8", "allowed", "sent", "agreement")
    table = new_table(*heads, title=title, right=("cut", "raw", "u8", "sent", "agreement"))
    for each in summary.cuts:
        known = {one.codec: one for one in each.codecs}
        best = known.get(each.allowed) if each.allowed is not None else None
        add_row(
            table,
            str(each.cut),
            each.after,
            bytes_text(each.raw_bytes),
            bytes_text(known[Codec.U8].sent_bytes) if Codec.U8 in known else ABSENT,
            str(each.allowed or "lossless"),
            bytes_text(best.sent_bytes) if best else ABSENT,
            ABSENT if best is None or best.agreement_ratio is None else f"{best.agreement_ratio:.1%}",
        )
    return table
