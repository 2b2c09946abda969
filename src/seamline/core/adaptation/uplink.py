"""Shared uplink of the origin: one bottleneck that all of its outgoing links cross, and what each carries at most.

Theory of operation. The links of an edge device mostly leave by one radio or one line, and mostly that is what bounds
them. So there is one rate U, that of the newest sample over any of the links, and for each link a ceiling c, the most
that it has carried: the estimate of a link is min(U, c), whenever it was sampled itself. A sample of rate r over a link
says

    r is close to c, below U      the link is at its ceiling: the uplink carries that, and perhaps more
    r < U / 2, U fresh, once      nothing yet of others: this link's estimate may not have followed yet
    r < U / 2, U fresh, and the   the link has a bottleneck of its own: its ceiling falls to r
    next sample over another
    link is twice as fast again
    otherwise                     the uplink carries r now: U = r, and the ceiling rises to r

So a drop over one link, confirmed where another was faster a moment ago, is one of all until another shows otherwise,
and a rise lifts the others to what they have carried before. A plan that fled to an untouched link of the same uplink
would put its next frame behind the one that is stuck, and a plan that waited for a link's own sample would stay away
long after the uplink is back.

While a transfer is overdue the uplink is *silent*: nobody knows what it carries, or whether anything. Then no plan is
better than the present one but the one that does not leave the origin (`policy.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from seamline.core.vocabulary.links import Link, LinkEstimate

OWN_RATIO = 0.5
"""A link slower than this part of the uplink, before and after, has a bottleneck of its own. At 0.7 a rate that changes
between two samples passes for one."""

AT_CEILING_RATIO = 0.8
"""A link that carries this part of the most it ever carried is at its ceiling."""

FALLEN_S = 5.0
"""So long a ceiling that fell is believed without a sample of that link: nobody looks at it while others are in use."""

FRESH_S = 1.0
"""The rate of the uplink is that of now for so long after its sample; idle links are probed once a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uplink:
    """State of the shared uplink. bps: its rate, seen over the link `by` at `at_s`. ceiling_bps: by link; most_bps: the
    most that each ever carried.

    suspect: the last sample, (link, rate), if it was much slower than the uplink: it is that of its own link only.
    is_silent: a transfer is overdue.
    """

    bps: float
    at_s: float
    by: Link
    ceiling_bps: Mapping[Link, float] = field(default_factory=dict)
    most_bps: Mapping[Link, float] = field(default_factory=dict)
    suspect: tuple[Link, float] | None = None
    is_silent: bool = False

    def estimated_bps(self, known: LinkEstimate) -> float:
        """Goodput of one of its links, last estimated as `known`; 0.0 for one that is down."""
        link = (known.source, known.target)
        if known.goodput_bps <= 0.0 or link == self.by or (self.suspect is not None and link == self.suspect[0]):
            return known.goodput_bps
        is_old = self.at_s - known.measured_at_s > FALLEN_S
        ceilings = self.most_bps if is_old else self.ceiling_bps
        return min(self.bps, ceilings.get(link, known.goodput_bps))


def observe_uplink(
    uplink: Uplink | None, before: LinkEstimate | None, now: LinkEstimate, now_s: float
) -> Uplink | None:
    """`uplink` after a link was estimated as `now`, and as `before` before; one that is down says nothing."""
    link, bps = (now.source, now.target), now.goodput_bps
    if bps <= 0.0:
        return uplink
    if before is not None and now.measured_at_s <= before.measured_at_s:
        if uplink is None or bps == before.goodput_bps:
            return uplink
        is_overdue = bps < before.goodput_bps  # else a receipt has lifted its cap, and says no more than that
        return replace(uplink, bps=bps, at_s=now_s, by=link, suspect=None, is_silent=is_overdue)
    if uplink is None:
        return Uplink(bps=bps, at_s=now.measured_at_s, by=link, ceiling_bps={link: bps}, most_bps={link: bps})
    return _sampled(uplink, link, bps, now.measured_at_s)


def _sampled(uplink: Uplink, link: Link, bps: float, at_s: float) -> Uplink:
    """`uplink` after a sample over `link`."""
    ceilings, suspect, is_other = uplink.ceiling_bps, uplink.suspect, link != uplink.by
    most_bps = ceilings.get(link, math.inf)
    if is_other and AT_CEILING_RATIO * most_bps <= bps < uplink.bps:
        return replace(uplink, ceiling_bps={**ceilings, link: max(bps, most_bps)}, is_silent=False)
    is_fresh = at_s - uplink.at_s < FRESH_S
    if is_fresh and is_other and bps < OWN_RATIO * uplink.bps and (suspect is None or suspect[0] != link):
        return replace(uplink, suspect=(link, bps), at_s=at_s)
    if is_fresh and suspect is not None and suspect[0] != link and suspect[1] < OWN_RATIO * bps:
        ceilings = {**ceilings, suspect[0]: suspect[1]}  # slow between two fast ones
    if bps > ceilings.get(link, 0.0):
        ceilings = {**ceilings, link: bps}
    most_ever = uplink.most_bps
    if bps > most_ever.get(link, 0.0):
        most_ever = {**most_ever, link: bps}
    return Uplink(bps=bps, at_s=at_s, by=link, ceiling_bps=ceilings, most_bps=most_ever)
