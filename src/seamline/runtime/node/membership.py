"""The membership of a cluster as one node sees it: living peers, their last statuses, and news of both to streams.

All news of peers come in on the dispatcher's thread, so that no stream hears of a node that went after its going.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial

from seamline.core.vocabulary.errors import WireError
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import Fabric, OnPeer
from seamline.fabric import messages as msg
from seamline.runtime.node.links import LinkMeter
from seamline.runtime.node.status import OBSERVER
from seamline.runtime.shared.bounds import bounded_status
from seamline.runtime.shared.listeners import Listener, Listeners
from seamline.runtime.shared.news import News
from seamline.runtime.shared.rights import ANYONE, CERTIFIED, TOOL, WORKER, Role, RoleOf, uncertified

log = logging.getLogger(__name__)

INTRODUCTION_TIMEOUT_S = 5.0


class Membership:
    """Owner of the statuses that peers announced; tells the node's parts and streams who comes and goes.

    post: calls on the dispatcher's thread. greet: sends a peer this node's status. changed: what all peers know of this
    node may have changed. parts: are told first.
    seen: hears which process a peer is whenever that is new. role_of: the role in a peer's certificate.
    """

    def __init__(
        self,
        fabric: Fabric,
        links: LinkMeter,
        listeners: Listeners,
        *,
        post: Callable[[Callable[[], None]], None],
        greet: Callable[[NodeId], None],
        changed: Callable[[], None],
        parts: Sequence[OnPeer],
        seen: Callable[[NodeId, str], None],
        news: News,
        role_of: RoleOf = uncertified,
    ) -> None:
        self._fabric = fabric
        self._links = links
        self._listeners = listeners
        self._post = post
        self._greet = greet
        self._changed = changed
        self._parts = parts
        self._seen = seen
        self._news = news
        self._role_of = role_of
        self._lock = threading.Lock()
        self._statuses: dict[NodeId, msg.Status] = {}
        self._processes: dict[NodeId, str] = {}  # incarnations by the first status since they were seen to come

    def statuses(self) -> dict[NodeId, msg.Status]:
        """Return what every living peer last said of itself.

        A status may come before it is seen here that its sender lives, and after it is seen that it went: who is shown
        can also be sent to.
        """
        alive = self._fabric.peers()
        with self._lock:
            return {peer: status for peer, status in self._statuses.items() if peer in alive}

    def roles_of(self, source: NodeId) -> frozenset[Role]:
        """Return the roles of a peer: its certificate's, else what it says of itself, any before it has said so."""
        if (certified := self._role_of(source)) is not None:
            return CERTIFIED[certified]
        with self._lock:
            status = self._statuses.get(source)
        if status is None:
            return ANYONE
        return TOOL if status.tier == OBSERVER else WORKER

    def listen(self, stream: str, listener: Listener) -> None:
        """Hear about peers, links and the frames of `stream`; who is here already has been told of on return."""
        is_introduced = threading.Event()
        self._post(partial(self._introduce, stream, listener, is_introduced))
        is_introduced.wait(INTRODUCTION_TIMEOUT_S)
        self._changed()

    def unlisten(self, stream: str) -> None:
        self._listeners.remove(stream)
        self._changed()

    def on_peer(self, peer: NodeId, alive: bool) -> None:
        """A peer was seen to come or to go, on the dispatcher's thread; a new one is told at once who we are."""
        log.info("%s %s", peer, "is here" if alive else "is gone")
        for part in self._parts:
            part(peer, alive)
        with self._lock:
            self._processes.pop(peer, None)
        if not alive:
            with self._lock:
                known = self._statuses.pop(peer, None)
            if known is not None and known.tier != OBSERVER:
                self._news.left(peer)
        else:
            self._greet(peer)
        status = self.statuses().get(peer)
        for listener in self._listeners.all():
            listener.on_peer(peer, alive)
            if alive and status is not None:  # it came before its sender was seen to live
                listener.on_status(peer, status)

    def on_status(self, source: NodeId, status: msg.Status) -> None:
        """A peer has said who it is and how it fares, on the dispatcher's thread.

        Streams hear it while they can send there: not of a node that went meanwhile, and of one that was not seen yet
        as soon as it is. Nothing is ever sent to an observer, so its link is not measured. Another process of that name
        counts once the one before was seen to go. Raises `WireError` for a status of one beside it.
        """
        status, is_here = bounded_status(status), source in self._fabric.peers()
        with self._lock:
            if is_here and self._processes.setdefault(source, status.incarnation) != status.incarnation:
                raise WireError(f"`{source}` says to be another process, and the one before has not gone")
            before = self._statuses.get(source)
            is_new = before is None
            self._statuses[source] = status
        if before is None or before.incarnation != status.incarnation:
            self._seen(source, status.incarnation)
        if is_new:  # it knows us now, and may not have when it was greeted: what comes before a token is not kept long
            self._greet(source)
        if status.tier == OBSERVER:
            self._links.forget(source)
        elif is_new:
            self._news.joined(source, status)
        if is_here:
            for listener in self._listeners.all():
                listener.on_status(source, status)

    def on_link(self, estimate: LinkEstimate) -> None:
        """An outgoing link's estimate has moved; on any thread. Who asked for it hears of it soon."""
        self._links.announce_soon()
        for listener in self._listeners.all():
            listener.on_link(estimate)

    def _introduce(self, stream: str, listener: Listener, is_introduced: threading.Event) -> None:
        self._listeners.add(stream, listener)
        for peer in self._fabric.peers():
            listener.on_peer(peer, True)
        for peer, status in self.statuses().items():
            listener.on_status(peer, status)
        for estimate in self._links.estimates():
            listener.on_link(estimate)
        is_introduced.set()
