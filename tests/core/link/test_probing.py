"""How large a probe is, when it is sent, what it may cost, and what of it is news."""

import itertools
from dataclasses import replace

import pytest

from seamline.core.link.estimator import (
    LinkState,
    TransferSample,
    estimate,
    observe_down,
    observe_rtt,
    observe_transfer,
)
from seamline.core.link.news import change_ratio, has_jumped, has_moved, is_news
from seamline.core.link.probing import (
    LONG_SHARE_RATIO,
    MAX_LONG_PROBE_BYTES,
    MIN_LONG_PROBE_BYTES,
    MIN_PROBE_BYTES,
    N_CONFIRMING_PROBES,
    N_FIRST_PONGS,
    N_FIRST_PROBES,
    PROBE_INTERVAL_S,
    REGULAR_SHARE_RATIO,
    Probing,
    bottleneck_changed,
    carried,
    next_probe,
    probed,
    reset,
)
from seamline.core.vocabulary.nodes import NodeId

RTT_S = 0.01
MEASURED = Probing(n_pongs=N_FIRST_PONGS, n_probes=N_FIRST_PROBES, n_confirming=1)


def sent(state: LinkState, n_bytes: int, rate_bps: float, at_s: float) -> LinkState:
    receipt_s = at_s + RTT_S + 8 * n_bytes / rate_bps
    return observe_transfer(state, TransferSample(payload_bytes=n_bytes, sent_s=at_s, receipt_s=receipt_s))


def test_a_probe_that_follows_up_a_slow_transfer_is_sized_for_the_link_as_it_seems_now():
    state = observe_rtt(LinkState(source=NodeId("edge"), target=NodeId("fog")), RTT_S, 0.0)
    for at in range(10):
        state = sent(state, 100_000, 40e6, 1.0 + at)
    _, usual_bytes = next_probe(MEASURED, state, 20.0)
    fell = sent(state, 100_000, 2e6, 19.0)
    assert fell.goodput is not None
    assert fell.goodput.candidates  # one slow transfer is a candidate only
    _, n_bytes = next_probe(MEASURED, fell, 20.0)
    assert MIN_LONG_PROBE_BYTES <= n_bytes < usual_bytes / 4
    assert usual_bytes <= MAX_LONG_PROBE_BYTES


PINGED = observe_rtt(LinkState(source=NodeId("edge"), target=NodeId("fog")), RTT_S, 0.0)


def idled(
    probing: Probing, state: LinkState, rate_bps: float, until_s: float
) -> tuple[list[tuple[float, int]], Probing]:
    """An idle link that is asked every 10 ms: (at_s, bytes) of its probes."""
    sizes, at_s = list[tuple[float, int]](), 0.0
    while at_s < until_s:
        probing, n_bytes = next_probe(probing, state, at_s)
        if n_bytes:
            sizes.append((at_s, n_bytes))
            before, sample = state, TransferSample(n_bytes, at_s, at_s + RTT_S + 8 * n_bytes / rate_bps)
            state = observe_transfer(state, sample)
            probing, at_s = probed(probing, before, state, sample), sample.receipt_s
        at_s += 0.01
    return sizes, probing


