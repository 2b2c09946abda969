"""Seamline's origin, through the public Python API. The other side is ``seamline node``, started as a user would."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import numpy as np

import seamline
from seamline.model.locate import load_model


class Stream:
    """A stream of this process and node `cloud` at `endpoint`; of this process alone where that is empty.

    policy: as `Cluster.stream` has it, often a plan to hold. codecs: likewise.
    """

    def __init__(self, endpoint: str, cluster: str, model: str, policy: str, codecs: str) -> None:
        endpoints, others = ((endpoint,), ("cloud",)) if endpoint else ((), ())
        self._cluster = seamline.connect(*endpoints, name="edge", n_threads=1, cluster=cluster, relay=False)
        try:
            self._cluster.wait_nodes(others)
            _, stored = load_model(model)
            self._stream = self._cluster.stream(
                stored, over=["edge", *others], policy=policy, codecs=codecs, profile_budget_s=1.0
            )
        except BaseException:
            self._cluster.close()
            raise

    @property
    def plan(self) -> str:
        return str(self._stream.plan)

    def answers(self, frames: Iterable[np.ndarray], n_in_flight: int) -> Iterator[list[np.ndarray]]:
        """At most `n_in_flight` frames are under way, fewer where the stream's own pipeline depth says so."""
        room = threading.Semaphore(n_in_flight)

        for result in self._stream.run(_taken(frames, room), live=False):
            if result.error is not None or result.n_attempts != 1:
                raise SystemExit(f"frame {result.frame}: {result.n_attempts} attempts, {result.error}")
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
