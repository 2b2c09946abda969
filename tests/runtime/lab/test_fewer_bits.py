"""Codecs are tried from the most bits to the fewest, at each cut until its answers are others."""

from __future__ import annotations

import pytest

from seamline.core.vocabulary.calibration import CutCalibration
from seamline.core.vocabulary.plans import LOSSINESS, Codec
from seamline.runtime.lab.fewer_bits import HOPELESS_RATIO, calibrations

LOSSY_ONES = LOSSINESS[1:]


def found_with(agreement_ratio: float | None) -> dict[int, list[Codec]]:
    """Codecs that were tried at two cuts, where the second one at cut 2 agrees that often, and all else always."""

    def measure(codec: Codec, cuts: tuple[int, ...]) -> list[CutCalibration]:
        is_bad = codec is LOSSY_ONES[1]
        return [
            CutCalibration(
                cut=cut, codec=codec, n_frames=50, max_change_ratio=0.0, n_changed=None,
                agreement_ratio=agreement_ratio if is_bad and cut == 2 else 1.0,
            )
            for cut in cuts
        ]  # fmt: skip

    tried = calibrations(measure, (1, 2))
    return {cut: [each.codec for each in tried if each.cut == cut] for cut in (1, 2)}


@pytest.mark.parametrize("agreement_ratio", [0.0, HOPELESS_RATIO - 0.01])
def test_a_cut_whose_answers_are_others_is_tried_with_no_fewer_bits(agreement_ratio):
    assert found_with(agreement_ratio) == {1: list(LOSSY_ONES), 2: list(LOSSY_ONES[:2])}


@pytest.mark.parametrize("agreement_ratio", [HOPELESS_RATIO, None])
def test_answers_that_agree_or_cannot_tell_end_nothing(agreement_ratio):
    assert found_with(agreement_ratio) == {1: list(LOSSY_ONES), 2: list(LOSSY_ONES)}
