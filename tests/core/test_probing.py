"""How large a probe is, and what it may cost."""

from seamline.core.estimate import LinkState, TransferSample, observe_rtt, observe_transfer
from seamline.core.probing import (
    MAX_LONG_PROBE_BYTES,
    MIN_LONG_PROBE_BYTES,
    N_FIRST_PONGS,
    N_FIRST_PROBES,
    Probing,
    next_probe,
)
from seamline.core.values import NodeId

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
    assert fell.goodput.suspects  # one slow transfer is not believed yet
    _, n_bytes = next_probe(MEASURED, fell, 20.0)
    assert MIN_LONG_PROBE_BYTES <= n_bytes < usual_bytes / 4
    assert usual_bytes <= MAX_LONG_PROBE_BYTES
