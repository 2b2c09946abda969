"""What a calibration allows, and what people may ask for."""

from __future__ import annotations

import pytest

from seamline.core.vocabulary.calibration import MIN_FRAMES, CutCalibration, limits_named
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.plans import DEFAULT_CODECS, Codec


def measured(cut: int, codec: Codec, change: float, *, n: int = MIN_FRAMES, **more: int) -> CutCalibration:
    return CutCalibration(cut=cut, codec=codec, n_frames=n, max_change_ratio=change, **more)


KNOWN = (
    measured(1, Codec.F16, 0.001), measured(1, Codec.U8, 0.03), measured(2, Codec.F16, 0.002, n_changed=0),
    measured(3, Codec.F16, 0.0005, n=MIN_FRAMES - 1), measured(4, Codec.F16, 0.0005, n_changed=1),
    measured(5, Codec.U8, 0.0005, n_refused=1),
)  # fmt: skip


def test_a_limit_allows_what_loses_less_and_frames_as_jpeg() -> None:
    assert limits_named("lossless").codecs == DEFAULT_CODECS == (Codec.RAW, Codec.LOSSLESS, Codec.JPEG)
    assert limits_named("f16").codecs == (Codec.RAW, Codec.LOSSLESS, Codec.F16, Codec.JPEG)
    assert limits_named("u8").codecs == (Codec.RAW, Codec.LOSSLESS, Codec.F16, Codec.U8, Codec.JPEG)
    assert limits_named("q2").codecs == tuple(Codec)


def test_without_a_calibration_nothing_is_lost() -> None:
    assert limits_named("calibrated") == limits_named("lossless")


def test_a_codec_is_allowed_at_the_cuts_where_answers_hardly_changed() -> None:
    limits = limits_named("calibrated", KNOWN, Constraints(n_private_cuts=2))
    assert limits.n_private_cuts == 2
    assert limits.lossy == ((1, Codec.F16), (2, Codec.F16))
    assert Codec.U8 not in limits.codecs
    assert limits.may_lose(1, Codec.F16)
    assert not limits.may_lose(3, Codec.F16)
    assert limits.may_lose(3, Codec.LOSSLESS)
    wider = limits_named("calibrated=0.05", KNOWN)
    assert wider.lossy == ((1, Codec.F16), (1, Codec.U8), (2, Codec.F16))
    assert limits_named("calibrated=0.001", KNOWN).lossy == ((1, Codec.F16),)


def test_what_a_user_allows_himself_needs_no_calibration() -> None:
    assert limits_named("u8", KNOWN).lossy is None


@pytest.mark.parametrize("text", ["jpeg", "raw", "f", *(f"calibrated={end}" for end in ("", "much", "2", "nan"))])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a limit for --codecs") as refused:
        limits_named(text)
    assert "lossless, f16, u8, q6, q5, q4, q3, q2, calibrated" in str(refused.value.hint)


def agreeing(cut: int, codec: Codec, ratio: float | None, error: float = 0.0, **more: int) -> CutCalibration:
    counts = {"n_frames": MIN_FRAMES, "n_changed": 3, **more}
    return CutCalibration(
        cut=cut, codec=codec, max_change_ratio=0.5, agreement_ratio=ratio, agreement_error_ratio=error, **counts
    )


def test_agreement_stands_in_for_the_limit_of_change() -> None:
    known = (
        agreeing(1, Codec.U8, 1.0),
        agreeing(1, Codec.Q4, 0.98),
        agreeing(1, Codec.Q3, 0.99, 0.02),  # within its error it may be 0.97
        agreeing(2, Codec.Q4, None),  # no frame that could tell
        agreeing(3, Codec.Q4, 1.0, n_refused=1),
        agreeing(4, Codec.Q4, 1.0, n_frames=MIN_FRAMES - 1),
    )
    assert limits_named("calibrated", known) == limits_named("lossless"), "answers changed by half"
    limits = limits_named("calibrated", known, min_agreement=0.98)
    assert limits.lossy == ((1, Codec.U8), (1, Codec.Q4))
    assert Codec.Q4 in limits.codecs
    assert Codec.Q3 not in limits.codecs
    assert limits_named("u8", known, min_agreement=0.98).lossy == ((1, Codec.U8),), "what is named is the most"
    assert limits_named("lossless", known, min_agreement=0.98) == limits_named("lossless")
    assert limits_named("q2", (), min_agreement=0.5) == limits_named("lossless"), "nothing was calibrated"
    with pytest.raises(UsageError, match="no share of answers"):
        limits_named("calibrated", known, min_agreement=1.2)
