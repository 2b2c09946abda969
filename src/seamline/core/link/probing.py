"""Probe schedule of an idle link: when to probe, and with how many bytes.

Theory of operation. A new link gets some quick pings, then probes that are alternately long (50 ms, as far as the rate
is known) and short, so that the fixed overhead can be fitted apart from the time per bit. An idle link that is wanted
gets a regular probe a second, of 0.6 % of what it carries in that time and 4 kB at least; these are never left out,
however little the link carries: what nobody measures, nobody knows to be back.

A probe that does not fit the estimate is followed up at once by larger ones, because a small one is weak evidence: a
token bucket that lets a burst through after a pause looks like a fast link. Larger probes are paid from a credit that
grows by 0.4 % of the link's time, so that all probes take 1 % of it in the long run. A link that seems to have become
faster may be probed on debt, so it is known within a second or two. The price of a larger probe is the time it took,
less than expected when the link has become faster.

`meter.py` decides by this for all links of a node. Samples of transfers are `estimator.py`'s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from seamline.core.link import estimator as est
from seamline.core.link.lower_envelope import RTT_NOISE_S

PROBE_INTERVAL_S = 1.0


REGULAR_SHARE_RATIO = 0.006


LONG_SHARE_RATIO = 0.004


MOST_CREDIT_S = 0.15


MIN_PROBE_BYTES, MAX_PROBE_BYTES = 4 * 1024, 32 * 1024


LONG_PROBE_S = 0.05


MIN_LONG_PROBE_BYTES, MAX_LONG_PROBE_BYTES = 16 * 1024, 320 * 1024
"""50 ms at 50 Mbit/s: longer ones would tell no more of a faster link, and cost its frames."""


N_FIRST_PONGS = 5


N_FIRST_PROBES = 5


N_CONFIRMING_PROBES = 6


CONFIRMED_RATIO = 1.5


BUSY_LIMIT_S = 3.0
"""A transfer in flight for longer does not keep other links of its node from being probed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probing:
    """Probe schedule of one direction of a link: probes sent so far, and when the next is due.

    n_pongs, n_probes: since the link was new or reset. n_confirming: probes since one did not fit the estimate.
    due_s: nothing is sent before; regular_s: when the next regular probe is due. credit_s: link time that may be spent
    on larger probes, as of credit_at_s. seems_faster: the last probe was much faster than estimated.
    """

    n_pongs: int = 0
    n_probes: int = 0
    n_confirming: int = 0
    due_s: float = 0.0
    regular_s: float = 0.0
    credit_s: float = MOST_CREDIT_S
    credit_at_s: float = 0.0
    seems_faster: bool = False

    @property
    def is_new(self) -> bool:
        """Whether the first pings are still to come; nothing is probed before them."""
        return self.n_pongs < N_FIRST_PONGS

    @property
    def is_measured(self) -> bool:
        """Whether the first probes have been sent."""
        return self.n_probes >= N_FIRST_PROBES


def reset(probing: Probing) -> Probing:
    """State of a link that is measured from the beginning; its credit stays."""
    return Probing(credit_s=probing.credit_s, credit_at_s=probing.credit_at_s)


def carried(probing: Probing, now_s: float) -> Probing:
    """`probing` after a frame over the link: no probe for a while."""
    due_s = now_s + PROBE_INTERVAL_S
    return probing if due_s <= probing.due_s else replace(probing, due_s=due_s)


def bottleneck_changed(probing: Probing, now_s: float) -> Probing:
    """`probing` after a link that may share the bottleneck has jumped: a large probe is due now."""
    return replace(probing, due_s=now_s, n_confirming=1)


def resumed(probing: Probing, now_s: float) -> Probing:
    """`probing` of a link that is wanted again: a large probe is due if it has rested, as much may have changed."""
    has_rested = now_s - probing.due_s > PROBE_INTERVAL_S
    return bottleneck_changed(probing, now_s) if probing.is_measured and has_rested else probing


