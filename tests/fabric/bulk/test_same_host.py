"""Claims about `fabric.bulk.same_host`."""

from __future__ import annotations

import pytest

from seamline.fabric.bulk import same_host
from seamline.fabric.bulk.same_host import Place, place_of

pytestmark = pytest.mark.needs("linux")

LOCAL = ("tcp/127.0.0.1:7447", "tcp/127.0.0.1:40000")


@pytest.mark.parametrize(
    "link",
    [LOCAL, ("tls/[::1]:7447", "tls/[::1]:9"), ("tcp/192.168.1.7:7447", "tcp/192.168.1.7:9")],
)
def test_connections_to_the_own_machine_make_a_place(link: tuple[str, str]) -> None:
    place = place_of([("tcp/10.0.0.1:7447", "tcp/10.0.0.2:9"), link])
    assert place is not None
    assert place.links == (link,)


def test_nothing_is_shared_over_other_connections_or_a_shaped_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    assert place_of([("tcp/10.0.0.1:7447", "tcp/10.0.0.2:9"), ("unixpipe/x", "unixpipe/y")]) is None
    monkeypatch.setattr(same_host, "_loopback_qdisc", lambda: b"netem\0")
    assert place_of([LOCAL]) is None


def test_nodes_are_beside_each_other_when_one_connection_joins_them() -> None:
    place = Place(network=1, links=(LOCAL,))
    assert place.is_beside(Place(network=1, links=(("tcp/127.0.0.1:1", "tcp/127.0.0.1:2"), LOCAL[::-1])))
    assert not place.is_beside(place)
    assert not place.is_beside(Place(network=2, links=(LOCAL[::-1],)))
