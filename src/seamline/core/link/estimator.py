"""Link estimator: state + sample -> state, with uncertainty and age.

Times are the sender's own: a transfer is timed from send to receipt, so no clocks are compared. A link is first in,
first out: transfer i begins to cross it when i-1 is through, so its time beyond a round trip is

    whole_s = receipt_i - rtt - max(sent_i, free_{i-1})

where the link was free again at receipt_{i-1} - rtt, or earlier, should that receipt have been delayed.

The parts: the line between bytes and these seconds is fitted in `lower_envelope.py`, jumps are distinguished from
delays in `goodput.py`, the last-value forecast for links that drift is `last_value.py`, and oscillation is detected in
`average.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from seamline.core.link import goodput as gp
from seamline.core.link.average import Average, LinearEstimate, observe_average
from seamline.core.link.goodput import BURST_BYTES
from seamline.core.link.last_value import LastValue, observe_last_value, reset_level
from seamline.core.link.lower_envelope import RTT_NOISE_S, Crossing, Goodput, shifted
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId

RTT_WINDOW_S = 10.0


_N_YOUNG = 12


_MISJUDGED_RTT_S = 20e-3


_SILENCE_FACTOR = 2.0


SILENCE_GRACE_S = gp.RETRANSMISSION_S
"""A transfer is late by this much after one lost packet, which does not make a link slow."""


_SILENCE_STD_RATIO = 0.25


N_BELIEVED = 2
"""So many messages must have crossed a link that was down before it counts as carrying anything again."""


@dataclass(frozen=True, slots=True)
class TransferSample:
    """One acknowledged message, by the sender's clock. payload_bytes: everything the message carried."""

    payload_bytes: int
    sent_s: float
    receipt_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """Estimator state of one direction of a link; begin with `LinkState(source=..., target=...)`.

    round_trips: (at_s, rtt_s) that may still become the window's minimum. last_receipt_s: of the newest transfer.
    free_s: by when the newest had crossed at the earliest, shifted by the way there. goodput: the lower envelope, None
    before the first transfer. ceiling_bps: upper bound by a transfer that is or was overdue. is_down: reported so.
    n_to_believe: messages that must cross the link before it counts as carrying anything again. average: of all
    transfers lately, for a link that oscillates. last_value: forecast for a link that drifts.
    """

    source: NodeId
    target: NodeId
    round_trips: tuple[tuple[float, float], ...] = ()
    last_receipt_s: float = -math.inf
    free_s: float = -math.inf
    goodput: Goodput | None = None
    ceiling_bps: float = math.inf
    is_down: bool = False
    n_to_believe: int = 0
    average: Average | None = None
    last_value: LastValue | None = None

    @property
    def rtt_s(self) -> float:
        """The smallest round trip of the last `RTT_WINDOW_S`; 0.0 before the first."""
        return self.round_trips[0][1] if self.round_trips else 0.0

    @property
    def selected_last_value(self) -> LastValue | None:
        """The last-value forecast while it is the selected model; None while the envelope is."""
        last_value, envelope = self.last_value, self.goodput
        if last_value is None or envelope is None or not last_value.is_selected(envelope.at_s):
            return None
        return last_value

    @property
    def uncapped_bps(self) -> float:
        """Estimated goodput as long as nothing is overdue; 0.0 before the first transfer."""
        if (last_value := self.selected_last_value) is not None:
            return last_value.bits_per_s
        return 0.0 if self.goodput is None else self.goodput.value


def observe_rtt(state: LinkState, rtt_s: float, now_s: float) -> LinkState:
    """`state` after a ping came back. One that waited behind bulk data is long; the window's minimum leaves it out."""
    kept = [(at_s, known_s) for at_s, known_s in state.round_trips if at_s > now_s - RTT_WINDOW_S and known_s < rtt_s]
    state, less_s = _returned(state), state.rtt_s - rtt_s
    if state.goodput is not None and state.goodput.n_samples <= _N_YOUNG and less_s > 0.0:
        # the first pings were all delayed, perhaps by so much that the estimate is worth nothing
        state = replace(state, goodput=shifted(state.goodput, less_s) if less_s < _MISJUDGED_RTT_S else None)
    return replace(state, round_trips=(*kept, (now_s, rtt_s)))


