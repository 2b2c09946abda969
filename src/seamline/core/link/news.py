"""Change detection on link estimates: what jumped, what moved, and what listeners should hear of."""

from __future__ import annotations

from seamline.core.link import estimator as est
from seamline.core.vocabulary.links import LinkEstimate

JUMP_RATIO = 1.5


MOVED_RATIO = 0.05


RENEW_S = 1.0


def change_ratio(before: est.LinkState, after: est.LinkState) -> float:
    """Factor by which one sample changed the goodput estimate; 1.0 when there was hardly one, or the link was down.

    The cap of an overdue transfer is left out: the receipt that confirms it is the jump.
    """
    old, new = before.goodput, after.goodput
    if old is None or new is None or before.is_down or old.n_samples == 0:
        return 1.0
    return new.value / old.value


def has_jumped(ratio: float) -> bool:
    """Whether a change by `ratio` is one that siblings may share."""
    return not 1 / JUMP_RATIO < ratio < JUMP_RATIO


def has_moved(told: LinkEstimate, current: LinkEstimate) -> bool:
    """Whether a link is another one than was told, or only known more recently."""
    return _has_moved(told, current.goodput_bps, current.rtt_s)


def _has_moved(told: LinkEstimate, goodput_bps: float, rtt_s: float) -> bool:
    if (told.goodput_bps == 0.0) != (goodput_bps == 0.0):
        return True
    moved = abs(goodput_bps - told.goodput_bps) > MOVED_RATIO * told.goodput_bps
    return moved or abs(rtt_s - told.rtt_s) > max(1e-3, MOVED_RATIO * told.rtt_s)


def is_news(told: LinkEstimate | None, state: est.LinkState) -> bool:
    """Whether listeners should hear of the estimate of `state`: the first, one that has moved, or one renewed a while
    ago. Nothing is news before the first transfer."""
    if state.goodput is None:
        return False
    if told is None or est.measured_at_s(state) - told.measured_at_s > RENEW_S:
        return True
    return _has_moved(told, est.estimated_bps(state), state.rtt_s)
