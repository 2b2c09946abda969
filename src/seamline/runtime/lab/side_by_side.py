"""Policies side by side: each in a testbed of its own, all in the same scenario at the same time, on the same frames.

Every policy has its own nodes and links, which differ in nothing. An imitated machine waits for most of its time, so
one computer holds them all. Frames and changes begin when the last of the policies is ready.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

from seamline.runtime.lab.scenario import Scenario, ScenarioEvent, TestbedRun
from seamline.testbed.processes import terminating_as_exception

READY_TIMEOUT_S = 300.0
SETTLE_S = 2.0
"""Between the last that is ready and the first frame: nodes still write what they have compiled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A policy in its scenario. policy, n_private_cuts: as for `seamline run`."""

    scenario: Scenario
    policy: str
    n_private_cuts: int


class SideBySide:
    """The machines and links of all `contenders`, as long as it is open. Use it as a context manager."""

    def __init__(self, contenders: Mapping[str, Contender]) -> None:
        self._contenders = contenders
        self._runs = {key: TestbedRun(contender.scenario) for key, contender in contenders.items()}
        self._open = ExitStack()

    def __enter__(self) -> SideBySide:
        self._open.enter_context(terminating_as_exception())
        try:
            with ThreadPoolExecutor(len(self._runs)) as pool:
                for entered in [pool.submit(self._enter, run) for run in self._runs.values()]:
                    entered.result()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def events(self) -> Iterator[tuple[str, ScenarioEvent]]:
        """What the policies tell, by key, in the order in which it comes, until the last has ended.

        Raises `SeamlineError` with the words of the first that fails.
        """
        told: queue.SimpleQueue[tuple[str, ScenarioEvent | BaseException | None]] = queue.SimpleQueue()
        gate = threading.Barrier(len(self._runs))

        def follow(key: str) -> None:
            try:
                for event in self._events_of(key, gate):
                    told.put((key, event))
                told.put((key, None))
            except BaseException as error:  # whoever reads is to see it, whatever it is
                gate.abort()
                told.put((key, error))

        for key in self._runs:
            threading.Thread(target=follow, args=(key,), name=f"follow-{key}", daemon=True).start()
        n_left = len(self._runs)
        while n_left:
            key, event = told.get()
            if isinstance(event, BaseException):
                raise event
            if event is None:
                n_left -= 1
            else:
                yield key, event

    def _enter(self, run: TestbedRun) -> None:
        run.__enter__()
        self._open.push(run)

    def _events_of(self, key: str, gate: threading.Barrier) -> Iterator[ScenarioEvent]:
        contender = self._contenders[key]

        def wait_to_begin() -> None:
            gate.wait(READY_TIMEOUT_S)
            time.sleep(SETTLE_S)

        return self._runs[key].events(
            contender.policy,
            n_private_cuts=contender.n_private_cuts,
            wait_to_begin=wait_to_begin,
        )
