"""Links and profiles from words alone, without a node that runs."""

from __future__ import annotations

import pytest

from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.runtime.lab.offline import by_node, parse_link, parse_links, parse_slowdowns


def test_a_colon_links_both_ways_and_an_arrow_one_way():
    there, back = parse_link("edge:cloud=20mbps,20ms")
    assert (there.source, there.target, there.goodput_bps, there.rtt_s) == ("edge", "cloud", 20e6, 0.04)
    assert (back.source, back.target) == ("cloud", "edge")
    (one,) = parse_link("edge>cloud=1gbps")
    assert (one.source, one.target, one.goodput_bps, one.rtt_s) == ("edge", "cloud", 1e9, 0.0)
    with pytest.raises(UsageError, match="to itself"):
        parse_link("edge:edge=1mbps")


def test_a_link_that_is_given_again_replaces_the_one_before():
    links = parse_links(["edge:fog=20mbps", "edge>fog=5mbps"])
    assert {ends: link.goodput_bps for ends, link in links.items()} == {
        (NodeId("edge"), NodeId("fog")): 5e6,
        (NodeId("fog"), NodeId("edge")): 20e6,
    }


def test_a_node_is_named_once():
    assert parse_slowdowns(["edge=8", "cloud=1"]) == {"edge": 8.0, "cloud": 1.0}
    with pytest.raises(UsageError, match="names `edge` twice"):
        by_node(["edge=a", "edge=b"], "--profile")


@pytest.mark.parametrize("text", ["edge=", "edge", "edge=0", "edge=fast", "edge=inf"])
def test_what_is_no_slowdown_is_refused(text):
    with pytest.raises(UsageError):
        parse_slowdowns([text])
