"""Background work: results and errors come back, and an end does not wait for what has not begun."""

from __future__ import annotations

import threading

import pytest

from seamline.core.vocabulary.errors import FabricError, ModelError, PeerLost
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


def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)


def test_a_worker_that_found_no_memory_for_its_thread_says_so_and_works_when_there_is(monkeypatch):
    worker = Worker("test")
    with monkeypatch.context() as short:
        without_threads(short)
        with pytest.raises(FabricError, match="`test` cannot work: can't start new thread"):
            worker.submit(int).result(timeout=5)
    assert worker.submit(int).result(timeout=5) == 0
    worker.close()


def test_a_worker_with_one_thread_goes_on_with_it_where_there_is_no_memory_for_a_second(monkeypatch):
    worker, go_on = Worker("test", n_threads=2), threading.Event()
    first = worker.submit(go_on.wait, 5)
    without_threads(monkeypatch)
    second = worker.submit(int)
    go_on.set()
    assert (first.result(timeout=5), second.result(timeout=5)) == (True, 0)
    worker.close()