def observe_transfer(state: LinkState, sample: TransferSample) -> LinkState:
    """`state` after an acknowledged transfer. Empty messages and receipts out of order leave the goodput as it is."""
    state = _returned(state)
    total_s = sample.receipt_s - sample.sent_s
    if state.round_trips and total_s < state.rtt_s:
        state = observe_rtt(state, max(total_s, 0.0), sample.receipt_s)  # no transfer is faster than a round trip
    if sample.payload_bytes <= 0 or sample.receipt_s < state.last_receipt_s:
        return state
    crossing = _crossing(state, sample)
    before = state.goodput
    late_s = 0.0 if before is None else before.overhead_s
    known = gp.first_goodput(crossing) if before is None else gp.observe(before, crossing, state.rtt_s)
    free_s = sample.receipt_s - state.rtt_s
    if before is not None and known.changed_at_s == before.changed_at_s:  # known well enough to say what was delay
        free_s = min(free_s, free_s - crossing.whole_s + known.seconds_per_bit * crossing.n_bits)
    took_s = crossing.least_s - known.fixed_overhead_s
    may_be_slower = bool(known.candidates) and known.are_candidates_slow and state.ceiling_bps < math.inf
    may_be_slower = may_be_slower and took_s > RTT_NOISE_S  # else it was too short to bound anything
    bound_bps = crossing.n_bits / max(took_s, RTT_NOISE_S)
    return LinkState(  # written out: with every message, and `replace` is slower
        source=state.source,
        target=state.target,
        round_trips=state.round_trips,
        last_receipt_s=sample.receipt_s,
        free_s=free_s,
        goodput=known,
        ceiling_bps=bound_bps if may_be_slower else math.inf,
        is_down=state.is_down,
        n_to_believe=max(0, state.n_to_believe - 1),
        average=_averaged(state, crossing, sample, late_s),
        last_value=_last_value(state, crossing, known, late_s),
    )


def _last_value(state: LinkState, crossing: Crossing, known: Goodput, late_s: float) -> LastValue | None:
    """Last-value forecast after `crossing`. known: the envelope after it; late_s: overhead by the one before."""
    envelope, before = state.goodput, state.last_value
    if envelope is None:
        return None
    if before is not None and known.changed_at_s != envelope.changed_at_s:
        return reset_level(before, known.seconds_per_bit, crossing.at_s)
    carried_s = crossing.n_bits * envelope.seconds_per_bit
    envelope_s = max(0.0, late_s - envelope.fixed_overhead_s) + max(carried_s, crossing.n_bits / state.ceiling_bps)
    took_s = crossing.least_s - known.fixed_overhead_s
    return observe_last_value(before, crossing.n_bits, took_s, crossing.at_s, envelope_s, carried_s)


def _averaged(state: LinkState, crossing: Crossing, sample: TransferSample, late_s: float) -> Average:
    """Average with `sample` in it, beside the forecast error of the estimate before it; late_s: the overhead by the
    envelope before it."""
    envelope, before = state.goodput, None
    if envelope is not None:
        overhead_s = late_s if state.selected_last_value is None else envelope.fixed_overhead_s
        before = LinearEstimate(state.last_receipt_s, overhead_s, 1.0 / state.uncapped_bps)
    service_s = max(crossing.least_s, RTT_NOISE_S)
    return observe_average(state.average, sample.payload_bytes, service_s, sample.sent_s, before)


def _crossing(state: LinkState, sample: TransferSample) -> Crossing:
    """Timing of `sample` on the link alone."""
    arrived_s, through_s = sample.receipt_s - state.rtt_s, state.last_receipt_s - state.rtt_s
    return Crossing(
        n_bits=8.0 * sample.payload_bytes,
        whole_s=arrived_s - max(sample.sent_s, min(through_s, state.free_s)),
        least_s=arrived_s - max(sample.sent_s, through_s),
        burst_bits=8.0 * min(BURST_BYTES, sample.payload_bytes) if sample.sent_s >= through_s else 0.0,
        at_s=sample.receipt_s,
    )


