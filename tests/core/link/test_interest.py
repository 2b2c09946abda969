"""Interest in a node's links: held under a lease, by whoever asks, for each of his streams."""

from __future__ import annotations

import math

from seamline.core.link.interest import MAX_INTEREST_S, MAX_PER_ASKER, Interests
from seamline.core.vocabulary.nodes import NodeId

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")


def test_interest_lapses_unless_it_is_renewed():
    interests = Interests()
    assert interests.hold(EDGE, "a", {FOG}, 3.0, 0.0)
    assert not interests.hold(EDGE, "a", {FOG}, 3.0, 2.0)
    assert not interests.lapse(4.9)
    assert (interests.askers, interests.targets, interests.lapses_s) == ((EDGE,), {FOG}, 5.0)
    assert interests.lapse(5.0)
    assert (interests.askers, interests.targets, interests.lapses_s) == ((), frozenset(), math.inf)


def test_what_any_stream_of_any_origin_wants_is_measured():
    interests = Interests()
    interests.hold(EDGE, "a", {FOG}, 3.0, 0.0)
    interests.hold(EDGE, "b", {CLOUD}, 1.0, 0.0)
    interests.hold(CLOUD, "a", {EDGE}, 2.0, 0.0)
    assert interests.targets == {EDGE, FOG, CLOUD}
    interests.lapse(1.5)
    assert (interests.targets, interests.askers) == ({EDGE, FOG}, (EDGE, CLOUD))


def test_nobody_holds_interest_for_long_or_for_many_streams():
    interests = Interests()
    interests.hold(EDGE, "for ever", {FOG}, 1e15, 0.0)
    assert interests.lapses_s == MAX_INTEREST_S
    for number in range(2 * MAX_PER_ASKER):
        interests.hold(EDGE, f"stream {number}", {NodeId(f"node-{number}")}, 1.0 + number, 0.0)
    assert len(interests.targets) <= MAX_PER_ASKER
