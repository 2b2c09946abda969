"""Orders on a pipe, as a testbed writes them to its processes."""

import os
import threading

import pytest

from seamline.testbed.orders import BEGIN_LINE, orders_from, slowdown_line


def follower() -> threading.Thread:
    return next(thread for thread in threading.enumerate() if thread.name == "orders")


def test_a_slowdown_follows_the_lines_of_a_pipe_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    reading, writing = os.pipe()
    orders = orders_from(reading, 3.0)
    assert orders.pace.factor == 3.0
    following = follower()
    for text in (
        slowdown_line(8.0),
        "slowdown 0.5\n",
        "slowdown nan\n",
        "speed 2\n",
        "x" * 10_000 + "\n",
        "slowdown 5",
    ):
        os.write(writing, text.encode())
    os.close(writing)
    following.join(timeout=10.0)
    os.close(reading)
    assert not following.is_alive(), "it ends with the other side"
    assert orders.pace.factor == 8.0, "half a line is none, and nobody computes faster than this machine"
    assert len(caplog.messages) == 4


def test_frames_begin_when_the_testbed_says_so() -> None:
    reading, writing = os.pipe()
    orders = orders_from(reading, 1.0)
    os.write(writing, slowdown_line(2.0).encode())
    assert not orders.begun.wait(0.05)
    os.write(writing, BEGIN_LINE.encode())
    assert orders.begun.wait(10.0)
    following = follower()
    os.close(writing)
    following.join(timeout=10.0)
    os.close(reading)


def test_who_waits_for_a_testbed_that_is_gone_does_not_wait_for_ever() -> None:
    reading, writing = os.pipe()
    orders = orders_from(reading, 1.0)
    os.close(writing)
    assert orders.begun.wait(10.0)
    os.close(reading)
