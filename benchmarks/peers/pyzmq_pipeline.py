"""Pipeline of two processes over ZeroMQ: what one writes by hand where the cut never moves. Nothing here is Seamline's.

    python pyzmq_pipeline.py second.onnx tcp://0.0.0.0:5555                               # on the other machine

    for outputs in Pipeline("first.onnx", "tcp://other:5555").answers(frames, n_in_flight=4):
        ...

A message is a frame's number and the raw bytes of each tensor. Answers come in order. ZeroMQ's own thread sends and
receives while the network runs. A lost peer is waited for without end, and its frames are lost.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import onnxruntime as ort
import zmq

DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


def session_of(model: str) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def serve(model: str, address: str, on_ready: Callable[[], None] = lambda: None) -> None:
    """Run `model` on whatever comes, and send its outputs back."""
    session = session_of(model)
    inputs = [(value.name, DTYPES[value.type], value.shape) for value in session.get_inputs()]
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.bind(address)
        on_ready()
        while True:
            number, *parts = socket.recv_multipart(copy=False)
            feeds = {
                name: np.frombuffer(part.buffer, dtype).reshape(shape)
                for (name, dtype, shape), part in zip(inputs, parts, strict=True)
            }
            socket.send_multipart([number, *session.run(None, feeds)], copy=False)


class Pipeline:
    """The first half here, the second at `address`. `answers` yields the bytes of the outputs, frame by frame."""

    def __init__(self, model: str, address: str) -> None:
        self._session = session_of(model)
        self._input = self._session.get_inputs()[0].name
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.connect(address)

    def answers(self, frames: Iterable[np.ndarray], n_in_flight: int) -> Iterator[list[memoryview]]:
        n_sent = n_answered = 0
        for frame in frames:
            tensors = self._session.run(None, {self._input: frame})
            self._socket.send_multipart([n_sent.to_bytes(8, "big"), *tensors], copy=False)
            n_sent += 1
            while n_answered < n_sent and (n_sent - n_answered >= n_in_flight or self._socket.poll(0)):
                yield self._receive()
                n_answered += 1
        for _ in range(n_sent - n_answered):
            yield self._receive()

    def _receive(self) -> list[memoryview]:
        _, *outputs = self._socket.recv_multipart(copy=False)
        return [output.buffer for output in outputs]

    def close(self) -> None:
        self._context.destroy(linger=0)


if __name__ == "__main__":
    serve(*sys.argv[1:])
