"""Who may send which message: one table, asked in one place (`node/dispatch.py`) before any handler sees a message.

    node       runs stages for others, and may be an origin as well
    origin     streams start there: it asks nodes to prepare, to profile and to release
    observer   looks, and asks origins to change a stream

What roles a peer has is `RolesOf`; without certificates it is what the peer says of itself, so that a tool that only
looks cannot do more by a mistake. What depends on more than the type is checked where that is known: a release by who
prepared (`service.py`), a frame by the stage before (`frame_path.py`), an answer by its attempt (`core/session`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric import messages as msg


class Role(StrEnum):
    NODE = "node"
    ORIGIN = "origin"
    OBSERVER = "observer"


RolesOf = Callable[[NodeId], frozenset[Role]]

ANYONE = frozenset(Role)
WORKER = frozenset((Role.NODE, Role.ORIGIN))
ORIGIN = frozenset((Role.ORIGIN,))

MAY_SEND: Mapping[type[msg.Message], frozenset[Role]] = {
    msg.Status: ANYONE,
    msg.Ping: ANYONE,
    msg.Pong: ANYONE,
    msg.Probe: ANYONE,
    msg.Receipt: ANYONE,
    msg.FetchModel: WORKER,
    msg.ModelPart: WORKER,
    msg.Prepare: ORIGIN,
    msg.Prepared: WORKER,
    msg.Release: ORIGIN,
    msg.SwitchPlan: ANYONE,
    msg.PlanSwitched: ORIGIN,
    msg.SetObjective: ANYONE,
    msg.ObjectiveChanged: ORIGIN,
    msg.ProfileModel: ORIGIN,
    msg.Profiled: WORKER,
    msg.TimeSegment: ORIGIN,
    msg.SegmentTimed: WORKER,
    msg.FrameData: WORKER,
    msg.ResultData: WORKER,
    msg.FrameFailed: WORKER,
}


def why_not(roles: frozenset[Role], kind: type[msg.Message]) -> str | None:
    """Why nobody with `roles` may send a message of `kind`, in words; None when somebody may."""
    allowed = MAY_SEND[kind]
    if roles & allowed:
        return None
    return f"it is {' and '.join(sorted(roles)) or 'of no role'}, and {' or '.join(sorted(allowed))} may"
