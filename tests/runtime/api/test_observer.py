"""Streams as another node sees and steers them: an observer asks their origin, and is answered in bounds."""

from __future__ import annotations

import json

import msgspec
import pytest
import zstandard

from seamline.core.vocabulary.errors import SeamlineError, WireError
from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric import messages as msg
from seamline.runtime.api.observer import StreamObserver, origin_of, preview_in
from seamline.runtime.api.stream_state import StreamBrief
from seamline.runtime.shared.stream_requests import MAX_FOUND_BYTES, unpacked

PATIENCE_S = 20.0


@pytest.fixture
def seen(bench, wait_until):
    """A stream at the edge over fog, and who looks at it from the cloud."""
    bench.start("edge")
    bench.start("fog")
    onlooker = bench.start("cloud")
    stream = bench.stream(policy="local")
    observer = StreamObserver(onlooker)
    wait_until(lambda: "edge" in observer.origins())
    return stream, observer


def test_another_node_sees_a_stream_in_brief_and_whole(seen):
    stream, observer = seen
    observer.refresh((), wait_s=PATIENCE_S)
    assert list(observer.briefs) == [stream.name]
    assert observer.briefs[stream.name].plan == str(stream.plan)
    observer.refresh((stream.name,), with_costs=(stream.name,), wait_s=PATIENCE_S)
    state = observer.states[stream.name]
    assert state.snapshot.plan == str(stream.plan)
    assert {node.name for node in state.nodes} >= {"edge", "fog"}
    assert state.costs.curves
    observer.refresh((), wait_s=PATIENCE_S)
    assert observer.states == {}


def test_another_node_previews_pins_judges_drains_and_releases_and_is_named_in_the_log(seen):
    stream, observer = seen
    client, last_cut = observer.node.client, len(stream.model.cuts) - 1
    plan = f"edge[0:4]raw > fog[4:{last_cut}]"
    observer.refresh((), wait_s=PATIENCE_S)
    assert preview_in(observer.preview(stream.name, plan).result(PATIENCE_S)).plan == plan
    record = json.loads(client.switch_plan(NodeId("edge"), stream.name, plan, by="on the dashboard").result(PATIENCE_S))
    assert record["to_plan"] == plan == str(stream.plan)
    assert record["reason"] == "pinned on the dashboard by `cloud`"
    assert client.switch_plan(NodeId("edge"), stream.name, "auto").result(PATIENCE_S)
    assert client.set_objective(NodeId("edge"), stream.name, "throughput").result(PATIENCE_S) == "latency"
    assert client.avoid(NodeId("edge"), stream.name, ["fog"]).result(PATIENCE_S) == "none"
    observer.refresh((stream.name,), wait_s=PATIENCE_S)
    state = observer.states[stream.name]
    assert state.avoided == ("fog",)
    assert [(change.what, change.by) for change in state.changes] == [
        (f"pinned {plan}", "on the dashboard by `cloud`"),
        ("released the plan", "by `cloud`"),
        ("judged by throughput, before by latency", "by `cloud`"),
        ("avoids fog", "by `cloud`"),
    ]
    assert observer.briefs[stream.name].n_events >= 5


@pytest.mark.parametrize("plan", ["nonsense", "edge[0:2]", "edge[0:4]raw > mars[4:18]"])
def test_what_cannot_be_is_answered_in_words(seen, plan):
    stream, observer = seen
    with pytest.raises(SeamlineError):
        observer.preview(stream.name, plan).result(PATIENCE_S)
    with pytest.raises(SeamlineError, match="no stream"):
        observer.node.client.look(NodeId("edge"), "edge-nothing").result(PATIENCE_S)


def test_an_origin_tells_of_its_own_streams_only_and_steers_no_terminal(seen, monkeypatch):
    stream, observer = seen
    brief = msgspec.to_builtins(msgspec.json.decode(stream.brief(), type=StreamBrief))
    lies = [brief | {"name": "cloud-1", "title": "\x1b[2Jgone\x9b"}, brief | {"name": "fog-1"}]
    monkeypatch.setattr(observer.node.stream_requests, "_look", lambda ask: msgspec.json.encode(lies))
    own = StreamObserver(observer.node, own_only=True)
    own.refresh((), wait_s=PATIENCE_S)
    assert list(own.briefs) == ["cloud-1"]
    assert own.briefs["cloud-1"].title.isprintable()


def test_what_is_too_large_or_damaged_is_refused_before_it_is_unpacked():
    assert unpacked(zstandard.compress(b"[]")) == b"[]"
    for found in (b"nonsense", zstandard.compress(bytes(MAX_FOUND_BYTES + 1)), b""):
        with pytest.raises(WireError):
            unpacked(found)


def test_an_origin_that_does_not_answer_is_said_and_waited_for_no_longer(seen, monkeypatch):
    _, observer = seen
    monkeypatch.setattr(observer.node.requests, "_send", lambda *_: None)
    waited: list[int] = []
    monkeypatch.setattr("seamline.runtime.api.observer.wait", lambda asked, timeout: waited.append(len(asked)))
    observer.refresh((), wait_s=PATIENCE_S)
    observer.refresh((), wait_s=0.0)
    assert waited == [1, 0]
    assert "does not answer" in observer.troubles["edge"]


def test_looking_is_anybodys_and_only_an_origin_answers():
    from seamline.runtime.shared.rights import CERTIFIED, why_not

    assert why_not(CERTIFIED["observer"], msg.LookAt) is None
    assert why_not(CERTIFIED["observer"], msg.LookedAt)
    assert why_not(CERTIFIED["observer"], msg.SetObjective)


def test_a_streams_name_says_where_it_starts():
    assert origin_of("edge-1-0a1b2c3d") == "edge-1"
    with pytest.raises(SeamlineError):
        origin_of("edge")
