"""Last-value forecast of a link (an EWMA of its newest messages), and model selection against the lower envelope.

The lower envelope of a window of messages (`lower_envelope.py`) is right for a link that is constant apart from delays,
and a change point resets it after a jump (`goodput.py`). A link that drifts, as radio links fade, is neither: its
envelope is the best rate of some seconds ago, and the last message is the better forecast.

Both forecasts are compared with every message. The last value is selected while its forecast error has been smaller by
far, over enough messages. Where messages are late by chance (lost packets, a token bucket, a busy processor) the last
value forecasts the next one badly, and the envelope stays selected.

A message counts when its bytes take longer than timing noise, by the forecast. Selected by the time they took, delayed
messages would be overrepresented.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from seamline.core.link.lower_envelope import RTT_NOISE_S

GAIN = 0.7
"""Weight of the newest message in the EWMA."""

LEAST_CARRIED_S = 5e-3
"""Messages whose bytes take less are left out: noise decides about them."""

MEMORY = 0.93
"""Decay of forecast errors with every message: the last dozen or so count."""

LEAST_MESSAGES = 9.0
"""Fewer (decayed) messages are no evidence: on a link that is only noisy the last value would be selected by chance."""

SELECTION_RATIO = 0.75
"""Share of the envelope's forecast error that the last value's must be below."""

LEAST_ERROR = 0.1
"""An envelope of smaller mean forecast error stays selected: busy processors and jitter cause as much."""

MOST_ERROR = 1.0
"""Most that one message counts: a factor of e."""

MOST_OWN_ERROR = 0.2
"""With a larger mean forecast error of the last value the link does not drift, it jumps or stalls."""

STALE_S = 5.0
"""Age of the last value beyond which the envelope is selected, as it rests on short messages too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastValue:
    """State of the forecast. level: logarithm of seconds per bit. at_s: of the newest message in it.

    own_error, envelope_error: decayed sums of absolute forecast errors (logarithms) over n messages.
    """

    level: float
    at_s: float
    own_error: float = 0.0
    envelope_error: float = 0.0
    n: float = 0.0

    @property
    def bits_per_s(self) -> float:
        return math.exp(-self.level)

    def is_selected(self, at_s: float) -> bool:
        """Whether the last value is the selected model at `at_s`, when the newest message of any size came."""
        return (
            self.n >= LEAST_MESSAGES
            and self.own_error < min(SELECTION_RATIO * self.envelope_error, MOST_OWN_ERROR * self.n)
            and self.envelope_error > LEAST_ERROR * self.n
            and at_s - self.at_s <= STALE_S
        )


def observe_last_value(
    before: LastValue | None, n_bits: float, took_s: float, at_s: float, envelope_s: float, carried_s: float
) -> LastValue:
    """`before` after a message of `n_bits` that took `took_s` beyond a round trip and the fixed overhead.

    envelope_s: forecast of the same by the envelope before it; carried_s: and of its bytes alone.
    """
    level = math.log(max(took_s, RTT_NOISE_S) / n_bits)
    if before is None:
        return LastValue(level=level, at_s=at_s)
    if max(carried_s, n_bits * math.exp(before.level)) < LEAST_CARRIED_S:
        return before
    step = level - before.level
    envelope_error = abs(level - math.log(envelope_s / n_bits))
    return LastValue(
        level=before.level + GAIN * step,
        at_s=at_s,
        own_error=MEMORY * before.own_error + min(MOST_ERROR, abs(step)),
        envelope_error=MEMORY * before.envelope_error + min(MOST_ERROR, envelope_error),
        n=MEMORY * before.n + 1.0,
    )


def reset_level(before: LastValue, seconds_per_bit: float, at_s: float) -> LastValue:
    """`before` after a change point, with the level of the envelope that was reset to `seconds_per_bit`."""
    return replace(before, level=math.log(seconds_per_bit), at_s=at_s)
