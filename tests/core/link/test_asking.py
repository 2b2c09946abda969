"""Interest of a session in links: asked of every node that is there, renewed while frames flow, and left to lapse."""

from __future__ import annotations

import math

from seamline.core.link.asking import QUIET_S, Asking
from seamline.core.link.interest import RENEW_S
from seamline.core.vocabulary.nodes import NodeId

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")


class Session:
    """What a session asks, and the nodes that are there."""

    def __init__(self) -> None:
        self.interest = Asking((EDGE, FOG, CLOUD))
        self.present = [EDGE, FOG]

    def tick(self, now_s: float) -> dict[NodeId, frozenset[NodeId]]:
        return dict(self.interest.due(self.present, now_s))


def test_a_session_that_has_not_begun_asks_nobody():
    session = Session()
    assert session.interest.due_s == math.inf
    assert session.tick(1.0) == {}


def test_every_node_that_is_there_is_asked_for_its_links_to_all_others():
    session = Session()
    session.interest.active(1.0)
    assert session.interest.due_s <= 1.0
    assert session.tick(1.0) == {EDGE: {FOG, CLOUD}, FOG: {EDGE, CLOUD}}
    assert session.tick(1.5) == {}
    session.present.append(CLOUD)
    assert session.tick(1.6) == {CLOUD: {EDGE, FOG}}
    assert session.interest.due_s == 1.0 + RENEW_S
    assert session.tick(1.0 + RENEW_S).keys() == {EDGE, FOG, CLOUD}


def test_a_node_that_is_back_is_asked_at_once():
    session = Session()
    session.interest.active(0.0)
    session.tick(0.0)
    session.interest.lost(FOG)
    assert session.tick(0.1).keys() == {FOG}


def test_interest_lapses_when_frames_stop_and_is_asked_for_with_the_next_one():
    session = Session()
    session.interest.active(0.0)
    asked_s = [0.1 * tenth for tenth in range(200) if session.tick(0.1 * tenth)]
    assert QUIET_S - RENEW_S <= asked_s[-1] < QUIET_S
    assert session.interest.due_s == math.inf
    session.interest.active(50.0)
    assert session.interest.due_s <= 50.0
    assert session.tick(50.0).keys() == {EDGE, FOG}
