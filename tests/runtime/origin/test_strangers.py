"""A stream among peers that answer its frames in another's name: whatever they say, the answers are the model's."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.ports import Lane
from seamline.fabric import messages as msg
from seamline.fabric.wire import pack

FALSE = np.full((1, 10), 666.0, np.float32)


def answer(stream: str, frame: int, attempt: int, generation: int, outputs: dict[str, np.ndarray]) -> bytes:
    header = msg.ResultData(
        stream=stream, frame=frame, attempt=attempt, generation=generation, outputs=tuple(outputs), reports=()
    )
    return bytes(pack(header, list(outputs.values())))


def failure(stream: str, frame: int, attempt: int, generation: int, node: str) -> bytes:
    header = msg.FrameFailed(stream=stream, frame=frame, attempt=attempt, generation=generation, node=node, error="boo")
    return bytes(pack(header))


@pytest.mark.parametrize("liar", ["mallory", "cloud"])
def test_false_answers_and_failures_change_no_answer_of_a_stream(bench, photos, expected, liar):
    """`mallory` is nobody's node; `cloud` takes part, with no stage in the plan."""
    bench.start("edge")
    bench.start("fog")
    stream = bench.stream(policy="local")
    last = len(bench.model.cuts) - 1
    stream.switch(Plan.parse(f"edge[0:4]raw > fog[4:{last}]")).result(timeout=20.0)
    generation = stream.frames.route.generation
    enemy = bench.network.fabric(liar)
    enemy.start(lambda *_: None, lambda *_: None)
    over = threading.Event()

    def lie() -> None:
        frame = 0
        while not over.is_set():
            for attempt in range(2):
                for outputs in ({"scores": FALSE}, {}, {"scores": FALSE[:, :3]}, {"else": FALSE}):
                    said = answer(stream.name, frame, attempt, generation, outputs)
                    enemy.send(bench.nodes["edge"].name, said, Lane.CONTROL)
                for node in (liar, "fog"):
                    said = failure(stream.name, frame, attempt, generation, node)
                    enemy.send(bench.nodes["edge"].name, said, Lane.CONTROL)
            frame = (frame + 1) % 20
            over.wait(0.002)

    thread = threading.Thread(target=lie)
    thread.start()
    try:
        results = list(stream.run(photos[:20], live=False))
    finally:
        over.set()
        thread.join()
    assert [result.error for result in results] == [None] * 20
    assert all(
        np.allclose(result.outputs["scores"], right, atol=1e-4)
        for result, right in zip(results, expected[:20], strict=True)
    )
    assert stream.frames.counts().strange_answers > 0
    assert stream.frames.counts().retried == 0
