"""Timed changes of a testbed during a run: links change or follow traces, nodes slow down, are killed, come back.

`schedule` and `due` are arithmetic; `ChangeRunner` is the small thread that makes things happen when they are due.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, assert_never

from seamline.config import Testbed
from seamline.config.trace import read_trace
from seamline.core.vocabulary.errors import SeamlineError, UsageError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChange:
    """At `at_s` a link takes new values, both directions. None leaves one as it is; see `Network.set_link`."""

    at_s: float
    between: tuple[str, str]
    rate_bps: float | None = None
    delay_s: float | None = None
    loss_ratio: float | None = None
    is_silent: bool | None = None

    def __str__(self) -> str:
        parts = []
        if self.is_silent is not None:
            parts.append("goes silent" if self.is_silent else "carries again")
        if self.rate_bps is not None:
            parts.append(f"to {self.rate_bps / 1e6:g} Mbit/s" if self.rate_bps else "to full speed")
        if self.delay_s is not None:
            parts.append(f"to {self.delay_s * 1e3:g} ms one way")
        if self.loss_ratio is not None:
            parts.append(f"to {self.loss_ratio:.3g} of its packets lost")
        return f"link {'-'.join(self.between)} {', '.join(parts)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """At `at_s` the process of `node` is killed, as by a power cut."""

    at_s: float
    node: str

    @staticmethod
    def parse(text: str) -> Kill:
        """``fog@10``: the node and the second of the run. Raises `UsageError` when it is not that."""
        node, separator, at = text.partition("@")
        try:
            at_s = float(at)
        except ValueError:
            at_s = math.nan
        if not (node and separator and at_s >= 0.0 and math.isfinite(at_s)):
            raise UsageError(f"`{text}` is not a kill", hint="write NODE@SECONDS, e.g. fog@10")
        return Kill(at_s=at_s, node=node)

    def __str__(self) -> str:
        return f"node {self.node} is killed"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChange:
    """At `at_s` computing on `node` takes `slowdown` times as long as here from then on; `usual` is what it took."""

    at_s: float
    node: str
    slowdown: float
    usual: float = 1.0

    def __str__(self) -> str:
        return f"node {self.node} computes {self.slowdown / self.usual:.3g}x as long"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """At `at_s` the process of `node` is started again, with nothing in its memory of what was before."""

    at_s: float
    node: str

    def __str__(self) -> str:
        return f"node {self.node} starts again"


Change = LinkChange | NodeChange | Kill | Restart


class Links(Protocol):
    """Interface of `relay.Network` that changes need."""

    def set_link(
        self,
        one: str,
        other: str,
        *,
        rate_mbps: float | None = None,
        delay_ms: float | None = None,
        loss_ratio: float | None = None,
    ) -> None: ...

    def silence(self, one: str, other: str) -> None: ...

    def restore(self, one: str, other: str) -> None: ...


class Nodes(Protocol):
    """Interface of `processes.NodeProcesses` that changes need."""

    def kill(self, name: str) -> None: ...

    def slow_down(self, name: str, slowdown: float) -> None: ...

    def restart(self, name: str) -> object: ...


def schedule(testbed: Testbed, duration_s: float, kills: Iterable[Kill] = ()) -> tuple[Change, ...]:
    """Everything that happens in a run of `duration_s`, by time: the file's changes, the steps of traces, `kills`.

    Raises `ConfigError` when a killed node is not in the testbed or a trace cannot be read.
    """
    changes: list[Change] = [
        LinkChange(
            at_s=change.at_s_of(duration_s),
            between=change.between,
            rate_bps=change.rate_bps,
            delay_s=change.delay_s,
            loss_ratio=change.loss_ratio,
            is_silent=change.silent,
        )
        for change in testbed.changes
    ]
    changes += [
        NodeChange(
            at_s=load.at_s_of(duration_s),
            node=load.node,
            slowdown=load.slowdown,
            usual=testbed.node(load.node).slowdown,
        )
        for load in testbed.loads
    ]
    for link in testbed.links:
        if link.trace is not None:
            was_silent = False
            for at_s, rate_bps, delay_s, loss_ratio in read_trace(link.trace).conditions(duration_s):
                is_silent = rate_bps == 0.0
                changes.append(
                    LinkChange(
                        at_s=at_s,
                        between=link.between,
                        rate_bps=rate_bps or None,
                        delay_s=delay_s,
                        loss_ratio=loss_ratio,
                        is_silent=is_silent if is_silent != was_silent else None,
                    )
                )
                was_silent = is_silent
    changes += [(Restart if life.up else Kill)(at_s=life.at_s_of(duration_s), node=life.node) for life in testbed.lives]
    for kill in kills:
        testbed.node(kill.node)
        changes.append(kill)
    return tuple(sorted(changes, key=lambda change: change.at_s))


def due(changes: Iterable[Change], from_s: float, to_s: float) -> tuple[Change, ...]:
    """The changes at or after `from_s` and before `to_s`, in the order given."""
    return tuple(change for change in changes if from_s <= change.at_s < to_s)


def apply(change: Change, links: Links, nodes: Nodes) -> None:
    """Make `change` happen now."""
    match change:
        case LinkChange():
            if not change.rate_bps is change.delay_s is change.loss_ratio is None:
                links.set_link(
                    *change.between,
                    rate_mbps=None if change.rate_bps is None else change.rate_bps / 1e6,
                    delay_ms=None if change.delay_s is None else change.delay_s * 1e3,
                    loss_ratio=change.loss_ratio,
                )
            if change.is_silent is not None:
                (links.silence if change.is_silent else links.restore)(*change.between)
        case NodeChange():
            nodes.slow_down(change.node, change.slowdown)
        case Kill():
            nodes.kill(change.node)
        case Restart():
            nodes.restart(change.node)
        case other:
            assert_never(other)


class ChangeRunner:
    """Makes `changes` happen, each `at_s` after `start()`, on a thread of its own.

    nodes: whose processes they are. A change that fails is logged and the next ones go on, so that a run does not end
    half-way with its links in a chance state.
    """

    def __init__(
        self,
        changes: tuple[Change, ...],
        links: Links,
        nodes: Nodes,
    ) -> None:
        self._changes = changes
        self._links = links
        self._nodes = nodes
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="testbed-changes", daemon=True)

    def start(self) -> None:
        """The run begins now. A runner starts once."""
        self._thread.start()

    def stop(self) -> None:
        """End all changes: none is made after this returns."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> ChangeRunner:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        begin_s = time.monotonic()
        done_s = -math.inf
        while not self._stopping.is_set():
            at_s = time.monotonic() - begin_s
            for change in due(self._changes, done_s, at_s):
                self._make(change)
            done_s = at_s
            coming = due(self._changes, done_s, math.inf)
            if not coming:
                return
            # Slightly past it: `due` leaves out its end, and an early wake-up would only go round once more.
            self._stopping.wait(max(0.0, coming[0].at_s - (time.monotonic() - begin_s)) + 1e-4)

    def _make(self, change: Change) -> None:
        try:
            apply(change, self._links, self._nodes)
        except SeamlineError as exc:
            log.warning("%s, but that failed: %s", change, exc)
