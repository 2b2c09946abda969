"""Pipeline of two Ray Serve deployments on this machine: the driver gives frames to the first, that to the second."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import ray
from ray import serve
from stage import Stage

MANY = 1000


@serve.deployment(ray_actor_options={"num_cpus": 1}, max_ongoing_requests=MANY)
class Half:
    """A half of the network, and who takes what it gives."""

    def __init__(self, model: str, onward: Any = None) -> None:
        self._stage, self._onward = Stage(model), onward
        self._thread = ThreadPoolExecutor(1)

    async def __call__(self, tensors: list[np.ndarray]) -> list[np.ndarray]:
        outputs = await asyncio.get_running_loop().run_in_executor(self._thread, self._stage.run, tensors)
        return outputs if self._onward is None else await self._onward.remote(outputs)


class Pipeline:
    def __init__(self, first: str, second: str) -> None:
        os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        serve.start(proxy_location="Disabled")
        halves = Half.options(name="first").bind(first, Half.options(name="second").bind(second))
        self._first = serve.run(halves, name="peers", route_prefix=None)

    def answers(self, frames: Iterable[np.ndarray], n_in_flight: int) -> Iterator[list[np.ndarray]]:
        waiting: deque[Any] = deque()
        for frame in frames:
            waiting.append(self._first.remote([frame]))
            if len(waiting) >= n_in_flight:
                yield waiting.popleft().result()
        for response in waiting:
            yield response.result()

    def close(self) -> None:
        serve.shutdown()
        ray.shutdown()
