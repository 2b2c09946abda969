"""What a codec does to a model's answers: the unsplit model beside one cut in two, with the codec in between.

Frames are taken in groups and carried from cut to cut, so that only the part behind a cut runs again. Steps come one
at a time, so that a caller can show how far it is; `total` puts those of one cut together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seamline import codec
from seamline.core.vocabulary.calibration import MIN_FRAMES, CutCalibration
from seamline.core.vocabulary.errors import CodecError, UsageError
from seamline.core.vocabulary.plans import Codec, Segment
from seamline.core.vocabulary.ports import Array, Engine, FrameArray
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.heads.agreement import Judge, judge_of, relative_error
from seamline.model import StoredModel
from seamline.model.metadata.preprocess import FRAME
from seamline.model.metadata.recipe import preset_list
from seamline.runtime.inputs.pictures import fitted
from seamline.runtime.sources.opening import open_source

GROUP_BYTES = 256 << 20
"""Boundary tensors kept at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What happened to `n_frames` frames at one cut; sums, so that tallies add up.

    n_agreeing: frames whose highest score stayed the same one. n_judged: frames that can agree (`heads.agreement`), and
    of their agreement the sum and the sum of squares. sum_error: of relative errors; largest_error: the worst frame's.
    sent_bytes: payload, all frames together. n_refused: frames that the codec could not send (they count in nothing
    else).
    """

    cut: int
    n_frames: int
    n_agreeing: int
    n_judged: int
    sum_agreement: float
    sum_square_agreement: float
    sum_error: float
    largest_error: float
    sent_bytes: int
    n_refused: int = 0

    @property
    def top1_ratio(self) -> float:
        return self.n_agreeing / self.n_frames if self.n_frames else math.nan

    @property
    def agreement_ratio(self) -> float:
        return self.sum_agreement / self.n_judged if self.n_judged else math.nan

    @property
    def agreement_error_ratio(self) -> float:
        """Standard error of `agreement_ratio`, and no less than what one frame more could move it by."""
        if not self.n_judged:
            return math.nan
        variance = self.sum_square_agreement / self.n_judged - self.agreement_ratio**2
        return max(math.sqrt(max(0.0, variance) / self.n_judged), 1.0 / (self.n_judged + 1))

    @property
    def mean_error(self) -> float:
        return self.sum_error / self.n_frames if self.n_frames else math.nan


def images_of(where: str, limit: int | None) -> list[FrameArray]:
    """The first `limit` pictures of a folder, a video or a camera. Raises `UsageError` where there are none."""
    source = open_source(where, loop=False)
    try:
        frames = list(itertools.islice(source.frames(), limit))
    finally:
        source.close()
    if not frames:
        raise UsageError(f"there are no images in `{where}`", hint="name a folder with PNG or JPEG files")
    return frames


def too_few_text(n_images: int) -> str | None:
    """Words on a calibration by so many images that streams do not go by it; None where they do."""
    if n_images >= MIN_FRAMES:
        return None
    return f"kept, but {n_images} images are too few for streams to go by: take {MIN_FRAMES} or more"


def calibration_of(tally: Tally, codec: Codec, is_scores: bool) -> CutCalibration:
    """What streams may go by, of `tally`. is_scores: the answers are those of a classifier."""
    can_tell = tally.n_judged >= MIN_FRAMES
    return CutCalibration(
        cut=tally.cut,
        codec=codec,
        n_frames=tally.n_frames,
        max_change_ratio=tally.largest_error,
        n_changed=tally.n_frames - tally.n_agreeing if is_scores else None,
        n_refused=tally.n_refused,
        agreement_ratio=tally.agreement_ratio if can_tell else None,
        agreement_error_ratio=tally.agreement_error_ratio if can_tell else 0.0,
        sent_bytes=tally.sent_bytes / tally.n_frames if tally.n_frames else None,
    )


def is_classifier(outputs: Sequence[TensorSpec]) -> bool:
    """Whether the output is one vector of scores: one tensor of floats with a single axis above 1."""
    return (
        len(outputs) == 1
        and outputs[0].dtype.startswith("float")
        and sum(extent > 1 for extent in outputs[0].shape) == 1
    )


def step_count(model: StoredModel, cuts: Sequence[int], n_frames: int) -> int:
    """How many steps `compare` will take."""
    return len(cuts) * -(-n_frames // _group_size(model, cuts))


def compare(
    engine: Engine, model: StoredModel, frames: Iterable[FrameArray], name: Codec, cuts: Sequence[int]
) -> Iterator[Tally]:
    """A tally per group of frames and cut of `cuts` (ascending), on frames of any size, fitted to the model's.

    Raises `UsageError` when the model takes no camera frames, `ModelError` when it does not run.
    """
    preprocess = model.preprocess
    if preprocess is None:
        raise UsageError(
            f"`{model.name}` does not say how a picture becomes its input", hint=f"--preprocess NAME: {preset_list()}"
        )
    judge, whole = judge_of(model), engine.prepare(model.model_id, model.whole)
    ready = (fitted(frame, preprocess) for frame in frames)
    size = _group_size(model, cuts)
    while group := [{FRAME: frame} for frame in itertools.islice(ready, size)]:
        expected = [whole.run(tensors) for tensors in group]
        values: list[Mapping[str, Array]] = list(group)
        at = 0
        for cut in cuts:
            if cut > at:
                head = engine.prepare(model.model_id, Segment(at, cut))
                values, at = [head.run(tensors) for tensors in values], cut
            tail = engine.prepare(model.model_id, Segment(cut, model.whole.stop))
            exact = model.cuts[cut].exact
            answers = (_through(tensors, name, exact) for tensors in values)
            found = (None if sent is None else (tail.run(sent[0]), sent[1]) for sent in answers)
            yield _tally(cut, judge, expected, found)


def total(tallies: Iterable[Tally]) -> dict[int, Tally]:
    """By cut, all its tallies as one."""
    sums: dict[int, Tally] = {}
    for one in tallies:
        other = sums.get(one.cut)
        sums[one.cut] = one if other is None else _sum(one, other)
    return sums


def _group_size(model: StoredModel, cuts: Sequence[int]) -> int:
    largest = max((model.cuts[cut].payload_bytes for cut in cuts), default=1)
    return max(1, min(64, GROUP_BYTES // max(1, largest)))


def _through(tensors: Mapping[str, Array], name: Codec, exact: Collection[str]) -> tuple[dict[str, Array], int] | None:
    """`tensors` sent and received, and the bytes that took; None when the codec refuses their values."""
    try:
        encoded = codec.encode(tensors, name, exact=exact)
    except CodecError:
        return None
    return codec.decode(encoded.encoding, encoded.buffers), encoded.n_bytes


def _tally(
    cut: int,
    judge: Judge,
    expected: Sequence[Mapping[str, Array]],
    found: Iterable[tuple[Mapping[str, Array], int] | None],
) -> Tally:
    n_frames = n_agreeing = sent_bytes = n_refused = 0
    errors: list[float] = []
    agreements: list[float] = []
    for whole, sent in zip(expected, found, strict=True):
        if sent is None:
            n_refused += 1
            continue
        answer, n_bytes = sent
        n_frames += 1
        n_agreeing += all(np.argmax(answer[key]) == np.argmax(value) for key, value in whole.items())
        errors.append(relative_error(answer, whole))
        if (agreement := judge.agreement_ratio(answer, whole)) is not None:
            agreements.append(agreement)
        sent_bytes += n_bytes
    return Tally(
        cut=cut,
        n_frames=n_frames,
        n_agreeing=n_agreeing,
        n_judged=len(agreements),
        sum_agreement=math.fsum(agreements),
        sum_square_agreement=math.fsum(each * each for each in agreements),
        sum_error=math.fsum(errors),
        largest_error=max(errors, default=0.0),
        sent_bytes=sent_bytes,
        n_refused=n_refused,
    )


def _sum(one: Tally, other: Tally) -> Tally:
    return Tally(
        cut=one.cut,
        n_frames=one.n_frames + other.n_frames,
        n_agreeing=one.n_agreeing + other.n_agreeing,
        n_judged=one.n_judged + other.n_judged,
        sum_agreement=one.sum_agreement + other.sum_agreement,
        sum_square_agreement=one.sum_square_agreement + other.sum_square_agreement,
        sum_error=one.sum_error + other.sum_error,
        largest_error=max(one.largest_error, other.largest_error),
        sent_bytes=one.sent_bytes + other.sent_bytes,
        n_refused=one.n_refused + other.n_refused,
    )
