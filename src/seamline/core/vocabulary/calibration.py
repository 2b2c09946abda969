"""Calibration: what lossy codecs at the cuts of one model were measured to do to its answers, on real frames.

Measured by `runtime.lab.accuracy`, kept beside the model by `model.store.calibration`, asked by whoever sets
`Constraints`. Without a calibration nothing is known, so nothing is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.plans import DEFAULT_CODECS, LOSSINESS, Codec, codecs_up_to

CALIBRATED = "calibrated"
"""How people ask for what a calibration allows: ``calibrated``, or ``calibrated=0.02`` for a limit of their own."""

MAX_CHANGE_RATIO = 0.01
"""Largest change of an answer that a codec may have shown, relative to the answer, where nobody says another."""

ROUNDING = 1e-9
"""Of sums of shares: 49 of 50 is 0.98."""

MIN_FRAMES = 20
"""Frames below which a calibration allows nothing: the rare frame is the one that matters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutCalibration:
    """What `codec` at `cut` did to `n_frames` answers.

    max_change_ratio: norm of the deviation over the norm of the answer, of the worst frame. n_changed: frames whose
    highest score moved to another place; None where answers are no scores. n_refused: frames that it could not send.
    agreement_ratio: answers that mean the same (`heads.agreement`), mean of the frames that can tell; None where fewer
    than `MIN_FRAMES` can. agreement_error_ratio: its standard error. sent_bytes: mean payload of a frame.
    """

    cut: int
    codec: Codec
    n_frames: int
    max_change_ratio: float
    n_changed: int | None = None
    n_refused: int = 0
    agreement_ratio: float | None = None
    agreement_error_ratio: float = 0.0
    sent_bytes: float | None = None

    def allows(self, max_change_ratio: float) -> bool:
        """Whether the codec may be used at the cut when answers may change by that much."""
        is_known = self.n_frames >= MIN_FRAMES and self.n_refused == 0 and not self.n_changed
        return is_known and self.max_change_ratio <= max_change_ratio

    def agrees(self, min_agreement: float) -> bool:
        """Whether answers mean the same at least so often, less one standard error of luck in the frames' choice."""
        is_known = self.n_frames >= MIN_FRAMES and self.n_refused == 0 and self.agreement_ratio is not None
        return is_known and (self.agreement_ratio or 0.0) - self.agreement_error_ratio >= min_agreement - ROUNDING


def limits_named(
    text: str,
    calibration: Sequence[CutCalibration] = (),
    limits: Constraints | None = None,
    *,
    min_agreement: float | None = None,
) -> Constraints:
    """`limits` with the codecs that `text` allows: ``lossless`` to ``q2`` at most, or what `calibration` says.

    min_agreement: a codec that rounds is allowed where calibrated answers agree so often (`CutCalibration.agrees`), in
    place of the limit of their change; one named in `text` is the most that may be lost even so.
    Raises `UsageError` for anything else.
    """
    limits = limits or Constraints()
    most = min_agreement if text in LOSSINESS else max_change_ratio(text)
    if most is None:
        return replace(limits, codecs=codecs_up_to(Codec(text)), lossy=None)
    named = codecs_up_to(Codec(text)) if text in LOSSINESS else tuple(Codec)
    if min_agreement is None:
        pairs = tuple((each.cut, each.codec) for each in calibration if each.allows(most))
    else:
        _check_agreement(min_agreement)
        kept = [each for each in calibration if each.codec in named and each.agrees(min_agreement)]
        pairs = tuple((each.cut, each.codec) for each in kept)
    if not pairs:
        return replace(limits, codecs=DEFAULT_CODECS, lossy=None)
    used = {codec for _, codec in pairs}
    return replace(limits, codecs=tuple(codec for codec in Codec if codec in {*DEFAULT_CODECS, *used}), lossy=pairs)


def _check_agreement(ratio: float) -> None:
    if not 0.0 < ratio <= 1.0:
        raise UsageError(f"{ratio:g} is no share of answers that agree", hint="above 0 and at most 1, such as 0.98")


def max_change_ratio(text: str) -> float:
    """The number in ``calibrated=0.02``, else `MAX_CHANGE_RATIO`. Raises `UsageError` when it reads otherwise."""
    name, equals, number = text.partition("=")
    try:
        ratio = float(number) if equals else MAX_CHANGE_RATIO
    except ValueError:
        ratio = -1.0
    if name != CALIBRATED or not 0.0 <= ratio < 1.0:
        hint = f"one of {', '.join(LOSSINESS)}, {CALIBRATED}, or {CALIBRATED}=0.02"
        raise UsageError(f"`{text}` is not a limit for --codecs", hint=hint)
    return ratio
