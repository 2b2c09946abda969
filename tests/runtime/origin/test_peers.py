"""Who counts among the nodes of a stream: known, profiled, and not left out for refusing frames."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from seamline.core.adaptation.events import PlanServing, ProfileKnown
from seamline.core.adaptation.view import View
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import PeerLost, PlanError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.profiles import Profile
from seamline.fabric import messages as msg
from seamline.runtime.origin import peers as peers_module
from seamline.runtime.origin.peers import FIRST_EJECTION_S, LAST_EJECTION_S, PROFILE_AGAIN_S, Peers
from seamline.runtime.origin.stream_view import Beliefs

EDGE, FOG = NodeId("edge"), NodeId("fog")


class World:
    """One other node, a clock that stands still, and the profiles that were asked for."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.asked: list[tuple[NodeId, Future[Profile]]] = []
        self.beliefs = Beliefs(View(origin=EDGE, objective=Objective.LATENCY, constraints=Constraints()))
        self.peers = Peers([FOG], self.beliefs, profile=self._profile, post=lambda call: call())

    def _profile(self, name: NodeId) -> Future[Profile]:
        answer: Future[Profile] = Future()
        self.asked.append((name, answer))
        return answer

    def told(self, incarnation: str) -> None:
        status = msg.Status(
            tier="fog", incarnation=incarnation, version="1", engine="ort", threads=1, n_cores=1, memory_bytes=1,
            free_memory_bytes=1, queue_s=0.0, models=(), links=(),
        )  # fmt: skip
        self.peers.told(FOG, status)

    @property
    def is_there(self) -> bool:
        return FOG in self.beliefs.view.nodes


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, profile) -> World:
    made = World()
    monkeypatch.setattr(peers_module, "now_s", lambda: made.now_s)
    made.beliefs.apply(ProfileKnown(EDGE, profile("edge"), made.now_s))
    made.beliefs.apply(PlanServing(Plan.parse("edge[0:19]"), 0, made.now_s))
    return made


def test_a_new_node_is_asked_for_its_profile_once_and_counts_with_the_answer(world, profile):
    world.told("a")
    world.told("a")
    ((name, answer),) = world.asked
    assert name == FOG
    assert FOG not in world.beliefs.problem.profiles
    answer.set_result(profile("fog"))
    assert world.beliefs.problem.profiles[FOG] == profile("fog")


def test_a_node_whose_profile_is_known_when_it_is_first_seen_is_not_asked(world, profile):
    world.beliefs.apply(ProfileKnown(FOG, profile("fog"), world.now_s))
    world.told("a")
    assert world.is_there
    assert world.asked == []


def test_a_node_that_restarted_is_profiled_anew_and_the_old_profile_stands_meanwhile(world, profile):
    world.told("a")
    world.asked[0][1].set_result(profile("fog"))
    world.told("b")
    assert len(world.asked) == 2
    assert world.beliefs.problem.profiles[FOG] == profile("fog")


def test_a_profile_that_does_not_come_is_asked_for_again_when_the_node_is_back(world):
    world.told("a")
    world.asked[0][1].set_exception(PeerLost("gone"))
    world.peers.lost(FOG)
    assert not world.is_there
    world.told("a")
    assert len(world.asked) == 2


def test_a_node_that_refuses_is_left_out_longer_every_time_but_never_for_good(world):
    world.told("a")
    length_s = FIRST_EJECTION_S
    for _ in range(7):
        world.peers.eject(FOG, "no such segment")
        world.peers.eject(FOG, "another frame says so too")
        world.peers.readmit(world.now_s + 0.99 * length_s)
        assert not world.is_there
        world.now_s += length_s
        world.peers.readmit(world.now_s)
        assert world.is_there
        length_s = min(LAST_EJECTION_S, 2 * length_s)
    assert length_s == LAST_EJECTION_S


def test_a_node_that_is_readmitted_has_to_prepare_again_but_not_to_profile(world, profile):
    world.told("a")
    world.asked[0][1].set_result(profile("fog"))
    before = world.beliefs.view.incarnations[FOG]
    world.peers.eject(FOG, "no such segment")
    world.peers.readmit(world.now_s + LAST_EJECTION_S)
    assert world.beliefs.view.incarnations[FOG] != before
    assert len(world.asked) == 1


def test_a_node_that_goes_while_it_is_left_out_is_not_readmitted_before_it_is_back(world):
    world.told("a")
    world.peers.eject(FOG, "no such segment")
    world.peers.lost(FOG)
    world.peers.readmit(world.now_s + LAST_EJECTION_S)
    assert not world.is_there
    world.told("a")
    assert world.is_there


def test_a_node_that_stays_but_could_not_profile_is_asked_again_after_a_while(world, profile):
    world.told("a")
    world.asked[0][1].set_exception(PlanError("a piece of the model did not arrive"))
    world.told("a")
    world.peers.readmit(world.now_s + 0.99 * PROFILE_AGAIN_S)
    assert len(world.asked) == 1
    world.peers.readmit(world.now_s + PROFILE_AGAIN_S)
    world.peers.readmit(world.now_s + 2 * PROFILE_AGAIN_S)  # it is at it already
    assert len(world.asked) == 2
    world.asked[1][1].set_result(profile("fog"))
    world.peers.readmit(world.now_s + 3 * PROFILE_AGAIN_S)
    assert len(world.asked) == 2
    assert FOG in world.beliefs.problem.profiles


def test_a_new_process_is_not_left_out_for_what_the_old_one_refused(world):
    world.told("a")
    world.peers.eject(FOG, "no such segment")
    world.told("b")
    assert world.is_there
    world.peers.eject(FOG, "nor has this one")
    assert not world.is_there
