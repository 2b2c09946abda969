"""Claims about who may send what: one table for all messages, and what one node prepared is no other's to touch."""

from __future__ import annotations

import logging
import threading
from typing import get_args

import numpy as np
import pytest

from seamline.core.vocabulary.errors import PlanError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.ports import Lane
from seamline.fabric import messages as msg
from seamline.fabric.wire import pack
from seamline.runtime.node.frame_path import MAX_WAITING_PER_SOURCE
from seamline.runtime.node.stages import Arrival
from seamline.runtime.node.status import OBSERVER
from seamline.runtime.shared.rights import CERTIFIED, MAY_SEND, TOOL, WORKER, Role, why_not

FOG, CLOUD = NodeId("fog"), NodeId("cloud")


def test_the_table_has_a_line_for_every_message_and_nobody_else_is_asked():
    assert MAY_SEND.keys() == set(get_args(msg.Message))
    assert all(allowed for allowed in MAY_SEND.values())
    assert why_not(frozenset((Role.OBSERVER,)), msg.Prepare) == "it is observer, and origin may"
    assert why_not(frozenset(), msg.Status) == "it is of no role, and node or observer or operator or origin may"
    assert why_not(WORKER, msg.Prepare) is None


@pytest.mark.parametrize(
    ("certificate", "may", "may_not"),
    [
        ("node", (msg.ResultData, msg.Prepare, msg.SwitchPlan, msg.FetchModel), ()),
        (
            "origin",
            (msg.FrameData, msg.Prepare, msg.SwitchPlan, msg.FetchModel),
            (msg.Prepared, msg.ResultData, msg.FrameFailed),
        ),
        ("observer", (msg.Status, msg.Ping), (msg.SwitchPlan, msg.SetObjective, msg.FetchModel, msg.FrameData)),
    ],
)
def test_the_role_of_a_certificate_is_the_one_that_counts(certificate, may, may_not):
    assert [kind for kind in may if why_not(CERTIFIED[certificate], kind) is not None] == []
    assert [kind for kind in may_not if why_not(CERTIFIED[certificate], kind) is None] == []


def test_a_tool_without_certificates_steers_and_computes_nothing():
    assert why_not(TOOL, msg.SwitchPlan) is None
    assert why_not(TOOL, msg.FrameData) is not None


@pytest.fixture
def three(bench, wait_until):
    """Nodes edge, fog and cloud that know each other; fog holds a generation of edge's stream."""
    nodes = [bench.start(name) for name in ("edge", "fog", "cloud")]
    wait_until(lambda: all(len(node.fabric.peers()) == 2 for node in nodes))
    last = len(bench.model.cuts) - 1
    plan = Plan.parse(f"edge[0:2]raw > fog[2:{last}]")
    nodes[0].client.prepare(FOG, "edge-1", 7, bench.model.model_id, plan).result(timeout=20)
    return *nodes, plan


def test_what_an_origin_prepared_is_released_by_it_alone(three, wait_until):
    edge, fog, cloud, _ = three
    for generation in (7, -1):
        cloud.client.release(FOG, "edge-1", generation)
    cloud.client.release(FOG, "nobody-1", -1)
    wait_until(lambda: fog.dispatcher.n_refused == 2)
    assert fog.segments.n_generations == 1
    edge.client.release(FOG, "edge-1", 7)
    wait_until(lambda: fog.segments.n_generations == 0)


def test_nobody_prepares_in_the_stream_of_another_nor_of_the_node_itself(three, bench):
    _, fog, cloud, plan = three
    with pytest.raises(PlanError, match="stream `edge-1` is of `edge`"):
        cloud.client.prepare(FOG, "edge-1", 8, bench.model.model_id, plan).result(timeout=20)
    here = Plan.parse(f"fog[0:{len(bench.model.cuts) - 1}]")
    fog.client.prepare(FOG, "fog-1", 0, bench.model.model_id, here).result(timeout=20)
    with pytest.raises(PlanError, match="stream `fog-1` is of `fog`"):
        cloud.client.prepare(FOG, "fog-1", 0, bench.model.model_id, here).result(timeout=20)
    cloud.client.release(FOG, "fog-1", 0)
    assert fog.segments.find("fog-1", 0, 0) is not None


def test_a_frame_is_taken_from_the_stage_before_alone(three, caplog, wait_until):
    _, fog, cloud, plan = three
    frame = msg.FrameData(
        stream="edge-1", frame=0, attempt=0, generation=7, model_id="0", plan=str(plan), stage=1, seq=1, encoding=b"",
        reports=(),
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        cloud.fabric.send(FOG, pack(frame, [np.zeros(3, np.float32)]), Lane.DATA)
        wait_until(lambda: fog.dispatcher.n_refused == 1)
    assert "stage 1 of `edge[0:2]raw > fog[2:" in caplog.text
    assert "comes from `edge`" in caplog.text


class Hung:
    """A segment that computes nothing until `go_on`."""

    def __init__(self) -> None:
        self.is_reached, self.go_on = threading.Event(), threading.Event()

    def run(self, tensors):
        self.is_reached.set()
        assert self.go_on.wait(20)
        return tensors


def test_frames_without_end_of_one_node_wait_in_bounded_room_and_are_refused_in_words(three, monkeypatch, wait_until):
    edge, fog, _, plan = three
    said: list[str] = []
    monkeypatch.setattr(fog.uplink, "send", lambda target, header, *_: said.append(header.error))
    hung = Hung()
    own = Arrival(tensors={})
    fog.stages.put(plan.stages[1], hung, own, done=lambda _: None, failed=lambda _: None)
    assert hung.is_reached.wait(10)
    for number in range(3 * MAX_WAITING_PER_SOURCE):
        frame = msg.FrameData("edge-1", number, 0, 7, "0", str(plan), 1, 1, b"", ())
        fog.frames.on_frame(edge.name, frame, [])
    refusal = "more frames of `edge` wait here than one node may have"
    assert said.count(refusal) == 2 * MAX_WAITING_PER_SOURCE
    hung.go_on.set()
    wait_until(lambda: not fog.frames._n_waiting)
    wait_until(lambda: len(said) == 3 * MAX_WAITING_PER_SOURCE)  # those that waited were run, and are no frames


def test_who_says_to_be_an_observer_releases_nothing(bench, caplog, wait_until):
    fog, cloud = bench.start("fog"), bench.start("cloud", tier=OBSERVER)
    wait_until(lambda: fog.membership.roles_of(CLOUD) == TOOL)
    with caplog.at_level(logging.WARNING):
        cloud.client.release(FOG, "s", -1)
        wait_until(lambda: fog.dispatcher.n_refused == 1)
    assert (
        "`cloud` sent a Release, which is not its to send: it is observer and operator, and origin may" in caplog.text
    )
