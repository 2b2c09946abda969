"""Change detection on link estimates: which have jumped, which have moved, and which are to be reported."""

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
    """Whether a change by `ratio` is large enough to suggest a shared bottleneck."""
    return not 1 / JUMP_RATIO < ratio < JUMP_RATIO


def has_moved(last_reported: LinkEstimate, current: LinkEstimate) -> bool:
    """Whether goodput or round trip differ from the last reported ones by more than `MOVED_RATIO`, or silence began or
    ended."""
    if last_reported.is_silent != current.is_silent:
        return True
    return _has_moved(last_reported, current.goodput_bps, current.rtt_s)


def _has_moved(last_reported: LinkEstimate, goodput_bps: float, rtt_s: float) -> bool:
    if (last_reported.goodput_bps == 0.0) != (goodput_bps == 0.0):
        return True
    moved = abs(goodput_bps - last_reported.goodput_bps) > MOVED_RATIO * last_reported.goodput_bps
    return moved or abs(rtt_s - last_reported.rtt_s) > max(1e-3, MOVED_RATIO * last_reported.rtt_s)


def is_news(last_reported: LinkEstimate | None, state: est.LinkState, is_silent: bool) -> bool:
    """Whether the estimate of `state` is to be reported: the first, one that has moved, or one last reported a while
    ago. Nothing is news before the first transfer."""
    if state.goodput is None:
        return False
    if last_reported is None or last_reported.is_silent != is_silent:
        return True
    if est.measured_at_s(state) - last_reported.measured_at_s > RENEW_S:
        return True
    return _has_moved(last_reported, est.estimated_bps(state), state.rtt_s)
