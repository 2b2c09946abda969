"""Return path of a link: how long small messages of the peer take longer than usual on their way here.

Receipts and pongs come back over the peer's uplink, behind whatever it sends at the moment. A receipt that has waited
there for a frame says nothing of the link that it acknowledges. So each carries the reading of the peer's clock as it
left. What differs between two readings and between their arrivals is waiting (and the drift of two clocks, some 50 us
a second); the least difference lately is the way itself, with the unknown offset of the clocks in it, which cancels.

Messages of a peer come in the order in which they left. As long as none is heard, nothing is known of what has arrived
there: `heard_until_s`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

PERIOD_S = 15.0
"""The least lag is that of this period and of the one before: two clocks drift apart by less than 2 ms meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnPath:
    """State for one peer. said_s: newest reading of its clock. least_s, before_s: least lag of this period, and of the
    one before; since_s: when this period began."""

    said_s: float = -math.inf
    least_s: float = math.inf
    before_s: float = math.inf
    since_s: float = -math.inf

    @property
    def lag_s(self) -> float:
        """Least difference lately between its clock as a message left and ours as it came; inf before the first."""
        return min(self.least_s, self.before_s)

    def heard(self, said_s: float, now_s: float) -> ReturnPath:
        """State after a message that left at `said_s` by the peer's clock."""
        newest_s, lag_s = max(self.said_s, said_s), now_s - said_s
        if now_s - self.since_s < PERIOD_S:
            least_s = min(self.least_s, lag_s)
            return ReturnPath(said_s=newest_s, least_s=least_s, before_s=self.before_s, since_s=self.since_s)
        return ReturnPath(said_s=newest_s, least_s=lag_s, before_s=self.least_s, since_s=now_s)

    def waited_s(self, said_s: float, now_s: float) -> float:
        """By how much a message that left at `said_s` took longer than the quickest lately; 0.0 before the first."""
        return max(0.0, now_s - said_s - self.lag_s)

    def heard_until_s(self, now_s: float) -> float:
        """Until when what the peer had sent would be here, had it not to wait: `now_s` before the first."""
        return min(now_s, self.said_s + self.lag_s) if math.isfinite(self.said_s) else now_s
