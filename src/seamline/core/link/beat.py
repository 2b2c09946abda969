"""Beat of a node: what it has to send at a tick for those who hold interest in its links, without a clock.

A driver calls `Beat.tick` every `meter.TICK_S` (or at the first tick not before `next_due_s`) and carries out what is
`Due`, in the order of its fields. Without interest (`interest.py`) nothing is due, ever. With it, all of it is small: a
status twice a second and at the first tick after news to each who asked, four pings a second and about one probe a
second for each link that was asked for, sized to stay under 1 % of the link.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from seamline.core.link.interest import Interests
from seamline.core.link.meter import LinkMeter, Probe
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId

STATUS_INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Messages due at a tick. news: estimates to report here. pings: peers to ping, each by a number of `ping_sent`.

    probe: to be handed to `sending` as it leaves. reports: nodes to be sent this node's status, which comes last
    because making it may fail, and a probe that never left would be awaited.
    """

    news: tuple[LinkEstimate, ...]
    pings: tuple[NodeId, ...]
    probe: Probe | None
    reports: tuple[NodeId, ...]


class Beat:
    """Schedule of reports, pings and probes of one node; `meter` belongs to the caller, who brings it its events."""

    def __init__(self, node: NodeId, meter: LinkMeter) -> None:
        self._node = node
        self._meter = meter
        self._interests = Interests()
        self._others: tuple[NodeId, ...] = ()
        self._report_due_s = 0.0
        self._has_news = False

    @property
    def askers(self) -> tuple[NodeId, ...]:
        """Other nodes that are reported to."""
        return self._others

    def ask(self, asker: NodeId, stream: str, targets: Set[NodeId], for_s: float, now_s: float) -> None:
        """`asker`, which may be this node, wants the links to `targets` measured, and its reports, for `for_s`."""
        if self._interests.hold(asker, stream, targets, for_s, now_s):
            self._follow(now_s)
            self._has_news = True

    def announce_soon(self) -> None:
        """An estimate is news: the next report does not wait for its time."""
        self._has_news = True

    def tick(self, now_s: float) -> Due:
        """Messages due at `now_s`; a report that is due counts as sent."""
        if self._interests.lapse(now_s):
            self._follow(now_s)
        news = self._meter.tick(now_s)
        is_report_due = bool(news) or self._has_news or now_s >= self._report_due_s
        self._has_news = False
        if is_report_due:
            self._report_due_s = now_s + STATUS_INTERVAL_S
        pings, probe = tuple(self._meter.due_pings(now_s)), self._meter.next_probe(now_s)
        return Due(news=news, pings=pings, probe=probe, reports=self._others if is_report_due else ())

    def next_due_s(self) -> float:
        """Before this a tick finds nothing to do, should no event come; a time that has passed: at the next tick."""
        due_s = min(self._meter.next_due_s(), self._interests.lapses_s)
        if not self._others:
            return due_s
        return 0.0 if self._has_news else min(due_s, self._report_due_s)

    def _follow(self, now_s: float) -> None:
        self._others = tuple(asker for asker in self._interests.askers if asker != self._node)
        self._meter.measure(self._interests.targets, now_s)
