"""A calibration beside its model: kept, completed, and never trusted when it is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from seamline.core.vocabulary.calibration import CutCalibration
from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.plans import Codec
from seamline.model.store.calibration import FILE, calibration_of, keep_calibration, read_calibration

ONE = CutCalibration(cut=3, codec=Codec.F16, n_frames=20, max_change_ratio=0.001, n_changed=0)
OTHER = CutCalibration(cut=1, codec=Codec.U8, n_frames=20, max_change_ratio=0.02, n_refused=1)


def test_it_is_completed_and_renewed(tmp_path: Path) -> None:
    assert read_calibration(tmp_path) == ()
    keep_calibration(tmp_path, [ONE])
    keep_calibration(tmp_path, [OTHER])
    assert read_calibration(tmp_path) == (OTHER, ONE)
    newer = CutCalibration(cut=3, codec=Codec.F16, n_frames=50, max_change_ratio=0.5)
    keep_calibration(tmp_path, [newer])
    assert read_calibration(tmp_path) == (OTHER, newer)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b'{"schema": "seamline.calibration/2", "cuts": []}',
        b'{"schema": "seamline.calibration/1", "cuts": [{"cut": -1, "codec": "f16", "n_frames": 9}]}',
    ],
)
def test_what_is_no_calibration_allows_nothing(text: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(text)
    assert read_calibration(tmp_path) == ()


def test_an_id_that_is_none_is_no_path() -> None:
    assert calibration_of("../../etc") == ()
    assert calibration_of(None) == ()


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be kept"):
        keep_calibration(tmp_path / "gone", [ONE])
