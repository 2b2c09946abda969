"""The other nodes of one stream, as its controller deals with them: who is there, and who is left out for a while.

A node counts once its profile is known. One that refuses frames is not used for a while (longer each time), then taken
as new: it has to prepare again. That covers a node that has lost its segments as well as one that cannot run them.
Heartbeats are `heartbeat.py`'s, statuses `membership.py`'s, what they say of links and load goes to `stream_view.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from seamline.core.adaptation import events as ev
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.profiles import Profile
from seamline.fabric import messages as msg
from seamline.runtime.origin.stream_view import Beliefs
from seamline.runtime.shared.clock import now_s

log = logging.getLogger(__name__)

FIRST_EJECTION_S, LAST_EJECTION_S = 1.0, 30.0
PROFILE_AGAIN_S = 10.0
"""After a profile that did not come: the model was fetched over a link that failed, or there was no memory for it."""


@dataclass(slots=True)
class _Peer:
    """What is remembered of a node. ejected_s: how long it was last left out; n_ejections: so far.

    profile_again_s: when to ask for a profile that did not come; None when it did, or was not asked for.
    """

    status: msg.Status | None = None
    is_profiling: bool = False
    ejected_until_s: float | None = None
    ejected_s: float = 0.0
    n_ejections: int = 0
    profile_again_s: float | None = None


class Peers:
    """Owner of what is remembered of the other nodes; used on the controller's thread only.

    profile: asks a node what the model costs there. post: puts a call on the controller's thread.
    """

    def __init__(
        self,
        names: Iterable[NodeId],
        beliefs: Beliefs,
        *,
        profile: Callable[[NodeId], Future[Profile]],
        post: Callable[[Callable[[], None]], None],
    ) -> None:
        self._peers = {name: _Peer() for name in names}
        self.names = frozenset(self._peers)
        self._beliefs = beliefs
        self._profile = profile
        self._post = post

    def lost(self, name: NodeId) -> None:
        """Nothing is heard of the node any more."""
        peer = self._peers[name]
        peer.status = None
        peer.ejected_until_s = None
        self._beliefs.apply(ev.NodeLeft(name, now_s()))

    def told(self, name: NodeId, status: msg.Status) -> None:
        """The node has said who it is and how it fares."""
        peer = self._peers[name]
        is_new = peer.status is None or peer.status.incarnation != status.incarnation
        peer.status = status
        self._beliefs.told(name, status)
        if is_new:
            peer.ejected_until_s = None  # what another process refused says nothing of this one
            self._beliefs.restarted(name)
            self._welcome(name, peer)

    def eject(self, name: NodeId, reason: str) -> None:
        """Leave the node out for a while, unless it is already."""
        peer = self._peers[name]
        if peer.ejected_until_s is not None:
            return
        peer.ejected_s = min(LAST_EJECTION_S, max(FIRST_EJECTION_S, 2 * peer.ejected_s))
        peer.ejected_until_s = now_s() + peer.ejected_s
        peer.n_ejections += 1
        log.warning("`%s` is left out for %.0f s: %s", name, peer.ejected_s, reason)
        self._beliefs.apply(ev.NodeLeft(name, now_s()))

    def readmit(self, now: float) -> None:
        """Take back those whose time is over, and ask those again whose profile is missing."""
        for name, peer in self._peers.items():
            if peer.ejected_until_s is not None and now >= peer.ejected_until_s:
                peer.ejected_until_s = None
                self._welcome(name, peer)
            if peer.status is not None and peer.profile_again_s is not None and now >= peer.profile_again_s:
                self._ask(name, peer)

    def _welcome(self, name: NodeId, peer: _Peer) -> None:
        """A node is there (again): it counts once its profile is known.

        A new process is asked anew: it may have other power figures, threads or a slowdown. Until it answers, the
        profile of the one before stands.
        """
        if peer.status is None:
            return
        view = self._beliefs.view
        before, incarnation = view.incarnations.get(name), f"{peer.status.incarnation}.{peer.n_ejections}"
        self._beliefs.apply(ev.NodeJoined(name, Tier(peer.status.tier), incarnation, now_s()))
        is_known = name in view.profiles and (before is None or _process(before) == _process(incarnation))
        if not is_known:
            self._ask(name, peer)

    def _ask(self, name: NodeId, peer: _Peer) -> None:
        if peer.is_profiling:
            return
        peer.is_profiling, peer.profile_again_s = True, None
        answer = self._profile(name)
        answer.add_done_callback(lambda done: self._post(partial(self._profiled, name, done)))

    def _profiled(self, name: NodeId, answer: Future[Profile]) -> None:
        peer = self._peers[name]
        peer.is_profiling = False
        if (error := answer.exception()) is not None:
            log.warning("`%s` could not profile the model: %s", name, error)
            peer.profile_again_s = now_s() + PROFILE_AGAIN_S
            return
        self._beliefs.apply(ev.ProfileKnown(name, answer.result(), now_s()))


def _process(incarnation: str) -> str:
    """The part of an incarnation that is the same as long as the node's process lives."""
    return incarnation.partition(".")[0]
