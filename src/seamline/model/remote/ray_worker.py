"""What runs on a Ray cluster: an actor with the sessions of segments, over one copy of the weights for each machine.

The files of a model come out of Ray's object store, which moves them to a machine once, and are laid down there once
for all actors, which map them.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import ray

from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import Array, RunnableSegment
from seamline.model.engine.ort import OrtEngine
from seamline.model.store.models import ModelStore

PIECE_BYTES = 1 << 24
Files = Mapping[str, "np.ndarray[Any, np.dtype[np.uint8]]"]


class SegmentWorker:
    """One replica. n_threads: of a run."""

    def __init__(self, n_threads: int) -> None:
        self._store = ModelStore(shared_folder())
        self._engine = OrtEngine(self._store, n_threads)
        self._ready: dict[tuple[str, int, int], RunnableSegment] = {}

    def run(self, model_id: str, start: int, stop: int, files: list[Any], tensors: Mapping[str, Array] | None) -> Any:
        """Outputs of the segment for `tensors`; it is prepared when it is not, and only that where there are none.

        files: a reference to the model's files, in a list so that it is followed only here, and only when needed: an
        actor that was started again has nothing.
        """
        key = model_id, start, stop
        segment = self._ready.get(key)
        if segment is None:
            lay_down(self._store, model_id, files[0])
            segment = self._ready[key] = self._engine.prepare(model_id, Segment(start, stop))
        return None if tensors is None else segment.run(tensors)

    def place(self) -> tuple[str, int]:
        """(machine of the cluster, process)."""
        return ray.get_runtime_context().get_node_id(), os.getpid()


def shared_folder() -> Path:
    """Where the actors of this user on this machine of the cluster keep models, closed to others.

    Raises `PermissionError` where another user was there first, and so could put models there.
    """
    node = ray.get_runtime_context().get_node_id()[:12]
    folder = Path(tempfile.gettempdir()) / f"seamline-ray-{os.getuid()}-{node}"
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    return folder


def lay_down(store: ModelStore, model_id: str, reference: Any) -> None:
    """Write the files of a model into `store`, unless an actor of this machine did. Waits for one that is about to."""
    with (store.root / f"{model_id}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if store.has(model_id):
            return
        files: Files = ray.get(reference)
        incoming = store.receive(model_id, files["manifest"].tobytes())
        try:
            for part, n_bytes in incoming.parts.items():
                for at in range(incoming.n_bytes_present(part), n_bytes, PIECE_BYTES):
                    incoming.write(part, at, files[part][at : at + PIECE_BYTES].tobytes())
            incoming.finish()
        except BaseException:
            incoming.drop()
            raise
