"""Who is there: a node that can be sent to and has said of itself what it is."""

from __future__ import annotations

import threading

from seamline.core.vocabulary.nodes import NodeId

FOG = NodeId("fog")


def test_a_node_is_shown_only_while_it_can_be_sent_to(bench, wait_until):
    edge, fog = bench.start("edge"), bench.start("fog")
    wait_until(lambda: FOG in edge.presence.statuses())
    status = edge.presence.statuses()[FOG]
    fog.close()
    wait_until(lambda: not edge.fabric.peers())
    edge.presence.received(FOG, status)  # on its way when the node went; just so, one may come before the node does
    assert edge.presence.statuses() == {}


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
    wait_until(lambda: FOG in edge.presence.statuses())
    status, ears = edge.presence.statuses()[FOG], Hears()
    edge.listen("s", ears)
    assert ears.news[:2] == [("here", FOG), ("status", FOG)]  # all that is known, before `listen` returns
    fog.close()
    wait_until(lambda: ears.news[-1] == ("gone", FOG))
    edge.status_arrived(FOG, status)  # it was on its way
    assert ears.news[-1] == ("gone", FOG)


def test_a_stream_hears_the_status_that_came_before_its_node_as_soon_as_that_is_seen(bench, wait_until):
    edge, early = bench.start("edge"), bench.start("fog")
    wait_until(lambda: FOG in edge.presence.statuses())
    status, ears = edge.presence.statuses()[FOG], Hears()
    early.close()
    wait_until(lambda: not edge.fabric.peers())
    edge.listen("s", ears)
    edge.status_arrived(FOG, status)
    assert ("status", FOG) not in ears.news
    bench.start("fog")
    wait_until(lambda: ("status", FOG) in ears.news)
    here = ears.news.index(("here", FOG))
    assert ears.news[here + 1] == ("status", FOG)


def test_the_heartbeat_goes_on_after_what_it_asked_has_failed(bench, wait_until, monkeypatch):
    edge, fog = bench.start("edge"), bench.start("fog")
    failed = threading.Event()

    def fail() -> tuple[str, ...]:
        failed.set()
        raise OSError("stale file handle")

    with monkeypatch.context() as broken:
        broken.setattr(fog.store, "ids", fail)
        assert failed.wait(10)
    seen = edge.presence.statuses().get(FOG)
    wait_until(lambda: edge.presence.statuses().get(FOG) not in (None, seen))


def test_the_link_to_a_visitor_is_not_measured_and_leaves_nothing_behind(bench, wait_until):
    edge = bench.start("edge")
    visitor = bench.start("fog", tier="visitor")
    wait_until(lambda: edge.name in visitor.presence.statuses() and FOG in edge.presence.statuses())
    wait_until(lambda: visitor.links.is_measured(edge.name))  # by its own probes
    assert not edge.links.is_measured(FOG)
    assert edge.links.estimates() == ()
    assert edge.links.due_pings() == []
