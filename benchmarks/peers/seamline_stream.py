"""Seamline's origin, through the public Python API. The other side is ``seamline node``, started as a user would."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

import seamline
from seamline.model.locate import load_model

MANY = 1 << 20


class Streams:
    """A stream for each of `objectives`, over this process and node `cloud` at `endpoint`; over this alone without one.

    The first plays frames that go one at a time, the last those of which several are in flight: as many as the stream's
    own pipeline depth allows. plans: how many frames of the last `answers` followed which.
    """

    def __init__(self, endpoint: str, cluster: str, model: str, policy: str, codecs: str, *objectives: str) -> None:
        endpoints, others = ((endpoint,), ("cloud",)) if endpoint else ((), ())
        self.plans: Counter[str] = Counter()
        self._cluster = seamline.connect(*endpoints, name="edge", n_threads=1, cluster=cluster, relay=False)
        try:
            self._cluster.wait_nodes(others)
            over = ("edge", *others)
            _, stored = load_model(model)
            self._streams = [
                self._cluster.stream(stored, over=over, policy=policy, codecs=codecs, objective=each)
                for each in objectives
            ]
        except BaseException:
            self._cluster.close()
            raise

    def answers(self, frames: Iterable[np.ndarray], n_in_flight: int) -> Iterator[list[np.ndarray]]:
        self.plans.clear()
        is_alone = n_in_flight == 1
        room = threading.Semaphore(1 if is_alone else MANY)
        for result in self._streams[0 if is_alone else -1].run(_taken(frames, room), live=False):
            if result.error is not None:
                raise SystemExit(f"frame {result.frame}: {result.error}")
            self.plans[f"{result.plan}" + " again" * (result.n_attempts - 1)] += 1
            yield list(result.outputs.values())
            room.release()

    def close(self) -> None:
        self._cluster.close()


def _taken(frames: Iterable[np.ndarray], room: threading.Semaphore) -> Iterator[np.ndarray]:
    """`frames`, each taken only when there is room for it."""
    taken = iter(frames)
    while room.acquire():
        try:
            yield next(taken)
        except StopIteration:
            return
