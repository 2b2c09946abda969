"""Who may send which message: one table, asked in one place (`node/dispatch.py`) before any handler sees a message.

    node       runs stages for others, and may be an origin as well
    origin     streams start there: it asks nodes to prepare, to profile and to release
    observer   looks
    operator   asks origins to change a stream

What roles a peer has is `RolesOf`: those of its certificate (`CERTIFIED`); without certificates it is what the peer
says of itself, so that a tool cannot do more by a mistake. What depends on more than the type is checked where that is
known: a release by who prepared (`service.py`), a frame by the stage before (`frame_path.py`), an answer by its attempt
(`core/session`).
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
    OPERATOR = "operator"


RolesOf = Callable[[NodeId], frozenset[Role]]
RoleOf = Callable[[NodeId], str | None]
"""The role in a peer's certificate; None where there are none."""


def uncertified(peer: NodeId) -> str | None:
    """Where nobody has a certificate."""
    del peer
    return None


ANYONE = frozenset(Role)
WORKER = frozenset((Role.NODE, Role.ORIGIN))
ORIGIN = frozenset((Role.ORIGIN,))
COMPUTING = frozenset((Role.NODE,))
STEERING = frozenset((Role.NODE, Role.ORIGIN, Role.OPERATOR))
TOOL = frozenset((Role.OBSERVER, Role.OPERATOR))
"""A tool of this command line, where there are no certificates."""

CERTIFIED: Mapping[str, frozenset[Role]] = {
    "node": frozenset((Role.NODE, Role.ORIGIN, Role.OPERATOR)),
    "origin": frozenset((Role.ORIGIN, Role.OPERATOR)),
    "observer": frozenset((Role.OBSERVER,)),
}
"""Roles by that of a certificate."""

MAY_SEND: Mapping[type[msg.Message], frozenset[Role]] = {
    msg.Status: ANYONE,
    msg.MeasureLinks: ANYONE,
    msg.Ping: ANYONE,
    msg.Pong: ANYONE,
    msg.Probe: ANYONE,
    msg.Receipt: ANYONE,
    msg.FetchModel: WORKER,
    msg.ModelPart: WORKER,
    msg.Prepare: ORIGIN,
    msg.Prepared: COMPUTING,
    msg.Release: ORIGIN,
    msg.SwitchPlan: STEERING,
    msg.PlanSwitched: ORIGIN,
    msg.SetObjective: STEERING,
    msg.ObjectiveChanged: ORIGIN,
    msg.LookAt: ANYONE,
    msg.LookedAt: ORIGIN,
    msg.ProfileModel: ORIGIN,
    msg.Profiled: WORKER,
    msg.TimeSegment: ORIGIN,
    msg.SegmentTimed: WORKER,
    msg.FrameData: WORKER,
    msg.CancelFrame: ORIGIN,
    msg.ResultData: COMPUTING,
    msg.FrameFailed: COMPUTING,
}


def why_not(roles: frozenset[Role], kind: type[msg.Message]) -> str | None:
    """Why nobody with `roles` may send a message of `kind`, in words; None when somebody may."""
    allowed = MAY_SEND[kind]
    if roles & allowed:
        return None
    return f"it is {' and '.join(sorted(roles)) or 'of no role'}, and {' or '.join(sorted(allowed))} may"
