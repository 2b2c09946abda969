"""Ctrl-C and SIGTERM at random moments, by seed: 130 or 143, no abort and no traceback, whatever goes on inside."""

from __future__ import annotations

import random
import signal
import sys
import time

import pytest

LATEST_S = 2.5
COMMANDS = {
    "run": ("run", "{model}", "--source", "{video}", "--loop", "--over", "edge", "--json"),
    "node": ("node", "--name", "fog", "--listen", "tcp/127.0.0.1:0", "--json"),
    "profile": ("profile", "{model}", "--budget", "60", "--json"),
    "verify": ("verify", "{model}", "--cuts", "all", "--json"),
    "demo": ("demo", "--model", "{model}", "--seconds", "60", "--json"),
}
HANGING = """
import time
from seamline.model.engine.runnable import CheckedSegment
def hang(self, tensors):
    open("hung", "w").close()
    while True: time.sleep(60)
CheckedSegment.run = hang
from seamline.__main__ import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_at_any_moment_ends_a_command_with_its_code(system, tmp_path, command, number):
    """The moment falls into imports, the first profile, frames or closing, as the machine's speed has it."""
    words = [word.format(model=system.model, video=system.video) for word in COMMANDS[command]]
    process = system.start(*words, SEAMLINE_CACHE=str(tmp_path / "fresh"))
    moment_s = random.Random(f"{command} {number}").uniform(0.3, LATEST_S)
    while process.popen.poll() is None and moment_s > 0.0:
        time.sleep(0.05)
        moment_s -= 0.05
    has_ended = process.popen.poll() is not None
    process.popen.send_signal(number)
    assert process.wait() == (0 if has_ended else 128 + number)
    assert "Traceback" not in process.stderr
    assert "terminate" not in process.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["run", "profile", "verify"])
def test_a_command_whose_computing_hangs_ends_all_the_same(system, tmp_path, command, number):
    words = [word.format(model=system.model, video=system.video) for word in COMMANDS[command]]
    process = system.start(*words, program=(sys.executable, "-c", HANGING), SEAMLINE_CACHE=str(tmp_path / "fresh"))
    process.wait_until(lambda process: (tmp_path / "hung").exists())
    process.popen.send_signal(number)
    assert process.wait() == 128 + number
    assert "Traceback" not in process.stderr
