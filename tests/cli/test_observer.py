"""The stream that a command means: the one that is named, or the only one there is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from seamline.cli.shared import observer
from seamline.cli.shared.observer import find_stream
from seamline.core.vocabulary.errors import FabricError, UsageError


class Cluster:
    """Nodes by name with the streams that start there, one set for each look, the last from then on."""

    def __init__(self, *looks: dict[str, tuple[str, ...]]) -> None:
        self._looks = list(looks)

    def nodes(self) -> dict[str, SimpleNamespace]:
        seen = self._looks[0] if len(self._looks) == 1 else self._looks.pop(0)
        return {name: SimpleNamespace(streams=streams) for name, streams in seen.items()}

    def wait_nodes(self, names: list[str]) -> None:
        self.waited_for = names


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch):
    monkeypatch.setattr(observer.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(observer, "SEARCH_S", 0.2)


def test_the_only_stream_need_not_be_named():
    cluster = Cluster({}, {"fog": ()}, {"fog": (), "edge": ("edge-1a",)})
    assert find_stream(cluster, None) == ("edge", "edge-1a")
    assert cluster.waited_for == ["edge"]


def test_a_stream_that_is_named_is_taken_whatever_else_runs():
    assert find_stream(Cluster({"edge": ("edge-1a", "edge-2b")}), "edge-2b") == ("edge", "edge-2b")


def test_of_several_streams_one_must_be_named():
    cluster = Cluster({"edge": ("edge-2b",)}, {"edge": ("edge-2b",), "pi-4": ("pi-4-1a",)})
    with pytest.raises(UsageError, match=r"2 streams run: edge-2b, pi-4-1a; hint: name one: --stream edge-2b"):
        find_stream(cluster, None)


def test_where_no_stream_runs_the_nodes_that_are_there_are_named():
    with pytest.raises(FabricError, match="no stream runs in the cluster; nodes seen: cloud, fog"):
        find_stream(Cluster({"fog": (), "cloud": ()}), None)
