"""`seamline reproduce`: what is refused before anything is measured."""

from __future__ import annotations

from pathlib import Path


def test_a_paper_that_is_not_known_is_refused(seamline):
    outcome = seamline("reproduce", "attention-2017")
    assert outcome.exit_code == 2
    assert "hint: one of neukonfig-2021, adaptive-2026" in outcome.stderr


def test_a_folder_that_cannot_be_made_is_refused(seamline, tmp_path: Path):
    (tmp_path / "file").touch()
    outcome = seamline("reproduce", "adaptive-2026", "--quick", "--out", str(tmp_path / "file"))
    assert outcome.exit_code == 2
    assert "cannot be made" in outcome.stderr
    assert outcome.stderr.count("hint:") == 1
