"""A stream beside an intruder without a name of its own: what it sends on every lane, it loses no frame and no answer.

The intruder knows all that can be seen on an open port: names, incarnations, streams, frames and generations.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import zenoh

from seamline.fabric import messages as msg
from seamline.fabric.bulk.chunks import cut
from seamline.fabric.wire import pack, unpack

SPLIT = "edge[0:4]u8 > fog[4:15]"
OWN = "0123456789abcdef"


class Intruder:
    """A raw Zenoh client that listens to everything, and sends in any name."""

    def __init__(self, cluster: str, port: int) -> None:
        config = zenoh.Config()
        config.insert_json5("mode", '"peer"')
        config.insert_json5("connect/endpoints", json.dumps([f"tcp/127.0.0.1:{port}"]))
        config.insert_json5("scouting/multicast/enabled", "false")
        self._root = f"seamline/{cluster}"
        self._session = zenoh.open(config)
        self.runs: dict[str, str] = {}
        self.seen: list[tuple[str, Any]] = []
        self._declared = [
            self._session.liveliness().declare_subscriber(f"{self._root}/*/alive/*", self._on_token, history=True),
            self._session.declare_subscriber(f"{self._root}/*/control/**", self._on_control),
        ]

    def _on_token(self, sample: zenoh.Sample) -> None:
        name, incarnation = str(sample.key_expr).split("/")[2::2]
        self.runs[name] = incarnation

    def _on_control(self, sample: zenoh.Sample) -> None:
        if OWN not in str(sample.key_expr):  # what it sends itself comes back
            header, _ = unpack(sample.payload.to_bytes())
            self.seen.append((str(sample.key_expr).split("/")[2], header))

    def take_name(self, name: str, incarnation: str = OWN) -> None:
        self._declared.append(self._session.liveliness().declare_token(f"{self._root}/{name}/alive/{incarnation}"))

    def send(self, target: str, name: str, payload: bytes, lane: str = "control", incarnation: str = OWN) -> None:
        there = self.runs.get(target, "0")
        self._session.put(f"{self._root}/{target}/{lane}/{name}/{incarnation}/{there}", payload)

    def close(self) -> None:
        for one in self._declared:
            one.undeclare()
        self._session.close()


@contextmanager
def intruding(cluster: str, port: int) -> Iterator[Intruder]:
    made = Intruder(cluster, port)
    try:
        yield made
    finally:
        made.close()


def lies(stream: str, frame: int, generation: int) -> Iterator[bytes]:
    """Messages that would end, replace or fail a frame, move its plan, or make a link what it is not."""
    false = np.full((1, 10), 666.0, np.float32)
    for attempt in range(2):
        common = {"stream": stream, "frame": frame, "attempt": attempt, "generation": generation}
        for outputs in ({"scores": false}, {}, {"scores": false[:, :3]}):
            yield bytes(pack(msg.ResultData(**common, outputs=tuple(outputs), reports=()), list(outputs.values())))
        yield bytes(pack(msg.FrameFailed(**common, node="fog", error="boo", is_input=True)))
        yield bytes(pack(msg.FrameFailed(**common, node="edge", error="boo", lost="fog")))
    yield bytes(pack(msg.Release(stream=stream, generation=-1)))
    link = msg.LinkReport("edge", 60.0, 1.0, 1.0, 9, 0.0, overhead_s=60.0)
    yield bytes(
        pack(
            msg.Status(
                tier="fog", incarnation=OWN, version="1", engine="e", threads=1, n_cores=1, memory_bytes=0,
                free_memory_bytes=0, queue_s=3600.0, models=(), links=(link,),
            )
        )
    )  # fmt: skip
    yield from (bytes(pack(kind(seq=seq))) for kind in (msg.Receipt, msg.Pong) for seq in range(3))
    yield b"garbage"


@pytest.fixture
def running(system, port):
    """A node `fog`, a run of 120 frames over a plan by hand, and the name of its stream as an intruder sees it."""
    fog = system.node("fog", port)
    with intruding(system.cluster, port) as enemy:
        run = system.run("--frames", "120", "--plan", SPLIT, over="edge,fog", port=port)
        run.wait_until(lambda _: any(isinstance(header, msg.ResultData) for _, header in enemy.seen))
        result = next(header for _, header in enemy.seen if isinstance(header, msg.ResultData))
        yield fog, run, enemy, result


def test_a_stream_beside_an_intruder_that_sends_in_every_name_is_as_if_there_was_none(running, assert_nothing_lost):
    fog, run, enemy, result = running
    for name in ("fog", "edge", "mallory"):
        enemy.take_name(name)
    over = threading.Event()

    def lie() -> None:
        number = 0
        while not over.wait(0.05):
            number += 1
            for payload in lies(result.stream, result.frame + number, result.generation):
                for name in ("fog", "edge", "mallory"):
                    for target in ("edge", "fog"):
                        enemy.send(target, name, payload)
            chunk = bytes(next(cut(bytes(64 << 20), 7, number, lambda: 64 * 1024)))
            for number_of_source in range(4):
                enemy.send("fog", f"src{number_of_source}", chunk, "data")

    thread = threading.Thread(target=lie)
    thread.start()
    try:
        assert run.wait() == 0, run.stderr
    finally:
        over.set()
        thread.join()
    assert_nothing_lost(run.json["frames"])
    assert run.json["frames"]["accepted"] > 60  # on a busy machine some are dropped before they are accepted
    assert {event["plan"] for event in run.json["plan_timeline"]} == {SPLIT}
    assert len(run.json["plan_timeline"]) == 1
    assert fog.popen.poll() is None
    for process in (run, fog):
        assert "Traceback" not in process.stderr
        assert len(process.stderr.splitlines()) < 60
        assert all(len(line) < 700 for line in process.stderr.splitlines())
