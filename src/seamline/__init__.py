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
    from seamline.core.vocabulary.errors import SeamlineError
    from seamline.core.vocabulary.plans import Plan
    from seamline.runtime.api.answers import answers
    from seamline.runtime.api.cluster import Cluster, connect
    from seamline.runtime.api.stream import Stream
    from seamline.runtime.origin.results import Result
    from seamline.runtime.sources.opening import open_source

__version__ = "0.1.0"
__all__ = ["connect", "open_source", "Cluster", "Stream", "Result", "Plan", "SeamlineError", "answers", "__version__"]

_HOMES = {
    "connect": "runtime.api.cluster",
    "Cluster": "runtime.api.cluster",
    "open_source": "runtime.sources.opening",
    "Stream": "runtime.api.stream",
    "answers": "runtime.api.answers",
    "Result": "runtime.origin.results",
    "Plan": "core.vocabulary.plans",
    "SeamlineError": "core.vocabulary.errors",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module `seamline` has no attribute `{name}`")
    return getattr(import_module(f"seamline.{_HOMES[name]}"), name)
