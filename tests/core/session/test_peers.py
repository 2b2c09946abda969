"""Who counts among the nodes of a stream: known, profiled, and not left out for refusing frames."""

from __future__ import annotations

import math
import re

import pytest

from seamline.core.adaptation.events import PlanServing, ProfileKnown
from seamline.core.adaptation.view import View
from seamline.core.session import commands as cmd
from seamline.core.session import peers as peers_module
from seamline.core.session.peers import FIRST_OPEN_S, LAST_OPEN_S, PROFILE_AGAIN_S, PROFILE_LATE_S, Peers
from seamline.core.session.stream_view import StreamView
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan

EDGE, FOG = NodeId("edge"), NodeId("fog")


class World:
    """One other node, a clock that stands still, and the profiles that were asked for."""

    def __init__(self, profile, status) -> None:
        self._status = status
        self.now_s = 100.0
        self.out: list[cmd.PilotOutput] = []
        self.view = StreamView(View(origin=EDGE))
        self.view.apply(ProfileKnown(EDGE, profile(EDGE), self.now_s))
        self.view.apply(PlanServing(Plan.parse("edge[0:4]"), 0, self.now_s))
        self.peers = Peers([FOG], self.view, self.out)

    def status(self, incarnation: str) -> None:
        self.peers.status_received(self._status(FOG, incarnation=incarnation), self.now_s)

    def refuse(self, reason: str = "no such segment") -> None:
        self.peers.open_breaker(FOG, reason, self.now_s)

    def tick(self, after_s: float = 0.0) -> None:
        self.peers.tick(self.now_s + after_s)

    @property
    def is_there(self) -> bool:
        return FOG in self.view.view.nodes

    @property
    def n_asked(self) -> int:
        return self.out.count(cmd.AskProfile(FOG))


@pytest.fixture
def world(profile, status) -> World:
    return World(profile, status)


@pytest.fixture
def known(world, profile) -> World:
    """The node is there and profiled."""
    world.status("a")
    world.peers.profile_known(FOG, profile(FOG), world.now_s)
    return world


# -- the table of the breaker ------------------------------------------------------------------------------------------


def test_the_table_of_the_breaker_is_the_one_that_is_tried_here():
    rows = re.findall(r"^    (closed|open|hung) +(.+?)  +(open|closed|hung) ", peers_module.__doc__ or "", re.MULTILINE)
    assert rows == [
        ("closed", "a frame refused", "open"),
        ("closed", "deadlines missed", "hung"),
        ("open", "its time is over", "closed"),
        ("open", "lost, or a new process", "closed"),
        ("hung", "it computed the segment", "open"),
        ("hung", "it could not", "hung"),
        ("hung", "lost, and seen again", "hung"),
        ("hung", "a new process", "closed"),
    ]  # those of a node that hangs: `test_hung.py`


def test_closed_a_frame_refused_opens_it_and_the_node_has_left(known):
    known.refuse()
    assert known.peers.due_s == known.now_s + FIRST_OPEN_S
    assert not known.is_there


def test_open_its_time_is_over_closes_it_and_the_node_joined_as_another_incarnation(known):
    before = known.view.view.incarnations[FOG]
    known.refuse()
    known.tick(0.99 * FIRST_OPEN_S)
    assert not known.is_there
    known.tick(FIRST_OPEN_S)
    assert known.is_there
    assert known.peers.due_s == math.inf
    assert known.view.view.incarnations[FOG] != before


def test_open_a_lost_node_closes_it_and_the_node_joined_when_it_is_seen(known):
    known.refuse()
    known.peers.lost(FOG, known.now_s)
    assert known.peers.due_s == math.inf
    known.tick(LAST_OPEN_S)
    assert not known.is_there
    known.status("a")
    assert known.is_there


def test_open_a_new_process_closes_it_and_the_node_joined(known):
    known.refuse()
    known.status("b")
    assert known.peers.due_s == known.now_s + PROFILE_LATE_S, "it is asked for its profile"
    assert known.is_there
    known.refuse("nor has this one")
    assert not known.is_there


def test_a_node_that_refuses_is_left_out_longer_every_time_but_never_for_good(known):
    length_s = FIRST_OPEN_S
    for _ in range(7):
        known.refuse()
        known.refuse("another frame says so too")
        known.tick(0.99 * length_s)
        assert not known.is_there
        known.now_s += length_s
        known.tick()
        assert known.is_there
        length_s = min(LAST_OPEN_S, 2 * length_s)
    assert length_s == LAST_OPEN_S


# -- profiles ----------------------------------------------------------------------------------------------------------


def test_a_new_node_is_asked_for_its_profile_once_and_counts_with_the_answer(world, profile):
    world.status("a")
    world.status("a")
    assert world.n_asked == 1
    assert FOG not in world.view.problem.profiles
    world.peers.profile_known(FOG, profile(FOG), world.now_s)
    assert world.view.problem.profiles[FOG] == profile(FOG)


def test_a_node_whose_profile_is_known_when_it_is_first_seen_is_not_asked(world, profile):
    world.peers.profile_known(FOG, profile(FOG), world.now_s)
    world.status("a")
    assert world.is_there
    assert world.n_asked == 0


def test_a_node_that_restarted_is_profiled_again_and_the_old_profile_is_used_meanwhile(known, profile):
    known.status("b")
    assert known.n_asked == 2
    assert known.view.problem.profiles[FOG] == profile(FOG)


def test_a_profile_that_does_not_come_is_asked_for_again_when_the_node_is_back(world):
    world.status("a")
    world.peers.profile_failed(FOG, "gone", world.now_s)
    world.peers.lost(FOG, world.now_s)
    assert not world.is_there
    assert world.peers.due_s == math.inf
    world.status("a")
    assert world.n_asked == 2


def test_a_node_whose_breaker_closes_has_to_prepare_again_but_not_to_profile(known):
    known.refuse()
    known.tick(LAST_OPEN_S)
    assert known.n_asked == 1


def test_a_node_that_stays_but_could_not_profile_is_asked_again_after_a_while(world, profile):
    world.status("a")
    world.peers.profile_failed(FOG, "a piece of the model did not arrive", world.now_s)
    world.status("a")
    assert world.peers.due_s == world.now_s + PROFILE_AGAIN_S
    world.tick(0.99 * PROFILE_AGAIN_S)
    assert world.n_asked == 1
    world.tick(PROFILE_AGAIN_S)
    world.tick(2 * PROFILE_AGAIN_S)  # it is at it already
    assert world.n_asked == 2
    world.peers.profile_known(FOG, profile(FOG), world.now_s)
    world.tick(3 * PROFILE_AGAIN_S)
    assert world.n_asked == 2
    assert FOG in world.view.problem.profiles


def test_a_profile_that_is_known_after_all_is_not_asked_for_again(world, profile):
    world.status("a")
    world.peers.profile_failed(FOG, "no answer in time", world.now_s)
    world.peers.profile_known(FOG, profile(FOG), world.now_s)
    world.tick(2 * PROFILE_AGAIN_S)
    assert world.n_asked == 1


def test_a_node_that_does_not_profile_for_long_is_named_once_and_joins_when_it_has(world, profile):
    world.status("a")
    assert world.peers.due_s == world.now_s + PROFILE_LATE_S
    for _ in range(2):
        world.tick(PROFILE_LATE_S)
    (said,) = [one for one in world.out if isinstance(one, cmd.Say)]
    assert "`fog` has not profiled the model within 10 s; it joins when it has" in said.words
    assert world.peers.due_s == math.inf
    world.peers.profile_known(FOG, profile(FOG), world.now_s)
    assert FOG in world.view.problem.profiles
