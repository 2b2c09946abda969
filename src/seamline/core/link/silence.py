"""Silence of a link: its peer has owed an answer for longer than the link's own delays explain.

Theory of operation. A link that carries nothing for a second (a radio that fades, a tunnel, Wi-Fi that roams) is not a
node that has died: what waits arrives afterwards, and the node has all it had. So silence is told from loss. A *silent*
link is one whose newest ping has waited for its answer, with nothing else answered meanwhile, for longer than a limit;
frames there are answered on the origin beside waiting, and the first answer of any kind ends it. A *lost* node is the
fabric's business: its process is gone, or nothing at all was heard of it for a lease.

Pings decide, since they have a lane of their own: a large message may be late because the link is slow. The limit is
the retransmission timeout of RFC 6298, smoothed answer time plus four mean deviations, within bounds: it follows links
of long and of varying delay, and a stall once in a while moves it for a moment only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

LEAST_LIMIT_S = 0.25
"""Beyond the smoothed answer time: a lost packet costs 0.2 s, and a thread of a busy machine is late now and then."""

MOST_LIMIT_S = 1.0

SMOOTHED_GAIN, DEVIATION_GAIN, N_DEVIATIONS = 1 / 8, 1 / 4, 4.0
"""RFC 6298, section 2."""


@dataclass(frozen=True, slots=True)
class Silence:
    """State of one link. asked_s: when the oldest ping left since the last answer, inf when none did.

    smoothed_s, deviation_s: of the answer times of pings.
    """

    asked_s: float = math.inf
    smoothed_s: float = 0.0
    deviation_s: float = 0.0

    @property
    def begins_s(self) -> float:
        """Time at which the link counts as silent, should no answer come; inf while none is owed."""
        limit_s = self.smoothed_s + max(LEAST_LIMIT_S, N_DEVIATIONS * self.deviation_s)
        return self.asked_s + min(limit_s, MOST_LIMIT_S)

    def asked(self, now_s: float) -> Silence:
        """State after a ping left."""
        return self if self.asked_s <= now_s else replace(self, asked_s=now_s)

    def answered(self, took_s: float | None) -> Silence:
        """State after any answer. took_s: of a ping's, None of any other."""
        if took_s is None:
            return self if math.isinf(self.asked_s) else replace(self, asked_s=math.inf)
        if self.smoothed_s == 0.0:
            return Silence(math.inf, took_s, took_s / 2.0)
        deviation_s = self.deviation_s + DEVIATION_GAIN * (abs(took_s - self.smoothed_s) - self.deviation_s)
        return Silence(math.inf, self.smoothed_s + SMOOTHED_GAIN * (took_s - self.smoothed_s), deviation_s)
