"""The server of one segment in a process or container of its own: runs what arrives on its socket.

    python -m seamline.runtime.segments.segment_server SOCKET STORE MODEL_ID START STOP THREADS

It connects to the Unix socket SOCKET, where the node listens (`containers.py`), says that it is ready or why not, and
ends when the node hangs up. One run at a time; a message is its size and then what `fabric.wire` lays out.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from seamline.core.vocabulary.errors import FabricError, ModelError, SeamlineError
from seamline.core.vocabulary.limits import MAX_MESSAGE_BYTES
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import Array
from seamline.fabric import messages as msg
from seamline.fabric.wire import pack, unpack

_SIZE = struct.Struct("<Q")


def serve(path: str, store: Path, model_id: str, segment: Segment, n_threads: int) -> None:
    """Load `segment`, then answer runs until the other side hangs up."""
    from seamline.model import ModelStore
    from seamline.runtime.segments.private_weights import PrivateWeightsEngine

    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        try:
            ready = PrivateWeightsEngine(ModelStore(store), n_threads).prepare(model_id, segment)
        except SeamlineError as error:
            send_failure(connection, str(error))
            return
        send_tensors(connection, {"pid": np.asarray([os.getpid()], dtype=np.int64)})
        with suppress(EOFError, ConnectionError):  # the node has hung up: this segment was released
            while True:
                tensors = receive_tensors(connection)
                try:
                    outputs = ready.run(tensors)
                except SeamlineError as error:
                    send_failure(connection, str(error))
                else:
                    send_tensors(connection, outputs)


def send_tensors(connection: socket.socket, tensors: Mapping[str, Array]) -> None:
    """Send named tensors, every bit kept."""
    header = msg.ResultData(stream="", frame=0, attempt=0, generation=0, outputs=tuple(tensors), reports=())
    _send(connection, pack(header, tuple(tensors.values())))


def send_failure(connection: socket.socket, reason: str) -> None:
    """Say why there are no tensors."""
    _send(connection, pack(msg.FrameFailed(stream="", frame=0, attempt=0, generation=0, node="", error=reason)))


def receive_tensors(connection: socket.socket) -> dict[str, Array]:
    """Receive what `send_tensors` sent. Raises `ModelError` with the reason of `send_failure`, `EOFError` at the end.

    Raises `FabricError` when the bytes are no such message; a size is checked before memory is taken for it.
    """
    (size,) = _SIZE.unpack(_exactly(connection, _SIZE.size))
    if size > MAX_MESSAGE_BYTES:
        raise FabricError(f"a message of {size} bytes exceeds the limit of {MAX_MESSAGE_BYTES}")
    header, tensors = unpack(_exactly(connection, size))
    match header:
        case msg.FrameFailed(error=reason):
            raise ModelError(reason)
        case msg.ResultData(outputs=names) if len(names) == len(tensors):
            return dict(zip(names, tensors, strict=True))
    raise FabricError(f"a {type(header).__name__} is no answer of a segment")


def _send(connection: socket.socket, message: bytes) -> None:
    connection.sendall(_SIZE.pack(len(message)))
    connection.sendall(message)


def _exactly(connection: socket.socket, n_bytes: int) -> bytearray:
    data = bytearray(n_bytes)
    view, at = memoryview(data), 0
    while at < n_bytes:
        received = connection.recv_into(view[at:])
        if not received:
            raise EOFError("the other side has hung up")
        at += received
    return data


if __name__ == "__main__":
    where, store_root, model, start, stop, threads = sys.argv[1:]
    serve(where, Path(store_root), model, Segment(int(start), int(stop)), int(threads))
