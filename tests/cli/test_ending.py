"""How the process of a command ends: by a signal at any moment, and past threads that never end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HEARS_ALL = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
"""The suite itself may run under nohup, whose children ignore it."""

STARTING = """
import sys, time, types
slow = types.ModuleType("seamline.cli.main")
slow.__getattr__ = lambda name: (print("starting", flush=True), time.sleep(60))
sys.modules["seamline.cli.main"] = slow
from seamline.__main__ import main
main()
"""
RUNNING = """
import sys, threading, time
import seamline.cli.main as cli
def run(argv):
    WORK
    return 0
cli.run = run
from seamline.__main__ import main
main()
"""
TIDY = """
    try:
        print("running", flush=True)
        time.sleep(60)
    finally:
        print("closed", flush=True)
"""
STUBBORN = """
    print("running", flush=True)
    while True:
        try: time.sleep(60)
        except BaseException: pass
"""
ABANDONED = "print('running', flush=True); threading.Thread(target=time.sleep, args=(60,)).start()"


def started(code: str, first_line: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", HEARS_ALL + code]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == first_line
    return process


def rest_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What else it writes to stdout and stderr, until its end; `communicate` misses what was read ahead."""
    assert process.stdout is not None
    assert process.stderr is not None
    process.wait(timeout=60)
    with process.stdout as out, process.stderr as err:
        return out.read(), err.read()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_command_that_is_still_starting_ends_at_once_without_a_word(number):
    process = started(STARTING, "starting\n")
    process.send_signal(number)
    assert rest_of(process) == ("", "")
    assert process.returncode == 128 + number


@pytest.mark.parametrize("number", SIGNALS)
def test_a_command_that_runs_closes_what_it_opened(number):
    process = started(RUNNING.replace("WORK", TIDY), "running\n")
    process.send_signal(number)
    assert rest_of(process) == ("closed\n", "")
    assert process.returncode == 128 + number


@pytest.mark.parametrize("number", SIGNALS)
def test_a_command_that_swallows_its_end_ends_all_the_same(number):
    process = started(RUNNING.replace("WORK", STUBBORN), "running\n")
    process.send_signal(number)
    assert rest_of(process) == ("", "")
    assert process.returncode == 128 + number


def test_a_command_under_nohup_outlives_its_terminal():
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    process = started(ignoring + RUNNING.replace("WORK", TIDY), "running\n")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert rest_of(process) == ("closed\n", "")
    assert process.returncode == 143


def test_a_command_that_can_write_nowhere_keeps_its_exit_code():
    words = [sys.executable, "-c", RUNNING.replace("WORK", "import os; os.close(2); print('lost'); return 3")]
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        process = subprocess.run(words, stdout=full, check=False, timeout=60, env=buffered)
    assert process.returncode == 3


def test_a_third_signal_waits_for_nothing():
    process = started(RUNNING.replace("WORK", STUBBORN), "running\n")
    for _ in range(3):
        process.send_signal(signal.SIGINT)
    rest_of(process)
    assert process.returncode == 130


def test_a_thread_that_never_ends_holds_no_command_up():
    process = started(RUNNING.replace("WORK", ABANDONED), "running\n")
    assert rest_of(process) == ("", "")
    assert process.returncode == 0


def test_what_was_printed_is_there_before_the_process_leaves():
    process = started(RUNNING.replace("WORK", "print('running', flush=True); print('last words', end='')"), "running\n")
    assert rest_of(process) == ("last words", "")
