"""Peer table of one session: which other nodes are there, and a circuit breaker for those that refuse frames.

A node counts once its profile is known. One that refuses frames is not used for a while (longer each time), then taken
as new: it has to prepare again. That covers a node that has lost its segments as well as one that cannot run them.

A node may compute nothing and give signs of life all the same. When frames miss their deadlines in a row, every other
node of their plan is held for hung, since nobody can tell which one is; each comes back as soon as it has computed the
segment it had, without a frame. So only the one that hangs stays away, also from a plan that is pinned.

    breaker    event                     next       what follows
    ---------  ------------------------  ---------  ----------------------------------------------
    closed     a frame refused           open       the node left, for 1 s, then 2, 4, ... 30
    closed     deadlines missed          hung       the node left, and is asked to time its segment
    open       its time is over          closed     the node joined, as another incarnation
    open       lost, or a new process    closed     the node joined when it is seen
    hung       it computed the segment   open       for what is left of its time
    hung       it could not              hung       it is asked again when its time is over
    hung       lost, and seen again      hung       it is asked again
    hung       a new process             closed     the node joined
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from seamline.core.adaptation import events as ev
from seamline.core.session import commands as cmd
from seamline.core.session.events import DeadlineMissed, StatusReceived
from seamline.core.session.stream_view import StreamView
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan, Segment
from seamline.core.vocabulary.profiles import Profile

FIRST_OPEN_S, LAST_OPEN_S = 1.0, 30.0
N_MISSED = 5
"""Frames in a row, each begun after the one before was late, after which the nodes of the plan in use count as hung."""

PROFILE_LATE_S = 10.0
"""A node that has not profiled the model by then is named; it may be fetching it over a slow link."""

PROFILE_AGAIN_S = 10.0
"""After a profile that did not come: the model was fetched over a link that failed, or there was no memory for it."""


@dataclass(slots=True)
class _Peer:
    """State of a node. status: None while it has not said that it is there. is_seen: by the fabric.

    open_until_s: the breaker is open until then, inf while it is closed or hung. open_s: how long it was open last.
    hung_segment: what it must compute before it counts again, None when it does not hang. is_timing: it was asked to.
    timed: what that took. not_before_s: it does not count again before that.
    profile_again_s: when to ask for a profile that did not come, inf when it did, or was not asked for.
    profile_late_s: when to say that it is missing, inf when it is not, or that was said.
    """

    status: StatusReceived | None = None
    is_seen: bool = False
    is_profiling: bool = False
    open_until_s: float = math.inf
    open_s: float = 0.0
    hung_segment: Segment | None = None
    is_timing: bool = False
    timed: tuple[Segment, float] | None = None
    not_before_s: float = -math.inf
    n_openings: int = 0
    profile_again_s: float = math.inf
    profile_late_s: float = math.inf


class Peers:
    """Owner of the state of the other nodes. out: where commands go."""

    def __init__(self, names: Iterable[NodeId], view: StreamView, out: list[cmd.PilotOutput]) -> None:
        self._peers = {name: _Peer() for name in names}
        self.names = frozenset(self._peers)
        self._view = view
        self._out = out
        self._n_missed, self._missed_s = 0, -math.inf  # deadlines in a row, of the plan in use; the last of them

    @property
    def due_s(self) -> float:
        """Time at which a breaker closes, or a profile is asked for again or late; inf when none of these."""
        due_s = math.inf
        for peer in self._peers.values():
            due_s = min(due_s, peer.open_until_s)
            if peer.status is not None:
                due_s = min(due_s, peer.profile_again_s, peer.profile_late_s)
        return due_s

    @property
    def present(self) -> tuple[NodeId, ...]:
        """Nodes that are there, whether they count or not, and whether they have said so: a greeting may be lost."""
        return tuple(name for name, peer in self._peers.items() if peer.is_seen or peer.status is not None)

    def seen(self, name: NodeId) -> None:
        """The fabric sees the node; its status may follow."""
        self._peers[name].is_seen = True

    def lost(self, name: NodeId, now_s: float) -> None:
        """The node is lost: the fabric misses it."""
        peer = self._peers[name]
        peer.status, peer.is_seen = None, False
        peer.open_until_s, peer.is_timing = math.inf, False
        self._view.apply(ev.NodeLeft(name, now_s))

    def status_received(self, status: StatusReceived, now_s: float) -> None:
        """The node has said who it is and how it fares."""
        peer = self._peers[status.node]
        is_new = peer.status is None or peer.status.incarnation != status.incarnation
        peer.status = status
        self._view.status_received(status, now_s)
        if is_new and peer.hung_segment is not None and self.is_same_process(status):
            self._time(status.node, peer)
        elif is_new:
            # what another process refused says nothing of this one
            peer.open_until_s, peer.hung_segment, peer.is_timing = math.inf, None, False
            self._view.restarted(status.node)
            self._join(status.node, peer, now_s)

    def is_same_process(self, status: StatusReceived) -> bool:
        """Whether the process that says so is the one that was there last."""
        known = self._view.view.incarnations.get(status.node)
        return known is not None and _process(known) == status.incarnation

    def open_breaker(self, name: NodeId, reason: str, now_s: float) -> None:
        """Leave the node out for a while, unless it is already."""
        peer = self._peers[name]
        if peer.open_until_s < math.inf or peer.hung_segment is not None:
            return
        peer.open_until_s = self._open(peer, now_s)
        self._out.append(cmd.Say(cmd.Level.WARNING, f"`{name}` is left out for {peer.open_s:.0f} s: {reason}"))
        self._view.apply(ev.NodeLeft(name, now_s))

    def deadline_missed(self, missed: DeadlineMissed, now_s: float) -> None:
        """A frame by the plan in use was not answered in time.

        Frames that were on their way together are late together, for one reason, which may be the origin's: of them
        one counts.
        """
        if missed.accepted_s < self._missed_s:
            return
        self._n_missed, self._missed_s = self._n_missed + 1, now_s
        if self._n_missed == N_MISSED:
            self._hung(missed.plan, now_s)

    def met_deadline(self) -> None:
        """A frame by the plan in use was answered, or another plan is in use: the count begins again."""
        self._n_missed = 0

    def segment_timed(self, name: NodeId, segment: Segment, took_s: float | None, now_s: float) -> None:
        """A node that hung has computed `segment`, or could not."""
        peer = self._peers.get(name)
        if peer is None or not peer.is_timing or segment != peer.hung_segment:
            return
        peer.is_timing = False
        peer.open_until_s = max(now_s, peer.not_before_s)
        if took_s is None:
            peer.open_until_s = self._open(peer, now_s)
            return
        peer.hung_segment, peer.timed = None, (segment, took_s)
        self._out.append(cmd.Say(cmd.Level.INFO, f"`{name}` computes again: {segment} took {took_s:.3f} s"))

    def tick(self, now_s: float) -> None:
        """Close breakers whose time is over, and ask those again whose profile is missing."""
        for name, peer in self._peers.items():
            if now_s >= peer.open_until_s:
                peer.open_until_s = math.inf
                if peer.hung_segment is None:
                    self._join(name, peer, now_s)
                    self._learn_timed(name, peer, now_s)
                else:
                    self._time(name, peer)
            if peer.status is not None and now_s >= peer.profile_again_s:
                self._ask(name, peer, now_s)
            if peer.status is not None and now_s >= peer.profile_late_s:
                peer.profile_late_s = math.inf
                words = f"`{name}` has not profiled the model within {PROFILE_LATE_S:.0f} s; it joins when it has"
                self._out.append(cmd.Say(cmd.Level.WARNING, words))

    def profile_known(self, name: NodeId, profile: Profile, now_s: float) -> None:
        if (peer := self._peers.get(name)) is not None:
            peer.is_profiling, peer.profile_again_s, peer.profile_late_s = False, math.inf, math.inf
        self._view.profile_known(ev.ProfileKnown(name, profile, now_s))

    def profile_failed(self, name: NodeId, reason: str, now_s: float) -> None:
        if (peer := self._peers.get(name)) is None:
            return
        peer.is_profiling, peer.profile_late_s = False, math.inf
        peer.profile_again_s = now_s + PROFILE_AGAIN_S
        self._out.append(cmd.Say(cmd.Level.WARNING, f"`{name}` could not profile the model: {reason}"))

    def _hung(self, plan: Plan, now_s: float) -> None:
        """Leave the other nodes of `plan` out until they have computed what they have of it."""
        for stage in plan.stages:
            peer = self._peers.get(stage.node)
            if peer is None or stage.segment.is_empty or peer.status is None or peer.hung_segment is not None:
                continue
            peer.not_before_s, peer.open_until_s = self._open(peer, now_s), math.inf
            peer.hung_segment = stage.segment
            words = f"{N_MISSED} frames in a row were not answered in time by `{plan}`"
            what = f"`{stage.node}` is left out until it has computed {stage.segment} without a frame"
            self._out.append(cmd.Say(cmd.Level.WARNING, f"{words}: {what}"))
            self._view.apply(ev.NodeLeft(stage.node, now_s))
            self._time(stage.node, peer)

    @staticmethod
    def _open(peer: _Peer, now_s: float) -> float:
        """Until when the breaker is open that opens now."""
        peer.open_s = min(LAST_OPEN_S, max(FIRST_OPEN_S, 2 * peer.open_s))
        peer.n_openings += 1
        return now_s + peer.open_s

    def _time(self, name: NodeId, peer: _Peer) -> None:
        """Ask a node that hangs to compute its segment without a frame."""
        if peer.hung_segment is not None and not peer.is_timing:
            peer.is_timing = True
            self._out.append(cmd.TimeSegment(name, peer.hung_segment))

    def _learn_timed(self, name: NodeId, peer: _Peer, now_s: float) -> None:
        """How long the segment took counts as a frame's time would: the next deadlines follow it."""
        if peer.timed is not None:
            self._view.segment_computed(name, *peer.timed, now_s)
            peer.timed = None

    def _join(self, name: NodeId, peer: _Peer, now_s: float) -> None:
        """A node is there (again): it counts once its profile is known.

        A new process is asked again: it may have other power figures, threads or a slowdown. Until it answers, the
        profile of the one before is used.
        """
        if peer.status is None:
            return
        view = self._view.view
        before, incarnation = view.incarnations.get(name), f"{peer.status.incarnation}.{peer.n_openings}"
        self._view.apply(ev.NodeJoined(name, peer.status.tier, incarnation, now_s))
        is_known = name in view.profiles and (before is None or _process(before) == _process(incarnation))
        if not is_known:
            self._ask(name, peer, now_s)

    def _ask(self, name: NodeId, peer: _Peer, now_s: float) -> None:
        if peer.is_profiling:
            return
        peer.is_profiling, peer.profile_again_s = True, math.inf
        peer.profile_late_s = now_s + PROFILE_LATE_S
        self._out.append(cmd.AskProfile(name))


def _process(incarnation: str) -> str:
    """The part of an incarnation that is the same as long as the node's process lives."""
    return incarnation.rpartition(".")[0]
