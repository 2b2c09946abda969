"""Peers refused by mutual TLS, in words on stderr: Zenoh tells of them only in its log, and writes that to stdout."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from seamline.core.vocabulary.complaints import Complaints, quoted, with_unsaid

_SIGNS = (
    ("certificate expired", "its certificate has expired"),
    ("not valid yet", "its certificate is not valid yet"),
    ("BadSignature", "its certificate is of another authority"),
    ("UnknownIssuer", "its certificate is of another authority"),
    ("no certificates", "it showed no certificate"),
    ("fatal alert", "it does not take this node for one of its cluster"),
    ("InvalidContentType", "it speaks no TLS"),
    ("corrupt message", "it speaks no TLS"),
)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@contextmanager
def saying_refusals(say: Callable[[str], None]) -> Iterator[None]:
    """Within it, `say` gets a line about peers that TLS refused, few of a kind; stdout stays what it was.

    Zenoh's lines are caught where it writes them, at file descriptor 1; ours go to a copy of it. Where stdout is
    something else already, nothing is done.
    """
    if not _is_descriptor_one():
        yield
        return
    import zenoh

    sys.stdout.flush()
    before, copy = sys.stdout, os.dup(1)
    reading, writing = os.pipe()
    os.dup2(writing, 1)
    os.close(writing)
    thread = threading.Thread(target=_read, args=(reading, say), name="refusals", daemon=True)
    thread.start()
    try:
        sys.stdout = open(copy, "w", encoding=before.encoding, buffering=1)  # noqa: SIM115 # closed below
        zenoh.init_log_from_env_or("zenoh_link_tls=warn")
        yield
    finally:
        sys.stdout.flush()
        os.dup2(copy, 1)
        sys.stdout.close()
        sys.stdout = before
        thread.join(timeout=2.0)


def words_of(line: str) -> str | None:
    """What a line of Zenoh's log says of a peer that TLS refused; None when it is about something else."""
    if "zenoh_link_tls::unicast" not in line:
        return None
    fact = _ANSI.sub("", line).partition("zenoh_link_tls::unicast:")[2].partition(". Hint:")[0].strip()
    return next((words for sign, words in _SIGNS if sign in fact), quoted(fact, 120))


def _read(descriptor: int, say: Callable[[str], None]) -> None:
    complaints = Complaints()
    with open(descriptor, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            words = words_of(line)
            if words is None:
                continue
            if (n_unsaid := complaints.due(words, time.monotonic())) is not None:
                say(with_unsaid(f"refused a peer: {words}", n_unsaid))


def _is_descriptor_one() -> bool:
    try:
        return sys.stdout.fileno() == 1
    except (OSError, ValueError, AttributeError):
        return False