def next_probe(probing: Probing, state: est.LinkState, now_s: float) -> tuple[Probing, int]:
    """Bytes to send now, and `probing` with these paid; 0 when it is not time yet. Call it when the link is idle."""
    if now_s < probing.due_s or probing.is_new or state.is_down:
        return probing, 0
    credit_s = min(MOST_CREDIT_S, probing.credit_s + LONG_SHARE_RATIO * (now_s - probing.credit_at_s))
    probing = replace(probing, credit_s=credit_s, credit_at_s=now_s)
    goodput_bps = _goodput_bps(state)
    if state.n_to_believe > 0:
        return replace(probing, due_s=now_s, n_probes=probing.n_probes + 1), MIN_PROBE_BYTES
    if not probing.is_measured or goodput_bps <= 0.0:
        due_s = now_s if probing.n_probes < N_FIRST_PROBES - 1 else now_s + PROBE_INTERVAL_S
        n_bytes = first_probe_bytes(probing.n_probes, goodput_bps)
        return replace(probing, due_s=due_s, n_probes=probing.n_probes + 1), n_bytes
    n_bytes = _affordable_bytes(probing, state) if probing.n_confirming > 0 else 0
    if n_bytes > 0:
        paid_s = 8 * n_bytes / goodput_bps
        probing = replace(probing, due_s=probing.regular_s, credit_s=credit_s - paid_s)
        return replace(probing, n_probes=probing.n_probes + 1), n_bytes
    if now_s < probing.regular_s:  # nothing to confirm, or no credit for it: the regular probe at its time
        return replace(probing, due_s=min(probing.regular_s, now_s + PROBE_INTERVAL_S / 10)), 0
    n_bytes = _regular_bytes(state)
    regular_s = now_s + PROBE_INTERVAL_S
    return replace(probing, due_s=regular_s, regular_s=regular_s, n_probes=probing.n_probes + 1), n_bytes


def probed(probing: Probing, before: est.LinkState, after: est.LinkState, sample: est.TransferSample) -> Probing:
    """`probing` after an acknowledged probe: one that did not fit the estimate is followed up at once, some times."""
    if before.goodput is None or after.goodput is None:
        return probing
    service_s = max(sample.receipt_s - sample.sent_s - before.rtt_s - before.goodput.fixed_overhead_s, RTT_NOISE_S)
    expected_s = 8.0 * sample.payload_bytes / before.goodput.value
    ratio = expected_s / service_s
    credit_s = probing.credit_s + (max(0.0, expected_s - service_s) if probing.n_confirming > 0 else 0.0)
    probing = replace(probing, credit_s=credit_s, seems_faster=ratio >= CONFIRMED_RATIO)
    fits = 1 / CONFIRMED_RATIO < ratio < CONFIRMED_RATIO and not after.goodput.candidates
    if fits or probing.n_confirming >= N_CONFIRMING_PROBES:
        return replace(probing, n_confirming=0)
    return replace(probing, n_confirming=probing.n_confirming + 1, due_s=0.0)


def long_probe_bytes(goodput_bps: float) -> int:
    """Bytes that take 50 ms at `goodput_bps`, within limits."""
    return int(max(MIN_LONG_PROBE_BYTES, min(MAX_LONG_PROBE_BYTES, LONG_PROBE_S * goodput_bps / 8)))


def first_probe_bytes(number: int, goodput_bps: float) -> int:
    """Size of the first probes of a link, number 0 and on."""
    return MIN_PROBE_BYTES if number % 2 else long_probe_bytes(goodput_bps)


def _long_probe_bytes(state: est.LinkState) -> int:
    return long_probe_bytes(_goodput_bps(state))


def _affordable_bytes(probing: Probing, state: est.LinkState) -> int:
    """A long probe, or half a one, as far as the credit allows; on debt where the link seems to have become faster.

    However slow it was, half a one may be owed by who owes nothing: by its former rate alone no link would ever be
    known to be back.
    """
    bytes_per_s, wanted = _goodput_bps(state) / 8, _long_probe_bytes(state)
    debt_s = max(MOST_CREDIT_S, math.ceil(wanted / 2) / bytes_per_s) if probing.seems_faster else 0.0
    if debt_s > MOST_CREDIT_S and probing.credit_s < 0.0:
        debt_s = MOST_CREDIT_S
    affordable = int(max(0.0, probing.credit_s + debt_s) * bytes_per_s)
    return min(wanted, affordable) if affordable >= wanted // 2 else 0


def _regular_bytes(state: est.LinkState) -> int:
    share = int(REGULAR_SHARE_RATIO * _goodput_bps(state) / 8 * PROBE_INTERVAL_S)
    return max(MIN_PROBE_BYTES, min(MAX_PROBE_BYTES, share))


def _goodput_bps(state: est.LinkState) -> float:
    """Goodput by which probes are sized: the estimate, or the lowest candidate. On a link that dropped, a probe of the
    size for the former rate would delay frames by a second."""
    return min(state.goodput.hinted_bps, state.uncapped_bps, state.ceiling_bps) if state.goodput is not None else 0.0
