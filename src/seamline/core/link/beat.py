"""Heartbeat schedule of a node: what it has to send at a tick, without a clock.

A driver calls `Beat.tick` every `meter.TICK_S` (or, in virtual time, at the first tick not before `next_due_s`) and
carries out what is `Due`, in the order of its fields. All of it is small: a status twice a second and at the first tick
after news, four pings a second and peer, and about one probe a second and link, sized to stay under 1 % of the link.
"""

from __future__ import annotations

from dataclasses import dataclass

from seamline.core.link.meter import LinkMeter, Probe
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId

STATUS_INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Messages due at a tick. news: estimates to report here. pings: peers to ping, each by a number of `ping_sent`.

    probe: to be handed to `sending` as it leaves. is_status_due: whether all peers are to be sent this node's status,
    which comes last because making it may fail, and a probe that never left would be awaited.
    """

    news: tuple[LinkEstimate, ...]
    pings: tuple[NodeId, ...]
    probe: Probe | None
    is_status_due: bool


class Beat:
    """Schedule of statuses, pings and probes of one node; `meter` belongs to the caller, who brings it its events."""

    def __init__(self, meter: LinkMeter) -> None:
        self._meter = meter
        self._status_due_s = 0.0
        self._has_status_news = False

    def announce_soon(self) -> None:
        """A peer came or went, or an estimate is news: the next status does not wait for its time."""
        self._has_status_news = True

    def tick(self, now_s: float) -> Due:
        """Messages due at `now_s`; a status that is due counts as sent."""
        news = self._meter.tick(now_s)
        is_status_due = bool(news) or self._has_status_news or now_s >= self._status_due_s
        if is_status_due:
            self._has_status_news = False
            self._status_due_s = now_s + STATUS_INTERVAL_S
        pings, probe = tuple(self._meter.due_pings(now_s)), self._meter.next_probe(now_s)
        return Due(news=news, pings=pings, probe=probe, is_status_due=is_status_due)

    def next_due_s(self) -> float:
        """Before this a tick finds nothing to do, should no event come; a time that has passed: at the next tick."""
        return 0.0 if self._has_status_news else min(self._status_due_s, self._meter.next_due_s())
