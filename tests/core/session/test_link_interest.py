"""Interest of a session in links: asked of every node that is there, renewed while frames flow, and left to lapse."""

from __future__ import annotations

import math

from seamline.core.link.interest import INTEREST_S, RENEW_S
from seamline.core.session import commands as cmd
from seamline.core.session.link_interest import QUIET_S, LinkInterest
from seamline.core.vocabulary.nodes import NodeId

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")


class Session:
    """An interest, the nodes that are there, and whom it asked."""

    def __init__(self) -> None:
        self._out: list[cmd.PilotOutput] = []
        self.interest = LinkInterest((EDGE, FOG, CLOUD), self._out)
        self.present = [EDGE, FOG]

    def tick(self, now_s: float) -> dict[NodeId, frozenset[NodeId]]:
        self._out.clear()
        self.interest.tick(self.present, now_s)
        assert all(isinstance(one, cmd.MeasureLinks) and one.for_s == INTEREST_S for one in self._out)
        return {one.node: one.targets for one in self._out if isinstance(one, cmd.MeasureLinks)}


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
