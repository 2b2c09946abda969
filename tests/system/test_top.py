"""A run of another process: `seamline top` as JSON and in 80x24 with its keys, and the page of its cluster."""

from __future__ import annotations

import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl
from urllib.request import urlopen

LIMIT_S = 60.0


def test_a_run_of_another_process_is_seen_and_judged_by_another_objective(system, port):
    system.node("fog", port)
    run = system.run("--events", "--seconds", "60", over="edge,fog", port=port)
    run.wait_until(lambda process: any(event["event"] == "started" for event in process.events))
    where = ("--connect", f"tcp/127.0.0.1:{port}", "--cluster", system.cluster)
    once = system.start("top", "--json", *where)
    assert once.wait() == 0, once.stderr
    seen = once.json
    assert {node["name"] for node in seen["nodes"]} == {"edge", "fog"}
    (stream,) = seen["streams"]
    assert stream["name"].startswith("edge-")
    assert stream["plan"]
    assert stream["decision"]
    page = system.start("dashboard", "--json", "--at", "0", *where)
    page.wait_until(lambda process: bool(process.events))
    with urlopen(f"{page.events[0]['url']}api/state") as answer:
        shown = json.load(answer)
    assert [(row["name"], row["origin"]) for row in shown["streams"]] == [(stream["name"], "edge")]
    page.popen.send_signal(signal.SIGINT)
    assert page.wait() == 130
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "seamline", "top", *where]
    top = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm"})
    os.close(slave)
    try:
        read_until(master, "> edge-")
        os.write(master, b"o")
        read_until(master, "objective throughput")
        os.write(master, b"q")
        assert top.wait(LIMIT_S) == 0
    finally:
        top.kill()
        top.wait()
        os.close(master)


def read_until(master: int, words: str) -> None:
    seen, until_s = "", time.monotonic() + LIMIT_S
    while words not in seen:
        assert time.monotonic() < until_s, seen[-2000:]
        seen += os.read(master, 4096).decode("utf-8", "replace")
