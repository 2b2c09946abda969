"""Child of `bench_peers.py`: one side of one contestant, in a process of its own.

    python play.py serve MODULE WORD...                    runs ``MODULE.serve(WORD...)`` until it is ended
    python play.py play MODULE.CLASS FRAME.npy WORD...     plays what lines on stdin ask for, and says what it took

It ends with its standard input, whatever it is doing: that is, with its parent.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np

CLOSING_S = 30.0


def main(task: str, what: str, *words: str) -> None:
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    if task == "serve":
        threading.Thread(target=follow, args=(lines, 0.0), daemon=True).start()
        importlib.import_module(what).serve(*words, on_ready=lambda: say({"event": "ready"}))
        return
    threading.Thread(target=follow, args=(lines, CLOSING_S), daemon=True).start()
    module, _, name = what.partition(".")
    frame = np.load(words[0])
    with closing(getattr(importlib.import_module(module), name)(*words[1:])) as pipeline:
        say({"event": "ready"})
        while (line := lines.get()) is not None:
            say(measured(pipeline, frame, **json.loads(line)))


def follow(lines: queue.SimpleQueue[str | None], closing_s: float) -> None:
    """Hand on the lines of standard input; `closing_s` after its end this process is over."""
    for line in sys.stdin:
        lines.put(line)
    lines.put(None)
    time.sleep(closing_s)
    os._exit(1)


def say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


def measured(pipeline: Any, frame: np.ndarray, n_frames: int, n_in_flight: int) -> dict[str, Any]:
    """Latency from a frame's being asked for to its answer, and when answers came; the best class and its score."""
    shown_s: list[float] = []
    answered_s: list[float] = []

    def frames() -> Iterator[np.ndarray]:
        for _ in range(n_frames):
            shown_s.append(time.perf_counter())
            yield frame

    outputs: Any = None
    for answer in pipeline.answers(frames(), n_in_flight):
        answered_s.append(time.perf_counter())
        outputs = answer
    scores = np.frombuffer(outputs[0], np.float32)
    return {
        "latency_s": [there - here for here, there in zip(shown_s, answered_s, strict=True)],
        "answered_s": [at_s - shown_s[0] for at_s in answered_s],
        "answer": [int(scores.argmax()), float(scores.max())],
        "plans": dict(getattr(pipeline, "plans", {})),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
