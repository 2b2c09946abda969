"""Testbeds of published machines on whatever computer this is."""

import pytest

from seamline.config import LoadSpec, NodeSpec, Testbed
from seamline.config.machines import PUBLISHED_S, REFERENCE, REFERENCE_MACS, published_s
from seamline.core.vocabulary.errors import UsageError
from seamline.testbed.imitation import imitating, needs_profile

PI_S = PUBLISHED_S["raspberry-pi-4"][REFERENCE]
BED = Testbed(
    name="t",
    nodes=(
        NodeSpec(name="edge", tier="edge", machine="raspberry-pi-4"),
        NodeSpec(name="fog", tier="fog", slowdown=3.0),
    ),
    loads=(LoadSpec(node="edge", slowdown=2.5, at_s=1.0), LoadSpec(node="fog", slowdown=6.0, at_s=1.0)),
)


@pytest.mark.parametrize("here_s", [0.01, 0.1, 0.3])
def test_a_machine_takes_as_long_as_published_whatever_computer_this_is(here_s: float) -> None:
    bed = imitating(BED, model=REFERENCE, macs=REFERENCE_MACS, here_s=lambda n_threads: here_s)
    assert bed.node("edge").slowdown * here_s == pytest.approx(PI_S)
    assert bed.loads[0].slowdown * here_s == pytest.approx(2.5 * PI_S), "a hot one 2.5 times as long as that"


def test_nodes_without_a_machine_stay_as_they_are() -> None:
    bed = imitating(BED, model=REFERENCE, macs=REFERENCE_MACS, here_s=lambda n_threads: 0.01)
    assert bed.node("fog") == BED.node("fog")
    assert bed.loads[1] == BED.loads[1]
    assert not needs_profile(Testbed(name="t", nodes=BED.nodes[1:]))


def test_a_computer_that_is_too_slow_says_so() -> None:
    with pytest.raises(UsageError, match="takes 420 ms for `mobilenetv2`, too long to be node `edge`") as raised:
        imitating(BED, model=REFERENCE, macs=REFERENCE_MACS, here_s=lambda n_threads: 0.42)
    assert "a raspberry-pi-4 takes 444 ms" in str(raised.value)
    assert raised.value.hint


def test_a_network_that_is_not_published_takes_by_its_work() -> None:
    assert published_s("raspberry-pi-4", "mine", 2 * REFERENCE_MACS) == pytest.approx(2 * PI_S)
    assert published_s("raspberry-pi-4", "vgg19", 1) == PUBLISHED_S["raspberry-pi-4"]["vgg19"]
