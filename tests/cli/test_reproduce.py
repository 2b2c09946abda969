"""`seamline reproduce`: what is refused before anything is measured, and how it ends before it is through."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

EXPERIMENT = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda number, _: sys.exit(0))
try:
    print("begun", flush=True)
    time.sleep(60)
finally:
    print("its nodes are ended", flush=True)
"""
COMMAND = """
import sys
from pathlib import Path
from seamline.cli.commands.reproduce import _run
from seamline.cli.ending import end_tidily
end_tidily()
_run([sys.executable, "-c", sys.argv[1]], Path("."))
"""


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


def test_an_experiment_ends_tidily_with_the_command_that_started_it():
    words = [sys.executable, "-c", COMMAND, EXPERIMENT]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout.readline() == "begun\n"
        running.send_signal(signal.SIGTERM)
        rest, _ = running.communicate(timeout=30)
    assert rest == "its nodes are ended\n"
    assert running.returncode == 128 + signal.SIGTERM
