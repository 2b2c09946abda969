"""Who is there: a node that can be sent to and has said of itself what it is."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from seamline.core.vocabulary.errors import WireError
from seamline.core.vocabulary.nodes import NodeId

FOG = NodeId("fog")


def test_a_node_is_shown_only_while_it_can_be_sent_to(bench, wait_until):
    edge, fog = bench.start("edge"), bench.start("fog")
    wait_until(lambda: FOG in edge.membership.statuses())
    status = edge.membership.statuses()[FOG]
    fog.close()
    wait_until(lambda: not edge.fabric.peers())
    edge.membership.on_status(FOG, status)  # on its way when the node went; just so, one may come before the node does
    assert edge.membership.statuses() == {}


class Hears:
    """A stream's ears: what it was told of other nodes, in order."""

    def __init__(self) -> None:
        self.news: list[tuple[str, NodeId]] = []

    def on_peer(self, node, alive):
        self.news.append(("here" if alive else "gone", node))

    def on_status(self, node, status):
        self.news.append(("status", node))

    def on_link(self, estimate):
        pass


def test_a_stream_hears_nothing_of_a_node_after_it_has_gone(bench, wait_until):
    edge, fog = bench.start("edge"), bench.start("fog")
    wait_until(lambda: FOG in edge.membership.statuses())
    status, ears = edge.membership.statuses()[FOG], Hears()
    edge.membership.listen("s", ears)
    assert ears.news[:2] == [("here", FOG), ("status", FOG)]  # all that is known, before `listen` returns
    fog.close()
    wait_until(lambda: ears.news[-1] == ("gone", FOG))
    edge.membership.on_status(FOG, status)  # it was on its way
    assert ears.news[-1] == ("gone", FOG)


def test_a_stream_hears_the_status_that_came_before_its_node_as_soon_as_that_is_seen(bench, wait_until):
    edge, early = bench.start("edge"), bench.start("fog")
    wait_until(lambda: FOG in edge.membership.statuses())
    status, ears = edge.membership.statuses()[FOG], Hears()
    early.close()
    wait_until(lambda: not edge.fabric.peers())
    edge.membership.listen("s", ears)
    edge.membership.on_status(FOG, status)
    assert ("status", FOG) not in ears.news
    bench.start("fog")
    wait_until(lambda: ("status", FOG) in ears.news)
    here = ears.news.index(("here", FOG))
    assert ears.news[here + 1] == ("status", FOG)


def test_a_node_is_one_process_until_it_was_seen_to_go(bench, wait_until):
    edge, fog = bench.start("edge"), bench.start("fog")
    wait_until(lambda: FOG in edge.membership.statuses())
    status, ears = edge.membership.statuses()[FOG], Hears()
    edge.membership.listen("s", ears)
    with pytest.raises(WireError, match="`fog` says to be another process"):
        edge.membership.on_status(FOG, replace(status, incarnation="another"))
    assert edge.membership.statuses()[FOG].incarnation == status.incarnation
    fog.close()
    wait_until(lambda: ears.news[-1] == ("gone", FOG))
    bench.nodes.pop("fog")
    bench.start("fog")
    wait_until(lambda: FOG in edge.membership.statuses())
    assert edge.membership.statuses()[FOG].incarnation != status.incarnation


def test_the_link_to_an_observer_is_not_measured_and_leaves_nothing_behind(bench, wait_until):
    edge = bench.start("edge")
    observer = bench.start("fog", tier="observer")
    wait_until(lambda: edge.name in observer.membership.statuses() and FOG in edge.membership.statuses())
    observer.client.measure_links(FOG, "", {edge.name}, 20.0)
    observer.client.measure_links(edge.name, "", {FOG}, 20.0)
    wait_until(lambda: observer.links.is_measured(edge.name))  # by its own probes
    assert not edge.links.is_measured(FOG)
    assert edge.links.estimates() == ()
    assert edge.links.beat().pings == ()


def test_a_peer_that_may_have_missed_its_greeting_is_greeted_again_at_its_first_status(bench, wait_until, monkeypatch):
    edge, fog = bench.start("edge"), bench.start("fog")
    wait_until(lambda: FOG in edge.membership.statuses() and edge.name in fog.membership.statuses())
    with monkeypatch.context() as deaf:
        deaf.setattr(fog.membership, "_statuses", {})
        edge.membership._statuses.clear()
        fog.heartbeat.greet(edge.name)
        wait_until(lambda: edge.name in fog.membership.statuses())
