"""Link meter of a node among threads: a lock and a clock around `core.link.meter`, whose news is told without the lock.

Every rule of measuring is there: what is in flight, which links share a bottleneck, when to ping and when to probe.
"""

from __future__ import annotations

import math
import secrets
import threading
from collections.abc import Callable, Iterable

from seamline.core.link import meter
from seamline.core.link.beat import Beat, Due
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.runtime.shared.clock import now_s


class LinkMeter:
    """Shares the link meter of one node among threads; every method is safe from any of them.

    Times are taken before the lock, as near to the event as can be. report: hears what is news, without the lock; it
    or `wake` is called when something has become due sooner than `next_due_s` said.
    """

    def __init__(self, node: NodeId, report: Callable[[LinkEstimate], None]) -> None:
        self._meter = meter.LinkMeter(node, first_seq=secrets.randbits(48))
        self._beat = Beat(node, self._meter)
        self._report = report
        self._lock = threading.Lock()
        self._due_s = math.inf
        self.wake: Callable[[], None] = lambda: None

    def peer(self, target: NodeId, alive: bool) -> None:
        """A peer joined or was lost."""
        now = now_s()
        with self._lock:
            news, is_sooner = self._meter.peer(target, alive, now), self._is_sooner()
        self._tell(news, is_sooner)

    def forget(self, target: NodeId) -> None:
        """Nothing will be sent to `target`: its link is neither measured nor reported."""
        with self._lock:
            self._meter.forget(target)

    def remeasure(self) -> None:
        """Forget what is known of all links and measure them now: the machine was too busy to measure well."""
        with self._lock:
            self._meter.remeasure(now_s())
            is_sooner = self._is_sooner()
        self._tell((), is_sooner)

    def ask(self, asker: NodeId, stream: str, targets: Iterable[str], for_s: float) -> None:
        """`asker`, this node or another, wants the links to `targets` measured for `for_s`, and to hear of them."""
        wanted = {NodeId(target) for target in targets}
        with self._lock:
            self._beat.ask(asker, stream, wanted, for_s, now_s())
            is_sooner = self._is_sooner()
        self._tell((), is_sooner)

    def is_measured(self, target: NodeId) -> bool:
        """Whether the first probes of a link are through."""
        with self._lock:
            return self._meter.is_measured(target)

    def next_seq(self) -> int:
        """A number for a message that will be acknowledged."""
        with self._lock:
            return self._meter.next_seq()

    def sending(self, target: NodeId, seq: int, n_bytes: int) -> None:
        """Message `seq` leaves now."""
        now = now_s()
        with self._lock:
            self._meter.sending(target, seq, n_bytes, now)
            is_sooner = self._is_sooner()
        self._tell((), is_sooner)

    def heard(self, source: NodeId, said_s: float | None) -> None:
        """A small message of `source` is here; said_s: its clock as that left."""
        now = now_s()
        with self._lock:
            self._meter.heard(source, said_s, now)

    def receipt(self, source: NodeId, seq: int, said_s: float | None = None) -> None:
        """Message `seq` has arrived whole at `source`."""
        now = now_s()
        with self._lock:
            news, is_sooner = self._meter.receipt(source, seq, now, said_s), self._is_sooner()
        self._tell(news, is_sooner)

    def pinging(self, target: NodeId) -> int:
        """The number of a ping that leaves now."""
        with self._lock:
            return self._meter.ping_sent(target, now_s())

    def pong(self, source: NodeId, seq: int, said_s: float | None = None) -> None:
        """The answer to ping `seq`."""
        now = now_s()
        with self._lock:
            news, is_sooner = self._meter.pong(source, seq, now, said_s), self._is_sooner()
        self._tell(news, is_sooner)

    def announce_soon(self) -> None:
        """The next report does not wait for its time."""
        with self._lock:
            self._beat.announce_soon()
            is_sooner = self._is_sooner()
        self._tell((), is_sooner)

    def beat(self) -> Due:
        """What a node has to send now; not sooner than `core.link.meter.TICK_S` after the last one, from `next_due_s`
        on. News is told here, and still in it."""
        now = now_s()
        with self._lock:
            due = self._beat.tick(now)
        self._tell(due.news, False)
        return due

    def next_due_s(self) -> float:
        """When to call `beat` again, inf for never, unless `wake` is called meanwhile."""
        with self._lock:
            self._due_s = self._beat.next_due_s()
            return self._due_s

    def estimates(self) -> tuple[LinkEstimate, ...]:
        """Estimates of now of every link measured so far."""
        now = now_s()
        with self._lock:
            return self._meter.estimates(now)

    def _is_sooner(self) -> bool:
        """Whether a beat is due before it was last said to be, which is said once."""
        due_s = self._beat.next_due_s()
        if due_s >= self._due_s:
            return False
        self._due_s = due_s
        return True

    def _tell(self, news: Iterable[LinkEstimate], is_sooner: bool) -> None:
        for estimate in news:
            self._report(estimate)
        if is_sooner:
            self.wake()
