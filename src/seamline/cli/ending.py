"""How the process of a command ends: Ctrl-C, SIGTERM or the end of its terminal at any moment, or its last line.

Theory of operation. Nothing is open while the modules of the command line are read, so a signal then ends the process
at once. Later the first signal is raised as an exception in the main thread and leaves every `with` and `finally`; a
second one is only answered, since it would break that off half-way; the third ends the process at once.

The main thread may be inside a library and see no signal for seconds, or a library may swallow the exception. So a
thread of its own hears of signals too, through the interpreter's wake-up pipe, and ends the process `END_WITHIN_S`
after the first. Exit codes are 130, 143 and 129.

The interpreter is never taken down: threads inside ONNX Runtime that come back to it then abort the process. What is
registered with `atexit` is run, the streams are flushed, and the process leaves.

Only light modules may be imported here.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from select import select
from types import FrameType
from typing import NoReturn

END_WITHIN_S = 1.9
"""After the first signal; closing usually takes a tenth of that."""

SAVE_WITHIN_S = 6.0
"""The same where a file would stay half-written; whoever writes it hurries, and needs this on a busy machine only."""

N_AT_ONCE = 3
"""So many signals end the process at once."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_first_signal = 0
_limit_s = END_WITHIN_S
_watching: threading.Thread | None = None


def ended_by() -> int:
    """The first signal that asked this process to end; 0 while none has."""
    return _first_signal


def end_at_once() -> None:
    """From now on a signal ends the process at once. Use it in the main thread, first of all."""
    _watch_signals()
    _handle_signals(_leave_at_once)


def end_tidily() -> None:
    """From now on the first signal is raised in the main thread. Use it there."""
    _watch_signals()
    sys.unraisablehook = _quiet_unraisable
    threading.excepthook = _quiet_in_threads
    n_signals = 0

    def end(number: int, frame: FrameType | None) -> None:
        global _first_signal
        nonlocal n_signals
        n_signals += 1
        if n_signals > 1:
            return
        _first_signal = number
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    _handle_signals(end)


def take_time() -> None:
    """Answers are being saved: a machine that is too busy for `END_WITHIN_S` gets `SAVE_WITHIN_S`."""
    global _limit_s
    _limit_s = SAVE_WITHIN_S


def leave(exit_code: int) -> NoReturn:
    """End the process with `exit_code`, or with the code of the signal that came. Use it in the main thread."""
    end_at_once()
    with suppress(Exception):  # they have said on stderr what went wrong
        atexit._run_exitfuncs()
    exit_code = exit_code if not _first_signal else 128 + _first_signal
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            pass  # whoever read it has seen enough
        except (OSError, ValueError) as error:
            _say(f"error: the output could not be written: {error}")
            exit_code = exit_code or 1
    os._exit(exit_code)


def _leave_at_once(number: int, frame: FrameType | None) -> None:
    _give_up_and_exit(number)


def _handle_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # ignored under nohup
            signal.signal(number, handler)


def _say(words: str) -> None:
    """A line on stderr, past its buffer; the terminal may be gone."""
    with suppress(OSError):
        os.write(2, f"{words}\n".encode())


def _watch_signals() -> None:
    """Have the first signal noted and its limit kept, whatever the main thread does; once per process."""
    global _watching
    if _watching is not None:
        return
    receiver, sender = os.pipe()
    os.set_blocking(sender, False)
    signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
    _watching = threading.Thread(target=_keep_limit, args=(receiver,), name="ending", daemon=True)
    _watching.start()


def _keep_limit(receiver: int) -> None:
    global _first_signal
    while (number := os.read(receiver, 1)[0]) not in SIGNALS:
        pass
    _first_signal = number
    begun_s, n_signals = time.monotonic(), 1
    while n_signals < N_AT_ONCE and (left_s := begun_s + _limit_s - time.monotonic()) > 0.0:
        if not select([receiver], (), (), left_s)[0]:
            continue
        n_signals += sum(other in SIGNALS for other in os.read(receiver, 64))
        if n_signals == 2:
            _say("ending; once more ends it at once")
    _give_up_and_exit(number)


def _give_up_and_exit(number: int) -> NoReturn:
    """End the process now, and with it what its other modules have registered as not to be left."""
    if (last_resort := sys.modules.get("seamline.config.last_resort")) is not None:
        last_resort.give_up_all()
    os._exit(128 + number)


def _quiet_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """An exception that a signal raised where none can pass is nobody's to read; the limit ends the process."""
    if not isinstance(unraisable.exc_value, KeyboardInterrupt | SystemExit):
        sys.__unraisablehook__(unraisable)


def _quiet_in_threads(failed: threading.ExceptHookArgs) -> None:
    """What threads stumble over while the process ends is no news."""
    if not _first_signal:
        threading.__excepthook__(failed)