def test_a_link_is_pinged_first_then_probed_long_and_short_in_turn():
    assert next_probe(Probing(n_pongs=N_FIRST_PONGS - 1), PINGED, 1.0)[1] == 0
    sizes, probing = idled(Probing(n_pongs=N_FIRST_PONGS), PINGED, 20e6, 0.9)
    assert [n_bytes > MIN_PROBE_BYTES for _, n_bytes in sizes] == [True, False] * (N_FIRST_PROBES // 2) + [True]
    assert probing.is_measured


@pytest.mark.parametrize("rate_bps", [0.5e6, 20e6, 400e6])
def test_probes_of_an_idle_link_take_no_more_of_it_than_their_share(rate_bps: float):
    sizes, _ = idled(Probing(n_pongs=N_FIRST_PONGS), PINGED, rate_bps, 300.0)
    later = [n_bytes for at_s, n_bytes in sizes if at_s > 60.0]
    assert later
    share_ratio = max(REGULAR_SHARE_RATIO, 8 * MIN_PROBE_BYTES / rate_bps / PROBE_INTERVAL_S)
    assert sum(8 * n_bytes / rate_bps for n_bytes in later) / 240.0 < 1.1 * (share_ratio + LONG_SHARE_RATIO)


@pytest.mark.parametrize("rate_bps", [0.02e6, 0.1e6, 0.5e6])
def test_a_link_that_carries_next_to_nothing_is_looked_at_again_every_second(rate_bps: float):
    sizes, _ = idled(Probing(n_pongs=N_FIRST_PONGS), PINGED, rate_bps, 300.0)
    later = [(at_s, n_bytes) for at_s, n_bytes in sizes if at_s > 100.0]
    took_s = 8 * MIN_PROBE_BYTES / rate_bps
    assert max(b - a for (a, _), (b, _) in itertools.pairwise(later)) <= PROBE_INTERVAL_S + took_s + 0.2
    regular = [n_bytes for _, n_bytes in later if n_bytes == MIN_PROBE_BYTES]
    assert len(regular) >= len(later) // 2


def test_a_frame_puts_a_probe_off_and_a_sibling_that_jumped_brings_one_at_once():
    known = sent(PINGED, 100_000, 20e6, 1.0)
    busy = carried(replace(MEASURED, n_confirming=0), 2.0)
    assert next_probe(busy, known, 2.0 + PROBE_INTERVAL_S / 2)[1] == 0
    assert next_probe(busy, known, 2.0 + PROBE_INTERVAL_S)[1] > 0
    assert carried(busy, 1.5) is busy
    assert next_probe(bottleneck_changed(busy, 2.1), known, 2.1)[1] >= MIN_LONG_PROBE_BYTES


def test_a_probe_that_does_not_fit_is_followed_up_until_that_is_chance():
    known = sent(PINGED, 100_000, 20e6, 1.0)
    probing, slow = replace(MEASURED, n_confirming=0, due_s=9.0), TransferSample(100_000, 2.0, 2.0 + RTT_S + 0.2)
    for n_confirming in range(1, N_CONFIRMING_PROBES + 1):
        probing = probed(probing, known, known, slow)
        assert (probing.n_confirming, probing.due_s) == (n_confirming, 0.0)
    assert probed(probing, known, known, slow).n_confirming == 0
    assert probed(probing, known, known, TransferSample(100_000, 2.0, 2.0 + RTT_S + 0.04)).n_confirming == 0


def test_a_link_measured_anew_begins_with_pings_and_what_was_spent_stays_spent():
    spent = replace(MEASURED, credit_s=0.01, credit_at_s=7.0)
    assert reset(spent) == Probing(credit_s=0.01, credit_at_s=7.0)


def test_a_link_that_is_down_is_not_probed_and_its_return_is_no_jump():
    known = sent(PINGED, 100_000, 20e6, 1.0)
    down = observe_down(known)
    assert next_probe(replace(MEASURED, n_confirming=0), down, 60.0)[1] == 0
    assert change_ratio(down, sent(down, 100_000, 5e6, 9.0)) == 1.0
    assert has_jumped(0.6)
    assert not has_jumped(0.7)


def test_news_is_an_estimate_never_reported_one_that_has_moved_or_one_reported_a_while_ago():
    known = sent(PINGED, 100_000, 20e6, 1.0)
    reported = estimate(known, 1.1)
    assert reported is not None
    assert is_news(None, known, False)
    assert not is_news(None, PINGED, False)
    assert not is_news(reported, sent(known, 100_000, 20e6, 1.5), False)
    assert is_news(reported, sent(known, 100_000, 20e6, 2.5), False)
    assert is_news(reported, observe_down(known), False)
    assert is_news(reported, known, True)
    assert has_moved(reported, replace(reported, is_silent=True))
    assert not has_moved(reported, replace(reported, goodput_bps=1.04 * reported.goodput_bps))
    assert has_moved(reported, replace(reported, goodput_bps=1.06 * reported.goodput_bps))
    assert has_moved(reported, replace(reported, rtt_s=reported.rtt_s + 2e-3))
