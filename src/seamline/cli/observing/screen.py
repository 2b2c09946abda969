"""Screen of `seamline top`: looks once a second, and turns keys into requests to the origins of streams."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from rich.console import Console
from rich.live import Live

from seamline.cli.observing.keys import DOWN, UP, reading_keys
from seamline.cli.observing.top_view import TopState, choices, top_view
from seamline.runtime.api.observer import StreamObserver, origin_of

INTERVAL_S = 1.0
OBJECTIVES = ("latency", "throughput", "energy")
BY = "in seamline top"


class Screen:
    """What is on the screen and what its keys do. only_looks: why nothing may be changed, empty where it may."""

    def __init__(self, observer: StreamObserver, only_looks: str) -> None:
        self._observer = observer
        self._client = observer.node.client
        self._only_looks = only_looks
        self._chosen = ""
        self._message = only_looks

    def look(self) -> None:
        """Ask all origins; the chosen stream is shown whole, and with what other plans would cost."""
        self._observer.refresh((self._chosen,) if self._chosen else (), with_costs=(self._chosen,))
        if self._chosen not in self._observer.briefs:
            self._chosen = next(iter(self._observer.briefs), "")

    def state(self) -> TopState:
        """What is to be drawn."""
        seen = self._observer
        return TopState(
            statuses=seen.statuses(),
            briefs=seen.briefs,
            states=seen.states,
            chosen=self._chosen,
            message=self._message,
            troubles=seen.troubles,
        )

    def run(self, console: Console) -> None:
        """Until ``q`` or Ctrl-C."""
        self.look()
        next_s = 0.0
        with reading_keys() as wait_key, Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                if time.monotonic() >= next_s:
                    self.look()
                    next_s = time.monotonic() + INTERVAL_S
                live.update(top_view(self.state(), height=console.size.height), refresh=True)
                key = wait_key(max(0.0, next_s - time.monotonic()))
                if key == "q":
                    return
                if key is not None:
                    self.press(key)

    def press(self, key: str) -> None:
        """What a key asks for, if anything; the answer is the message once it has come."""
        if key in (UP, DOWN, "k", "j"):
            self._move(-1 if key in (UP, "k") else 1)
            return
        state = self._observer.states.get(self._chosen)
        brief = self._observer.briefs.get(self._chosen)
        if brief is None or not (key in "pro" or key.isdigit()):
            return
        if self._only_looks:
            self._message = self._only_looks
        elif key == "o":
            known = OBJECTIVES.index(brief.objective) if brief.objective in OBJECTIVES else -1
            wanted = OBJECTIVES[(known + 1) % len(OBJECTIVES)]
            ask = partial(self._client.set_objective, origin_of(brief.name), brief.name, wanted, BY)
            self._ask(f"objective {wanted}", ask)
        elif key == "r":
            self._switch("released", "auto")
        elif key == "p":
            self._switch(f"pinned {brief.plan}", brief.plan)
        elif 0 < int(key) <= len(plans := choices(state)):
            self._switch(f"pinned {plans[int(key) - 1]}", plans[int(key) - 1])

    def _move(self, step: int) -> None:
        names = list(self._observer.briefs)
        if names:
            at = names.index(self._chosen) if self._chosen in names else 0
            self._chosen = names[(at + step) % len(names)]

    def _switch(self, done: str, plan: str) -> None:
        self._ask(done, partial(self._client.switch_plan, origin_of(self._chosen), self._chosen, plan, by=BY))

    def _ask(self, done: str, ask: Callable[[], Future[str] | Future[bytes]]) -> None:
        self._message = f"{done.split()[0]}: asked ..."

        def answered(answer: Future[str] | Future[bytes]) -> None:
            error = answer.exception()
            self._message = str(error) if error is not None else done

        ask().add_done_callback(answered)