def observe_silence(state: LinkState, payload_bytes: int, sent_s: float, now_s: float) -> LinkState:
    """Cap the goodput by the oldest transfer in flight once it is long overdue. Call as often as you like.

    The time elapsed bounds the goodput: it is below 8 payload_bytes / elapsed, so a drop is known before the
    receipt arrives, which confirms or lifts the cap, as the next one does.
    """
    if state.goodput is None or payload_bytes <= 0:
        return state
    elapsed_s = now_s - state.rtt_s - state.goodput.fixed_overhead_s - _began_s(state, sent_s)
    expected_s = 8.0 * payload_bytes / state.uncapped_bps
    if elapsed_s <= _SILENCE_FACTOR * expected_s + SILENCE_GRACE_S:
        return state
    return replace(state, ceiling_bps=min(state.ceiling_bps, 8.0 * payload_bytes / elapsed_s))


def receipt_due_s(state: LinkState, payload_bytes: int, sent_s: float) -> float:
    """When the receipt of the oldest transfer in flight is expected; inf before the first transfer."""
    if state.goodput is None:
        return math.inf
    expected_s = 8.0 * payload_bytes / min(state.uncapped_bps, state.ceiling_bps)
    return _began_s(state, sent_s) + state.rtt_s + state.goodput.overhead_s + expected_s


def observe_down(state: LinkState) -> LinkState:
    """`state` of a link whose peer is gone or that is reported dead: goodput 0.0 until the next sign of life."""
    return replace(state, is_down=True)


def estimate(state: LinkState, now_s: float) -> LinkEstimate | None:
    """Estimate of the link at `now_s`; None before the first transfer (probe an idle link)."""
    if state.goodput is None:
        return None
    envelope = state.goodput
    is_capped = state.ceiling_bps < state.uncapped_bps
    std_ratio = envelope.std_ratio(now_s)
    return LinkEstimate(
        source=state.source,
        target=state.target,
        rtt_s=state.rtt_s,
        overhead_s=envelope.overhead_s
        if state.selected_last_value is None
        else envelope.fixed_overhead_s,  # the rest is in its rate
        goodput_bps=estimated_bps(state),
        goodput_std_ratio=max(std_ratio, _SILENCE_STD_RATIO) if is_capped else std_ratio,
        measured_at_s=measured_at_s(state),
        n_samples=0 if is_capped else envelope.n_samples,
        average_bps=0.0 if state.average is None else state.average.goodput_bps,
        average_std_ratio=0.0 if state.average is None else state.average.std_ratio,
        oscillating_until_s=-math.inf if state.average is None else state.average.oscillating_until_s,
    )


def estimated_bps(state: LinkState) -> float:
    """`goodput_bps` of the `estimate`; 0.0 before the first transfer."""
    if state.goodput is None or state.is_down or state.n_to_believe > 0:
        return 0.0
    return min(state.uncapped_bps, state.ceiling_bps)


def measured_at_s(state: LinkState) -> float:
    """`measured_at_s` of the `estimate`; -inf before the first transfer."""
    if state.goodput is None:
        return -math.inf
    last_value = state.selected_last_value
    return state.goodput.at_s if last_value is None else max(state.goodput.at_s, last_value.at_s)


def _began_s(state: LinkState, sent_s: float) -> float:
    """Time at which the link began to carry a message sent at `sent_s`, shifted by the way there."""
    return max(sent_s, state.last_receipt_s - state.rtt_s)


def _returned(state: LinkState) -> LinkState:
    """`state` after a sign of life: of the estimate from before an outage nothing stays but round trips."""
    if not state.is_down:
        return state
    return replace(state, is_down=False, n_to_believe=N_BELIEVED, goodput=None, ceiling_bps=math.inf, last_value=None)
