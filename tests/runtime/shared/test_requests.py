"""Questions to other nodes: every one is settled, by whoever was asked or because nobody can answer any more."""

from __future__ import annotations

import pytest

from seamline.core.vocabulary.errors import PeerLost
from seamline.core.vocabulary.nodes import NodeId
from seamline.runtime.shared.requests import Requests

FOG, CLOUD = NodeId("fog"), NodeId("cloud")


def test_only_the_node_that_was_asked_settles_a_question_and_only_once():
    requests = Requests()
    number, answer = requests.open(FOG)
    requests.settle(number, CLOUD, "not yours to answer")
    assert not answer.done()
    requests.settle(number, FOG, "yes")
    requests.settle(number, FOG, "no")
    assert answer.result(timeout=0) == "yes"


def test_what_was_asked_of_a_node_that_goes_is_settled_and_nothing_else():
    requests = Requests()
    _, gone = requests.open(FOG)
    _, waiting = requests.open(CLOUD)
    requests.peer_lost(FOG)
    with pytest.raises(PeerLost, match="`fog` went away"):
        gone.result(timeout=0)
    assert not waiting.done()


def test_what_is_asked_while_the_node_ends_or_later_is_settled():
    requests = Requests()
    _, waiting = requests.open(FOG)
    requests.close()
    _, late = requests.open(FOG)
    for answer in (waiting, late):
        with pytest.raises(PeerLost, match="shutting down"):
            answer.result(timeout=0)
