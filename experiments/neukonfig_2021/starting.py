"""What the time of a new pipeline is made of: process, Python, libraries, model, container. Why B1 takes so much.

Each step is timed by itself, one after the other on an otherwise idle machine; in a switch, edge and cloud do them at
the same time, beside the frames.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.neukonfig_2021.conditions import CUTS
from seamline.core.vocabulary.plans import Segment
from seamline.model import ModelStore
from seamline.model.locate import resolve_model
from seamline.runtime.segments.containers import SOCKETS_PREFIX, ContainerEngine, container_command, container_kind
from seamline.runtime.segments.private_weights import PrivateWeightsEngine

LIBRARIES = "import seamline.runtime.segments.segment_server, seamline.runtime.segments.private_weights"


def starting(model: str, n: int) -> dict[str, Any]:
    """Medians of `n`, seconds, for the part of `model` that the cloud holds at 20 Mbit/s."""
    store = ModelStore()
    stored = store.add(resolve_model(model))
    part = Segment(CUTS[model][0], stored.cuts[-1].index)
    kind = container_kind()
    ordinary, containers = PrivateWeightsEngine(store, 1), ContainerEngine(store, 1)
    found: dict[str, Any] = {
        "model": model,
        "container": kind,
        "n": n,
        "python_s": _median(n, lambda: _run(sys.executable, "-c", "pass")),
        "libraries_s": _median(n, lambda: _run(sys.executable, "-c", LIBRARIES)),
        "load_s": _median(n, lambda: ordinary.prepare(stored.model_id, part)),
        "whole_s": _median(n, lambda: containers.prepare(stored.model_id, part).close()),
    }
    if kind != "process":
        with tempfile.TemporaryDirectory(prefix=SOCKETS_PREFIX) as folder:
            words = container_command(kind, Path(folder))
            found["container_s"] = _median(n, lambda: _run(*words, "-c", "pass"))
    return found


def _median(n: int, work: Callable[[], object]) -> float:
    """The first time is not counted: it fills the system's caches."""
    work()
    taken = []
    for _ in range(n):
        began_s = time.monotonic()
        work()
        taken.append(time.monotonic() - began_s)
    return statistics.median(taken)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
