"""Claims about `runtime.origin.controller`: which events end its sleep."""

from __future__ import annotations

from dataclasses import replace

import pytest

from seamline.core.session import events as ev
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan

EDGE, FOG = NodeId("edge"), NodeId("fog")
LINK = LinkEstimate(source=EDGE, target=FOG, rtt_s=0.01, goodput_bps=1e6)
FINISHED = ev.FrameFinished(
    frame=1, plan=Plan.parse("edge[0:4]"), generation=1, accepted_s=0.0, latency_s=0.1, n_attempts=1, answer={},
    reports=(),
)  # fmt: skip


@pytest.fixture
def controller(bench):
    bench.start("edge")
    controller = bench.stream(policy="local").controller
    controller._is_called.clear()
    return controller


def test_figures_are_taken_in_their_order(controller, wait_until):
    handled: list[ev.PilotEvent] = []
    controller._handle = handled.append
    for event in (ev.LinkEstimated(LINK), FINISHED):
        controller.post(event)
    wait_until(lambda: FINISHED in handled)
    assert [event for event in handled if event in (ev.LinkEstimated(LINK), FINISHED)] == [
        ev.LinkEstimated(LINK),
        FINISHED,
    ]


@pytest.mark.parametrize(
    ("event", "is_called"),
    [
        (FINISHED, False),
        (replace(FINISHED, error="no"), True),
        (ev.LinkEstimated(LINK), False),
        (ev.LinkEstimated(replace(LINK, goodput_bps=0.0)), True),
        (ev.PeerChanged(FOG, False), True),
    ],
)
def test_what_cannot_wait_ends_the_sleep_and_so_does_the_first_figure(controller, event, is_called):
    controller.close()
    for is_flowing in (True, False):
        controller._is_called.clear()
        controller._is_flowing = is_flowing
        controller.post(event)
        assert controller._is_called.is_set() is (is_called or not is_flowing)
