"""A server in front of a stream that is cut between two nodes, in one process."""

from __future__ import annotations

import gc
import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import numpy as np
import pytest

from seamline.core.vocabulary.plans import Plan
from seamline.model import OrtEngine
from seamline.runtime.api.request_queue import RequestQueue
from seamline.runtime.identity.web_address import WebAddress


class Service:
    """A server of one model, `tiny`. expected: what the whole model says in plain ONNX Runtime."""

    def __init__(self, bench, model_file, wait_until, *, most_waiting: int = 64, timeout_s: float = 20.0) -> None:
        from seamline.serving.served import Served, ServedModel
        from seamline.serving.server import Server

        bench.model = bench.origin_store.add(model_file)
        self.wait_until = wait_until
        self.node = bench.start("edge")
        bench.start("cloud")
        bench.link("edge", "cloud", 1e9)
        last = len(bench.model.cuts) - 1
        self.plan = Plan.parse(f"edge[0:{last // 2}]lossless > cloud[{last // 2}:{last}]")
        self.stream = bench.stream(policy=str(self.plan))
        self.queue = RequestQueue(self.stream, most_waiting=most_waiting)
        loopback = WebAddress(host="127.0.0.1", port=0)
        self.served = Served([ServedModel("tiny", self.queue)], timeout_s=timeout_s)
        self.server = Server(self.served, http=loopback, grpc=loopback)
        self.address = self.server.http_url.removeprefix("http://")
        self._whole = OrtEngine(bench.origin_store, 1).prepare(bench.model.model_id, bench.model.whole)

    def expected(self, image: np.ndarray) -> np.ndarray:
        return self._whole.run({"image": image})["scores"]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within it the stream has no room for a frame."""
        go_on, frames = threading.Event(), self.stream.frames
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(frames, "wait_room", go_on.wait)
            try:
                yield
            finally:
                go_on.set()

    def fill(self, image: np.ndarray) -> list[Future]:
        """Two requests that wait, as long as `held` lasts."""
        return [self.queue.submit({"image": image}, 20.0) for _ in range(2)]

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict, dict]:
        """(status, JSON, headers) of one request."""
        connection = http.client.HTTPConnection(self.address, timeout=20)
        try:
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), dict(answer.headers)
        finally:
            connection.close()

    def infer(self, image: np.ndarray, **parameters: object) -> tuple[int, dict, dict]:
        """The same for one inference, all of it JSON."""
        tensor = {"name": "image", "shape": image.shape, "datatype": "FP32", "data": image.ravel().tolist()}
        return self.ask("POST", "/v2/models/tiny/infer", {"inputs": [tensor], "parameters": parameters})


@pytest.fixture
def service(bench, model_file, wait_until) -> Iterator[Service]:
    service = Service(bench, model_file, wait_until)
    try:
        yield service
    finally:
        service.server.close()
        gc.collect()  # the poller of grpc.aio lives as long as any of its objects, and a traceback may hold one


@pytest.fixture
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(11)
    return [rng.standard_normal((1, 3, 32, 32)).astype(np.float32) for _ in range(24)]
