"""Pipeline of two processes over gRPC, with bytes as messages: a call for each frame, or one stream both ways.

Models whose cut crosses one tensor only, as those of the benchmark; several would want a message with fields.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
from stage import Stage

OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


def serve(model: str, address: str, on_ready: Callable[[], None]) -> None:
    """Run `model` on whatever comes, and send its output back."""
    stage = Stage(model)

    def run(request: bytes, context: grpc.ServicerContext) -> bytes:
        return stage.run([request])[0].tobytes()

    def stream(requests: Iterable[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        return (run(request, context) for request in requests)

    methods = {"Run": grpc.unary_unary_rpc_method_handler(run), "Stream": grpc.stream_stream_rpc_method_handler(stream)}
    server = grpc.server(ThreadPoolExecutor(1), options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Second", methods),))
    server.add_insecure_port(address)
    server.start()
    on_ready()
    server.wait_for_termination()


class Unary:
    """A call for each frame."""

    def __init__(self, model: str, address: str) -> None:
        self._stage = Stage(model)
        self._channel = grpc.insecure_channel(address, options=OPTIONS)
        self._run = self._channel.unary_unary("/Second/Run")

    def answers(self, frames: Iterable[np.ndarray], n_in_flight: int) -> Iterator[list[bytes]]:
        waiting: deque[grpc.Future] = deque()
        for frame in frames:
            waiting.append(self._run.future(self._stage.run([frame])[0].tobytes()))
            while waiting and (len(waiting) >= n_in_flight or waiting[0].done()):
                yield [waiting.popleft().result()]
        for call in waiting:
            yield [call.result()]

    def close(self) -> None:
        self._channel.close()


class Streaming:
    """One stream of frames there and of answers back; gRPC's thread runs the first half as it asks for messages."""

    def __init__(self, model: str, address: str) -> None:
        self._stage = Stage(model)
        self._channel = grpc.insecure_channel(address, options=OPTIONS)
        self._stream = self._channel.stream_stream("/Second/Stream")

    def answers(self, frames: Iterable[np.ndarray], n_in_flight: int) -> Iterator[list[bytes]]:
        room = threading.Semaphore(n_in_flight)

        def requests() -> Iterator[bytes]:
            taken = iter(frames)
            while room.acquire():
                try:
                    frame = next(taken)
                except StopIteration:
                    return
                yield self._stage.run([frame])[0].tobytes()

        for answer in self._stream(requests()):
            yield [answer]
            room.release()

    def close(self) -> None:
        self._channel.close()
