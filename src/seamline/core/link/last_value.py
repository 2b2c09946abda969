"""What the newest messages alone say of a link, and whether that foretells the next one better than the line does.

The line through a window of messages (`lower_envelope.py`) is right for a link that stays and holds messages up now and
then; a jump makes it start anew (`goodput.py`). A link that drifts, as radio links fade, is neither: its line is what
the link carried at its best some seconds ago. There the last message is the better guide, and the link itself tells
when: both guesses are compared with every message that comes, and the newest are followed while they have been nearer
by far, lately and often enough.

Only messages whose bytes take longer than what blurs any timing count. They are chosen by what they should take: chosen
by what they took, those that were held up would be picked out. Where messages are late by chance (lost packets, a token
bucket, a busy processor) the newest foretells the next one badly, and the line stays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from seamline.core.link.lower_envelope import RTT_NOISE_S

GAIN = 0.7
"""Weight of the newest message."""

LEAST_CARRIED_S = 5e-3
"""Messages whose bytes take less are told apart by noise."""

MEMORY = 0.93
"""Fading of errors with every message: the last dozen or so count."""

LEAST_MESSAGES = 9.0
"""Of those, as many make it worth comparing. Fewer are followed by chance on a link that is only noisy."""

NEARER_RATIO = 0.75
"""So much smaller the error must be than that of the line."""

LEAST_ERROR = 0.1
"""A line that is nearer than this, on average, needs no replacement: busy processors and jitter do as much."""

MOST_ERROR = 1.0
"""One message counts as wrong by a factor of e at most."""

MOST_OWN_ERROR = 0.2
"""Where the newest message foretells the next one worse, on average, the link does not drift but jumps or stalls."""

STALE_S = 5.0
"""Messages that came since, all too short to count, are what the line goes by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """level: logarithm of seconds per bit. at_s: of the newest message in it.

    own_error, envelope_error: fading sums of by what logarithm each guess was wrong, over n messages.
    """

    level: float
    at_s: float
    own_error: float = 0.0
    envelope_error: float = 0.0
    n: float = 0.0

    @property
    def bits_per_s(self) -> float:
        return math.exp(-self.level)

    def is_nearer(self, at_s: float) -> bool:
        """Whether to go by it at `at_s`, when the newest message of any size came."""
        return (
            self.n >= LEAST_MESSAGES
            and self.own_error < min(NEARER_RATIO * self.envelope_error, MOST_OWN_ERROR * self.n)
            and self.envelope_error > LEAST_ERROR * self.n
            and at_s - self.at_s <= STALE_S
        )


def observe_recent(
    recent: Recent | None, n_bits: float, took_s: float, at_s: float, envelope_s: float, carried_s: float
) -> Recent:
    """`recent` after a message of `n_bits` that took `took_s` beyond a round trip and the link's constant.

    envelope_s: what the line before it foretold of the same; carried_s: and of its bytes alone.
    """
    level = math.log(max(took_s, RTT_NOISE_S) / n_bits)
    if recent is None:
        return Recent(level=level, at_s=at_s)
    if max(carried_s, n_bits * math.exp(recent.level)) < LEAST_CARRIED_S:
        return recent
    step = level - recent.level
    envelope_error = abs(level - math.log(envelope_s / n_bits))
    return Recent(
        level=recent.level + GAIN * step,
        at_s=at_s,
        own_error=MEMORY * recent.own_error + min(MOST_ERROR, abs(step)),
        envelope_error=MEMORY * recent.envelope_error + min(MOST_ERROR, envelope_error),
        n=MEMORY * recent.n + 1.0,
    )


def set_anew(recent: Recent, seconds_per_bit: float, at_s: float) -> Recent:
    """The line has started anew with `seconds_per_bit`, seconds per bit: so do the newest messages."""
    return replace(recent, level=math.log(seconds_per_bit), at_s=at_s)
