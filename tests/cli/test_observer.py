"""`seamline set` and `seamline switch`: the stream that is meant, and what is refused before anybody is asked."""

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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("set", "objective=joy"), "`joy` is not an objective"),
        (("set", "energy-scope=nobody"), "`nobody` says nobody's energy"),
        (("set", "energy-scope"), "`energy-scope` is not a setting"),
        (("set", "slo=0"), "a deadline of 0 s cannot be met"),
        (("set", "speed=2"), "`speed=2` is not a setting"),
        (("switch", "--plan", "bogus"), "`bogus` is not a stage"),
        (("switch", "--plan", "auto", "--strategy", "teleport"), "`teleport` is not a strategy"),
        (("switch", "--plan", "auto", "--stream", "edge"), "`edge` is not a stream's name"),
    ],
)
def test_wrong_use_is_said_with_a_hint(seamline, arguments: tuple[str, ...], said: str):
    named = () if "--stream" in arguments else ("--stream", "edge-12345678")
    outcome = seamline(*arguments, "--connect", "tcp/127.0.0.1:1", *named)
    assert outcome.exit_code == 2
    assert said in outcome.stderr
    assert outcome.stderr.count("hint:") == 1
