"""Runs one neural network across several machines and moves the cut while frames flow.

    with seamline.connect("tcp/fog.local:7447") as cluster:
        stream = cluster.stream("model.onnx", over=["edge", "fog"], objective="latency")
        for result in stream.run(seamline.open_source("video.mp4")):
            print(result.frame, result.plan, result.latency_s)

The names below are loaded on first use, so that the command line starts quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seamline.core.errors import SeamlineError
    from seamline.core.values import Plan
    from seamline.runtime.answers import Result
    from seamline.runtime.cluster import Cluster, connect
    from seamline.runtime.frames import open_source
    from seamline.runtime.streaming import Stream

__version__ = "0.1.0"
__all__ = ["connect", "open_source", "Cluster", "Stream", "Result", "Plan", "SeamlineError", "__version__"]

_HOMES = {
    "connect": "runtime.cluster", "Cluster": "runtime.cluster", "open_source": "runtime.frames",
    "Stream": "runtime.streaming", "Result": "runtime.stream", "Plan": "core.values", "SeamlineError": "core.errors",
}  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module `seamline` has no attribute `{name}`")
    return getattr(import_module(f"seamline.{_HOMES[name]}"), name)
