"""Protocols that the outside implements: engines, fabrics, clocks, energy meters.

The core names them and never imports one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.profiles import DTYPE_BYTES, TensorSpec

LEASE_S = 2.0
"""A fabric misses a peer of which nothing was heard for this long, unless it is configured otherwise. A process that
ends is missed at once; frames to a node that is silent do not wait so long (`core.link.silence`)."""

BATCH_BYTES = 65535
"""The most Zenoh takes. A neighbour shows life only with whole batches, and one must cross within the lease: what is
sent at once on a slow link is never as large as this (`fabric/bulk/path.py`). With 32 KiB a frame of 600 kB took 0.6 ms
over loopback and 0.65 ms of processor time, with these 0.5 and 0.54."""

QUEUE_S = 0.015
"""Of a path, that may wait: behind it a control message takes 20 ms both ways at 5 to 50 Mbit/s."""

LEAST_CHUNK_BYTES = 4 * 1024
"""The least that is sent at once, on however slow a link."""

Array = npt.NDArray[Any]
Tensors = Mapping[str, Array]


_DTYPE_NAMES = {np.dtype(name): name for name in DTYPE_BYTES}


def dtype_name(dtype: np.dtype[Any]) -> str:
    """The name of `dtype`, which NumPy itself puts together anew each time."""
    return _DTYPE_NAMES.get(dtype) or dtype.name


class RunnableSegment(Protocol):
    """One segment, ready to run. `run` may be called from any thread, one call at a time."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...

    def run(self, tensors: Tensors) -> dict[str, Array]:
        """Outputs by name, for `tensors` by name. Raises `ModelError` when a shape or dtype does not fit."""
        ...


class Engine(Protocol):
    """Makes segments runnable. One copy of the weights serves all of them."""

    @property
    def name(self) -> str:
        """Name, version and provider unless that is the processor: ``onnxruntime 1.31.1``, ``onnxruntime 1.31.1 cuda``.

        Whatever makes another run of the same segment take another time is in it: profiles are kept by it.
        """
        ...

    @property
    def provider(self) -> str:
        """What computes, by its name in `core.vocabulary.providers`."""
        ...

    @property
    def computes_on_caller(self) -> bool:
        """Whether a run is computed by the thread that calls it alone: its processor time is then what a run takes."""
        ...

    def prepare(self, model_id: str, segment: Segment) -> RunnableSegment:
        """Raises `ModelError` when the model is unknown or the segment does not exist."""
        ...


class Lane(StrEnum):
    """Two ways through a fabric: small urgent messages, and bulk ones in order per target."""

    CONTROL = "control"
    DATA = "data"


Buffer = bytes | bytearray | memoryview
Parts = tuple[Buffer, ...]
"""A message as buffers that follow each other."""

OnMessage = Callable[[NodeId, memoryview], None]
OnPeer = Callable[[NodeId, bool], None]


class Fabric(Protocol):
    """Carries whole messages between named nodes and knows who is alive.

    Callbacks run on the fabric's threads and must only enqueue. A message arrives whole, once, or not at all; on
    `Lane.DATA` in the order sent. A returned `send` proves nothing about arrival: acknowledge end to end.
    """

    @property
    def node(self) -> NodeId: ...

    def start(self, on_message: OnMessage, on_peer: OnPeer) -> None:
        """Begin to receive. `on_peer(node, alive)` is called for those already there, then on every change."""
        ...

    def send(self, target: NodeId, message: Buffer | Parts, lane: Lane) -> None:
        """Hand one message over, whose buffers may be changed afterwards. CONTROL never blocks long; DATA blocks while
        the link is congested.

        Raises `PeerLost` when `target` is not alive, `FabricError` when the message is larger than the limit.
        """
        ...

    def is_free(self, target: NodeId, n_bytes: int) -> bool:
        """Whether `send` of so many bytes on `Lane.DATA` would most likely not have to wait."""
        ...

    def peers(self) -> frozenset[NodeId]:
        """Who is alive now, without this node itself."""
        ...

    def close(self) -> None: ...


class Clock(Protocol):
    """Monotonic seconds. Wall-clock time is for people and never enters a decision."""

    def now_s(self) -> float: ...


class EnergyMeter(Protocol):
    """Counts joules. Readings only grow, and may be taken from any thread."""

    @property
    def source(self) -> str:
        """``measured:rapl`` or ``modelled:raspberry-pi-4``: stands beside every joule that is shown."""
        ...

    @property
    def scope(self) -> str:
        """What the joules are of, e.g. ``processor packages`` or ``whole board``."""
        ...

    def energy_j(self) -> float:
        """Joules since the meter was opened, quick enough for every stage of a frame. Raises `MeterError`."""
        ...

    def close(self) -> None: ...


FrameArray = npt.NDArray[np.uint8]
"""A camera frame at network size: uint8[H, W, 3], RGB."""
