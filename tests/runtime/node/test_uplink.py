"""What leaves a node: numbered and counted where it should be, on the lane that suits it."""

from __future__ import annotations

import numpy as np
import pytest

from seamline.config.power import PowerSpec
from seamline.core.vocabulary.errors import PeerLost
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Lane
from seamline.fabric import messages as msg
from seamline.runtime.node.links import LinkMeter
from seamline.runtime.node.uplink import MAX_URGENT_BYTES, SMALL_RESULT_BYTES, Uplink
from seamline.runtime.shared.energy import EnergyAccount

EDGE, FOG = NodeId("edge"), NodeId("fog")
RESULT = msg.ResultData(stream="s", frame=0, attempt=0, generation=0, outputs=("a",), reports=())


class RecordingFabric:
    """Keeps (lane, bytes) of what is sent, or refuses it."""

    def __init__(self) -> None:
        self.sent: list[tuple[Lane, int]] = []
        self.is_gone = False

    def is_free(self, target, n_bytes) -> bool:
        return False

    def send(self, target, message, lane) -> None:
        if self.is_gone:
            raise PeerLost(f"`{target}` is not alive")
        self.sent.append((lane, len(message) if isinstance(message, bytes) else sum(map(len, message))))


@pytest.fixture
def fabric() -> RecordingFabric:
    return RecordingFabric()


@pytest.fixture
def energy() -> EnergyAccount:
    return EnergyAccount(PowerSpec(name="radio", idle_w=0.0, busy_w=1.0, tx_j_per_byte=1.0, rx_j_per_byte=0.0))


@pytest.fixture
def uplink(fabric, energy):
    uplink = Uplink(fabric, LinkMeter(EDGE, lambda estimate: None), energy)
    uplink.on_peer(FOG, True)
    yield uplink
    uplink.close()


def frame(uplink: Uplink) -> msg.FrameData:
    return msg.FrameData(
        stream="s", frame=0, attempt=0, generation=1, model_id="m", plan="edge[0:1]raw > fog[1:2]", stage=1,
        seq=uplink.next_seq(), encoding=b"", reports=(),
    )  # fmt: skip


def test_a_header_that_is_large_travels_in_chunks_and_a_small_one_at_once(uplink, fabric, wait_until):
    uplink.send(FOG, msg.Profiled(request_id=1, profile=bytes(MAX_URGENT_BYTES)))
    wait_until(lambda: fabric.sent)
    uplink.send(FOG, msg.Profiled(request_id=2, profile=b"{}"))
    assert [lane for lane, _ in fabric.sent] == [Lane.DATA, Lane.CONTROL]


def test_a_frame_is_measured_by_its_receipt_and_charged_to_the_radio(uplink, fabric, energy, wait_until):
    before_j = energy.reading().energy_j
    sent = frame(uplink)
    uplink.send_frame(FOG, sent, (np.zeros(100_000, np.uint8),), failed=pytest.fail)
    wait_until(lambda: fabric.sent)
    ((lane, n_bytes),) = fabric.sent
    assert lane is Lane.DATA
    assert energy.reading().energy_j - before_j == pytest.approx(n_bytes)
    uplink.links.receipt(FOG, sent.seq)
    (estimate,) = uplink.links.estimates()
    assert estimate.n_samples == 1


def test_a_frame_that_cannot_leave_is_told_of(uplink, fabric, wait_until):
    fabric.is_gone, errors = True, []
    uplink.send_frame(FOG, frame(uplink), (np.zeros(10, np.uint8),), failed=errors.append)
    wait_until(lambda: errors)
    assert isinstance(errors[0], PeerLost)


def test_a_small_answer_goes_ahead_of_bulk_and_a_large_one_does_not(uplink, fabric, wait_until):
    for n_bytes in (10, SMALL_RESULT_BYTES):
        uplink.send_result(FOG, RESULT, (np.zeros(n_bytes, np.uint8),))
    wait_until(lambda: len(fabric.sent) == 2)
    assert [lane for lane, _ in fabric.sent] == [Lane.CONTROL, Lane.DATA]


def test_only_messages_of_a_switch_count_as_its_bytes(uplink, fabric):
    uplink.send(FOG, msg.Release(stream="s", generation=1))
    ((_, n_bytes),) = fabric.sent
    uplink.send(FOG, msg.Ping(seq=1))
    assert uplink.switching_bytes == {"Release": n_bytes}


def test_a_reply_to_a_node_that_went_away_is_no_error(uplink, fabric):
    fabric.is_gone = True
    uplink.send_best_effort(FOG, msg.Pong(seq=1))
    uplink.acknowledge(FOG, 1)
    with pytest.raises(PeerLost):
        uplink.send(FOG, msg.Pong(seq=1))
