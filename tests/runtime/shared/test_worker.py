"""Background work: results and errors come back, and an end does not wait for what has not begun."""

from __future__ import annotations

import threading

import pytest

from seamline.core.vocabulary.errors import ModelError, PeerLost
from seamline.runtime.shared.worker import Worker


def test_results_and_errors_settle_their_futures():
    worker = Worker("test")

    def fail() -> None:
        raise ModelError("no")

    assert worker.submit(lambda a, b: a + b, 1, 2).result(timeout=5) == 3
    with pytest.raises(ModelError):
        worker.submit(fail).result(timeout=5)
    worker.close()


def test_what_has_not_begun_is_answered_when_it_closes():
    worker = Worker("test")
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> str:
        begun.set()
        go_on.wait(5)
        return "done"

    running, waiting = worker.submit(hold), worker.submit(hold)
    assert begun.wait(5)
    worker.close(timeout_s=0.0)
    go_on.set()
    assert running.result(timeout=5) == "done"
    with pytest.raises(PeerLost):
        waiting.result(timeout=5)


def test_what_is_asked_after_the_end_is_answered_too():
    worker = Worker("test")
    worker.close()
    with pytest.raises(PeerLost):
        worker.submit(lambda: 1).result(timeout=5)
