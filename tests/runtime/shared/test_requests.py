"""Questions to other nodes: every one is settled, by whoever was asked or because nobody can answer any more."""

from __future__ import annotations

import pytest

from seamline.core.vocabulary.errors import PeerLost
from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric.messages import Message, SwitchPlan
from seamline.runtime.shared.requests import Requests

FOG, CLOUD = NodeId("fog"), NodeId("cloud")


def question(request_id: int) -> Message:
    return SwitchPlan(request_id, "s", "auto")


@pytest.fixture
def sent() -> list[tuple[NodeId, Message]]:
    return []


@pytest.fixture
def requests(sent) -> Requests:
    return Requests(lambda target, message: sent.append((target, message)))


def test_only_the_node_that_was_asked_settles_a_question_and_only_once(requests, sent):
    answer = requests.ask(FOG, question)
    ((target, asked),) = sent
    assert target == FOG
    requests.settle(asked.request_id, CLOUD, "not yours to answer")
    assert not answer.done()
    requests.settle(asked.request_id, FOG, "yes")
    requests.settle(asked.request_id, FOG, "no")
    assert answer.result(timeout=0) == "yes"


def test_a_question_that_cannot_be_sent_is_settled_with_that_error():
    def refuse(target: NodeId, message: Message) -> None:
        raise PeerLost(f"`{target}` is not alive")

    with pytest.raises(PeerLost, match="`fog` is not alive"):
        Requests(refuse).ask(FOG, question).result(timeout=0)


def test_what_was_asked_of_a_node_that_goes_is_settled_and_nothing_else(requests):
    gone, waiting = requests.ask(FOG, question), requests.ask(CLOUD, question)
    requests.on_peer(CLOUD, True)
    requests.on_peer(FOG, False)
    with pytest.raises(PeerLost, match="`fog` went away"):
        gone.result(timeout=0)
    assert not waiting.done()


def test_what_is_asked_while_the_node_ends_or_later_is_settled(requests):
    waiting = requests.ask(FOG, question)
    requests.close()
    late = requests.ask(FOG, question)
    for answer in (waiting, late):
        with pytest.raises(PeerLost, match="shutting down"):
            answer.result(timeout=0)
