"""Who is there: a node that can be sent to and has said of itself what it is."""

from __future__ import annotations

from seamline.core.values import NodeId


def test_a_node_is_shown_only_while_it_can_be_sent_to(bench, wait_until):
    edge, fog = bench.start("edge"), bench.start("fog")
    name = NodeId("fog")
    wait_until(lambda: name in edge.presence.statuses())
    status = edge.presence.statuses()[name]
    fog.close()
    wait_until(lambda: not edge.fabric.peers())
    edge.presence.received(name, status)  # on its way when the node went; just so, one may come before the node does
    assert edge.presence.statuses() == {}
