"""Search for how few bits each cut bears: every codec that rounds, from the most bits to the fewest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seamline.core.vocabulary.calibration import CutCalibration
from seamline.core.vocabulary.plans import LOSSINESS, Codec

HOPELESS_RATIO = 0.9
"""Agreement below which fewer bits are not tried at that cut: they would agree less."""


def calibrations(
    measure: Callable[[Codec, tuple[int, ...]], Sequence[CutCalibration]], cuts: tuple[int, ...]
) -> list[CutCalibration]:
    """What `measure` finds of a codec at some cuts, for all codecs worth trying there, most bits first."""
    found: list[CutCalibration] = []
    left = cuts
    for codec in LOSSINESS[1:]:
        if not left:
            break
        here = measure(codec, left)
        found += here
        left = tuple(each.cut for each in here if not _is_hopeless(each))
    return found


def _is_hopeless(each: CutCalibration) -> bool:
    """Too few frames that can tell are no reason to stop."""
    return each.agreement_ratio is not None and each.agreement_ratio < HOPELESS_RATIO
