"""The table from type of message to handler: what each message that reaches a node is for.

Every type of `fabric.messages` stands in it once.
"""

from __future__ import annotations

from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Array
from seamline.fabric import messages as msg
from seamline.runtime.node.dispatch import Handlers
from seamline.runtime.node.frame_path import FramePath
from seamline.runtime.node.membership import Membership
from seamline.runtime.node.models import ModelExchange
from seamline.runtime.node.peer_client import Answer, PeerClient
from seamline.runtime.node.service import Service
from seamline.runtime.node.uplink import Uplink
from seamline.runtime.shared.bounds import bounded_interest
from seamline.runtime.shared.rights import why_not
from seamline.runtime.shared.stream_requests import StreamRequests


def message_handlers(
    *,
    frames: FramePath,
    uplink: Uplink,
    membership: Membership,
    streams: StreamRequests,
    service: Service,
    exchange: ModelExchange,
    client: PeerClient,
) -> Handlers:
    """Return the handlers of all messages, out of the parts that do what these ask for."""

    def on_frame(source: NodeId, frame: msg.FrameData, tensors: list[Array]) -> None:
        try:
            frames.on_frame(source, frame, tensors)
        finally:  # after it, because the stage need not wait for the sending
            uplink.acknowledge(source, frame.seq)

    def on_answer(source: NodeId, reply: Answer, _: list[Array]) -> None:
        client.on_answer(source, reply)

    def on_measure_links(source: NodeId, ask: msg.MeasureLinks, _: list[Array]) -> None:
        ask = bounded_interest(ask)
        uplink.links.ask(source, ask.stream, ask.targets, ask.for_s)

    return Handlers(
        why_not=lambda source, kind: why_not(membership.roles_of(source), kind),
        at_once={
            msg.FrameData: on_frame,
            msg.CancelFrame: lambda source, cancel, _: frames.on_cancel(source, cancel),
            msg.ResultData: frames.on_result,
            msg.Receipt: lambda source, receipt, _: uplink.links.receipt(source, receipt.seq, receipt.clock_s),
            msg.Ping: lambda source, ping, _: uplink.answer_ping(source, ping),
            msg.Pong: lambda source, pong, _: uplink.links.pong(source, pong.seq, pong.clock_s),
            msg.Probe: lambda source, probe, _: uplink.acknowledge(source, probe.seq),
        },
        in_turn={
            msg.Status: lambda source, status, _: membership.on_status(source, status),
            msg.MeasureLinks: on_measure_links,
            msg.FrameFailed: lambda source, failure, _: frames.on_frame_failed(source, failure),
            msg.Prepare: lambda source, ask, _: service.on_prepare(source, ask),
            msg.Release: lambda source, ask, _: service.on_release(source, ask),
            msg.ProfileModel: lambda source, ask, _: service.on_profile(source, ask),
            msg.TimeSegment: lambda source, ask, _: service.on_time_segment(source, ask),
            msg.SwitchPlan: lambda source, ask, _: streams.on_switch_plan(source, ask),
            msg.SetObjective: lambda source, ask, _: streams.on_set(source, ask),
            msg.LookAt: lambda source, ask, _: streams.on_look(source, ask),
            msg.FetchModel: lambda source, ask, _: exchange.on_fetch(source, ask),
            msg.ModelPart: exchange.on_part,
            msg.Prepared: on_answer,
            msg.PlanSwitched: on_answer,
            msg.ObjectiveChanged: on_answer,
            msg.LookedAt: on_answer,
            msg.Profiled: on_answer,
            msg.SegmentTimed: on_answer,
        },
    )
