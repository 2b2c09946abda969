"""Peer table of one session: which other nodes are there, and a circuit breaker for those that refuse frames.

A node counts once its profile is known. One that refuses frames is not used for a while (longer each time), then taken
as new: it has to prepare again. That covers a node that has lost its segments as well as one that cannot run them.

    breaker    event                     next       what follows
    ---------  ------------------------  ---------  ----------------------------------------------
    closed     a frame refused           open       the node left, for 1 s, then 2, 4, ... 30
    open       its time is over          closed     the node joined, as another incarnation
    open       lost, or a new process    closed     the node joined when it is seen
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from seamline.core.adaptation import events as ev
from seamline.core.session import commands as cmd
from seamline.core.session.events import StatusReceived
from seamline.core.session.stream_view import StreamView
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.profiles import Profile

FIRST_OPEN_S, LAST_OPEN_S = 1.0, 30.0
PROFILE_AGAIN_S = 10.0
"""After a profile that did not come: the model was fetched over a link that failed, or there was no memory for it."""


@dataclass(slots=True)
class _Peer:
    """What is remembered of a node. status: None while it is not there.

    open_until_s: the breaker is open until then, inf while it is closed. open_s: how long it was open last.
    profile_again_s: when to ask for a profile that did not come, inf when it did, or was not asked for.
    """

    status: StatusReceived | None = None
    is_profiling: bool = False
    open_until_s: float = math.inf
    open_s: float = 0.0
    n_openings: int = 0
    profile_again_s: float = math.inf


class Peers:
    """Owner of what is remembered of the other nodes. out: where commands go."""

    def __init__(self, names: Iterable[NodeId], view: StreamView, out: list[cmd.PilotOutput]) -> None:
        self._peers = {name: _Peer() for name in names}
        self.names = frozenset(self._peers)
        self._view = view
        self._out = out

    @property
    def due_s(self) -> float:
        """When a breaker closes or a profile is asked for again; inf when neither."""
        due_s = math.inf
        for peer in self._peers.values():
            due_s = min(due_s, peer.open_until_s)
            if peer.status is not None:
                due_s = min(due_s, peer.profile_again_s)
        return due_s

    def lost(self, name: NodeId, now_s: float) -> None:
        """Nothing is heard of the node any more."""
        peer = self._peers[name]
        peer.status = None
        peer.open_until_s = math.inf
        self._view.apply(ev.NodeLeft(name, now_s))

    def status_received(self, status: StatusReceived, now_s: float) -> None:
        """The node has said who it is and how it fares."""
        peer = self._peers[status.node]
        is_new = peer.status is None or peer.status.incarnation != status.incarnation
        peer.status = status
        self._view.status_received(status, now_s)
        if is_new:
            peer.open_until_s = math.inf  # what another process refused says nothing of this one
            self._view.restarted(status.node)
            self._join(status.node, peer, now_s)

    def is_same_process(self, status: StatusReceived) -> bool:
        """Whether the process that says so is the one that was there last."""
        known = self._view.view.incarnations.get(status.node)
        return known is not None and _process(known) == status.incarnation

    def open_breaker(self, name: NodeId, reason: str, now_s: float) -> None:
        """Leave the node out for a while, unless it is already."""
        peer = self._peers[name]
        if peer.open_until_s < math.inf:
            return
        peer.open_s = min(LAST_OPEN_S, max(FIRST_OPEN_S, 2 * peer.open_s))
        peer.open_until_s = now_s + peer.open_s
        peer.n_openings += 1
        self._out.append(cmd.Say(cmd.Level.WARNING, f"`{name}` is left out for {peer.open_s:.0f} s: {reason}"))
        self._view.apply(ev.NodeLeft(name, now_s))

    def tick(self, now_s: float) -> None:
        """Close breakers whose time is over, and ask those again whose profile is missing."""
        for name, peer in self._peers.items():
            if now_s >= peer.open_until_s:
                peer.open_until_s = math.inf
                self._join(name, peer, now_s)
            if peer.status is not None and now_s >= peer.profile_again_s:
                self._ask(name, peer)

    def profile_known(self, name: NodeId, profile: Profile, now_s: float) -> None:
        if (peer := self._peers.get(name)) is not None:
            peer.is_profiling, peer.profile_again_s = False, math.inf
        self._view.profile_known(ev.ProfileKnown(name, profile, now_s))

    def profile_failed(self, name: NodeId, reason: str, now_s: float) -> None:
        if (peer := self._peers.get(name)) is None:
            return
        peer.is_profiling = False
        peer.profile_again_s = now_s + PROFILE_AGAIN_S
        self._out.append(cmd.Say(cmd.Level.WARNING, f"`{name}` could not profile the model: {reason}"))

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
            self._ask(name, peer)

    def _ask(self, name: NodeId, peer: _Peer) -> None:
        if peer.is_profiling:
            return
        peer.is_profiling, peer.profile_again_s = True, math.inf
        self._out.append(cmd.AskProfile(name))


def _process(incarnation: str) -> str:
    """The part of an incarnation that is the same as long as the node's process lives."""
    return incarnation.rpartition(".")[0]
