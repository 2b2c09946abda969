"""Fabric over Zenoh: a session, liveliness tokens, control messages, and bulk chunks between named nodes.

Every Zenoh default that loses, delays or misroutes our traffic is set in `zenoh_settings.py`, with its reason.
How it works, in order:

- A node listens on its endpoints and connects to those it was given. With `relay` (the default) its session routes:
  two nodes that both know only a third reach each other through it, and messages take only links that were
  configured, so a shaped or cut link is the link that is used. Nobody is discovered but in a `group`.
- ``seamline/<cluster>/<node>/alive/<incarnation>`` is a liveliness token: it goes when the process dies (milliseconds)
  or is silent for `lease_s`. Of two incarnations of one name the first stays, the other is left out (`roster.py`).
- ``seamline/<cluster>/<node>/control/<source>/<its incarnation>/<the node's>`` carries whole messages, at the highest
  priority; ``.../data/...`` the chunks of the bulk lane (`bulk/`), ``.../credit/...`` its credits, which go as an
  attachment where a control message leaves just then. So one incarnation reaches one, and what comes in the name of a
  node is taken from the incarnation that is that node alone. What comes before its sender's token waits for that in the
  lobby (`lobby.py`).
- What Zenoh's callbacks bring is delivered on its own thread while there is little to do, else by another
  (`delivery.py`).
- With a `guard` links are mutual TLS, tokens carry a credential (``.../alive/<incarnation>/<credential>``), messages
  are sealed for their target, and ``.../notice/<source>`` carries what peers prove about others. Without one anybody
  who reaches the port takes part: listen beyond loopback only on networks you trust.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import zenoh
from zenoh.handlers import Callback

from seamline.core.vocabulary.errors import FabricError, IdentityError, PeerLost, WireError
from seamline.core.vocabulary.limits import MAX_MESSAGE_BYTES
from seamline.core.vocabulary.nodes import NodeId, node_id
from seamline.core.vocabulary.ports import LEASE_S, Buffer, Lane, OnMessage, OnPeer, Parts
from seamline.fabric.bulk.lane import BulkReceiver, BulkSender, nowhere
from seamline.fabric.bulk.path import MOST_CHUNK_BYTES
from seamline.fabric.bulk.same_host import Place, place_of
from seamline.fabric.delivery import Delivery
from seamline.fabric.guard import Guard
from seamline.fabric.inbox import Arrival, PeerChange
from seamline.fabric.lobby import Lobby
from seamline.fabric.peer_log import PeerLog
from seamline.fabric.roster import Roster, Standing
from seamline.fabric.stalls import Stalls
from seamline.fabric.zenoh_session import close_session, open_session, with_port
from seamline.fabric.zenoh_settings import configuration

MAX_CONTROL_BYTES = 4 << 20
MAX_CHUNK_BYTES = MOST_CHUNK_BYTES + 4096
MAX_NOTICE_BYTES = 1 << 18

_CLOSE_TIMEOUT_S = 0.7
"""Closing takes milliseconds, or as long as a handshake when a configured neighbour hangs; nothing is lost then."""
_CONNECT_TIMEOUT_S = 1.0
_SETTLE_S = 0.25
"""How long a new link may take to tell which tokens are behind it: routers recompute their routes after 0.1 s."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Other end of a link. session: its number in Zenoh. local and remote: ``PROTOCOL/HOST:PORT`` of both ends."""

    session: str
    local: str
    remote: str


class ZenohFabric:
    """A `core.vocabulary.ports.Fabric` over Zenoh 1.10.

    connect: endpoints to keep trying, e.g. ``tcp/192.168.1.7:7447``; one that cannot be reached is no error.
    listen: endpoints others may connect to; port 0 means a free one, see `endpoints`.
    relay: pass on messages between neighbours; without it, only directly connected nodes see each other.
    shared_memory: hand bulk to processes of this machine in memory, where nothing shaped is between them.
    lease_s: silence after which a peer is lost; raise it for links that stall for longer. guard: only whom it
    admits takes part, and nobody else can read or forge what is sent. group: where nodes of this cluster find each
    other by multicast, see `discovery`; None finds nobody.
    """

    def __init__(
        self,
        node: NodeId,
        *,
        connect: tuple[str, ...] = (),
        listen: tuple[str, ...] = ("tcp/127.0.0.1:0",),
        cluster: str = "default",
        relay: bool = True,
        shared_memory: bool = True,
        lease_s: float = LEASE_S,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        guard: Guard | None = None,
        group: str | None = None,
    ) -> None:
        self._node = node_id(node)
        self._cluster = node_id(cluster)
        self._connect = connect
        self._lease_s = lease_s
        self._max_message_bytes = max_message_bytes
        self._guard = guard
        self._incarnation = secrets.randbits(63) if guard is None else int(guard.incarnation, 16)
        self.endpoints = tuple(with_port(endpoint) for endpoint in listen)
        self._configured = partial(
            configuration,
            self.endpoints,
            connect,
            mode="router" if relay else "peer",
            lease_s=lease_s,
            group=group,
        )
        self._config = self._configuration()
        self._roster = Roster(self._node, f"{self._incarnation:016x}")
        self._stalls = Stalls(lease_s)
        self._delivery = Delivery(f"fabric-{self._node}", self._deliver)
        self._lobby = Lobby()
        self._door = threading.Lock()  # who comes in is decided, and what waited for it let in, one at a time
        self._peer_log = PeerLog(log)
        place = self._own_place if shared_memory else nowhere
        self._sender = BulkSender(
            self._incarnation, self._roster, lambda target, chunk: self._put(target, Lane.DATA, chunk), place
        )
        self._receiver = BulkReceiver(
            max_message_bytes,
            credit=self._credit,
            given_up=lambda source, why: self._peer_log.warn(source, f"a message of `{source}` was given up: {why}"),
            place=place,
        )
        self._session: Any = None
        self._linking = threading.Lock()  # the session is opened and ended by one at a time
        self._declared: list[Any] = []
        self._on_message: OnMessage | None = None
        self._on_peer: OnPeer | None = None

    @property
    def node(self) -> NodeId:
        return self._node

    @property
    def neighbours(self) -> tuple[str, ...]:
        """Endpoints that are connected to."""
        return self._connect

    @property
    def incarnation(self) -> str:
        """16 hex digits that tell this run of the node from earlier ones."""
        return f"{self._incarnation:016x}"

    def start(self, on_message: OnMessage, on_peer: OnPeer) -> None:
        """Open the session and begin to receive. Returning does not mean that anybody is there: see `wait_peer`.

        Raises `FabricError` when an endpoint cannot be listened on, or a node with this name is already there.
        """
        self._session = open_session(self._config, self.endpoints)
        try:
            self._refuse_duplicate()
            self._on_message, self._on_peer = on_message, on_peer
            self._delivery.start()
            self._declare()
        except BaseException:
            self.close()
            raise

    def send(self, target: NodeId, message: Buffer | Parts, lane: Lane) -> None:
        """Hand one message over. DATA waits while the link is congested, messages to one target in turn.

        Raises `PeerLost` when `target` is not alive, is replaced or dies meanwhile; `FabricError` when the message is
        larger than its lane takes or the fabric is not open.
        """
        limit = MAX_CONTROL_BYTES if lane is Lane.CONTROL else self._max_message_bytes
        parts = message if isinstance(message, tuple) else (memoryview(message).cast("B"),)
        n_bytes = sum(map(len, parts))
        if n_bytes > limit:
            raise FabricError(f"a {lane} message of {n_bytes} bytes exceeds the limit of {limit}")
        if lane is Lane.CONTROL:
            self._roster.require_alive(target)
            self._put(target, lane, b"".join(parts))
        else:
            self._sender.send(target, parts)

    def is_free(self, target: NodeId, n_bytes: int) -> bool:
        return self._sender.is_free(target, n_bytes)

    def peers(self) -> frozenset[NodeId]:
        return self._roster.alive()

    def duplicates(self) -> frozenset[NodeId]:
        """Names that more than one live node uses, this node's own included; the first of each is the node."""
        return self._roster.duplicates()

    def wait_peer(self, node: NodeId, timeout_s: float) -> None:
        """Return when `node` is alive. Raises `PeerLost` when it is not within `timeout_s`."""
        if not self._roster.wait_alive(node, timeout_s):
            there = ", ".join(sorted(self.peers())) or "nobody"
            raise PeerLost(
                f"`{node}` did not appear within {timeout_s:g} s; there is {there}",
                hint=f"is it running, and are these endpoints right: {', '.join((*self.endpoints, *self._connect))}",
            )

    def role_of(self, peer: NodeId) -> str | None:
        """The role in the certificate of a peer; None where nobody is authenticated."""
        return None if self._guard is None else self._guard.role_of(peer, self._roster.incarnation(peer) or "")

    def require_member(self) -> None:
        """Raise `IdentityError` when peers hear this node no more: it is excluded from its cluster."""
        if self._guard is not None:
            self._guard.require_member()

    def take_notice(self, notice: bytes) -> None:
        """Believe `notice` if it is proven and news, drop whom it excludes, and pass it on to all peers.

        Raises `IdentityError` when it proves nothing.
        """
        gone = None if self._guard is None else self._guard.on_notice(notice)
        if gone is None:
            return
        for target in self.peers():
            self._say_notice(target)
        for name in gone:
            self._peer_log.warn(NodeId(name), f"the certificate of `{name}` has been revoked")
        with self._door:
            for name in self.peers() if self._node in gone else gone:
                for node, is_alive in self._roster.drop(NodeId(name)):
                    self._tell(node, is_alive)
        self._delivery.wake()

    def links(self) -> tuple[Neighbour, ...]:
        """Who is at the other end of every link now."""
        session = self._session
        try:
            found = () if session is None else session.info.links()
            return tuple(Neighbour(session=str(one.zid), local=one.src, remote=one.dst) for one in found)
        except zenoh.ZError:
            return ()  # it is being closed

    def relink(self) -> None:
        """Open all links anew, by what the guard says now; peers and this node lose each other for a moment.

        Raises `FabricError` when the endpoints cannot be listened on again.
        """
        with self._linking:
            if self._session is None:
                return
            with self._door:
                for peer in self.peers():
                    for node, is_alive in self._roster.drop(peer):
                        self._tell(node, is_alive)
            self._end_session()
            self._config = self._configuration()
            self._session = open_session(self._config, self.endpoints)
            self._declare()

    def close(self) -> None:
        """Leave: peers learn at once. Takes at most some seconds, whatever the links do; then sends raise."""
        with self._linking:
            self._end_session()
        self._roster.close()
        self._sender.close()
        self._delivery.close()

    def _own_place(self) -> Place | None:
        return place_of((one.local, one.remote) for one in self.links())

    def _configuration(self) -> Any:
        return self._configured(more={} if self._guard is None else self._guard.settings)

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            declared, self._declared = self._declared, []
            close_session(session, declared, _CLOSE_TIMEOUT_S)

    def _key(self, node: str, *rest: str) -> str:
        return "/".join(("seamline", self._cluster, node, *rest))

    def _declare(self) -> None:
        session = self._session
        credential = () if self._guard is None else (self._guard.credential,)
        any_credential = () if self._guard is None else ("*",)
        self._declared = [
            self._subscriber("control", self._on_control),
            self._subscriber("data", self._on_data),
            self._subscriber("credit", self._on_credit),
            session.declare_subscriber(self._key(self._node, "notice", "*"), self._on_notice),
            session.liveliness().declare_token(self._key(self._node, "alive", self.incarnation, *credential)),
            session.liveliness().declare_subscriber(
                self._key("*", "alive", "*", *any_credential), self._on_token, history=True
            ),
        ]

    def _subscriber(self, kind: str, callback: Callable[[zenoh.Sample], None]) -> Any:
        """Have `callback` called on Zenoh's own threads."""
        key = self._key(self._node, kind, "*", "*", self.incarnation)
        return self._session.declare_subscriber(key, Callback(callback, indirect=False))

    def _refuse_duplicate(self) -> None:
        """Raises `FabricError` when a node of this name is within reach of the endpoints to connect to.

        A token of this name may be the ghost of an earlier run: it goes within a lease, a live one stays. Nodes that
        connect later are not seen here but in `duplicates`.
        """
        selector = self._key(self._node, "alive", "**")
        start_s = time.monotonic()
        linked_s = None if self._connect else start_s
        while True:
            now_s = time.monotonic()
            if linked_s is None and self._session.info.links():
                linked_s = now_s
            replies = self._session.liveliness().get(selector, timeout=1.0)
            is_taken = any(self._is_admitted(str(reply.ok.key_expr)) for reply in replies if reply.ok is not None)
            if is_taken and now_s > start_s + 3 * self._lease_s:
                raise FabricError(
                    f"a node named `{self._node}` is already in cluster `{self._cluster}`",
                    hint="give this one another name (`run`: the first of --over), or stop the other",
                )
            settled = linked_s is not None and now_s > linked_s + (_SETTLE_S if self._connect else 0.0)
            if not is_taken and (settled or now_s > start_s + _CONNECT_TIMEOUT_S):
                return
            time.sleep(0.02)

    def _credit(self, source: NodeId, credit: bytes) -> None:
        """Tell `source` that chunks of it are taken."""
        try:
            self._put(source, "credit", credit)
        except FabricError as exc:
            log.info("no credit for `%s`: %s", source, exc)

    def _put(self, target: NodeId, kind: Lane | Literal["credit"], payload: bytes) -> None:
        session = self._session
        if session is None:
            raise FabricError(f"the fabric of `{self._node}` is not open")
        if (there := self._roster.incarnation(target)) is None:
            raise PeerLost(f"`{target}` is not alive")
        credit = self._receiver.owed(target) if kind is Lane.CONTROL else None
        if self._guard is not None:
            payload = self._guard.seal(target, there, kind, payload)
            credit = None if credit is None else self._guard.seal(target, there, "credit", credit)
        urgent = kind is not Lane.DATA
        try:
            session.put(
                self._key(target, kind, self._node, self.incarnation, there),
                payload,
                attachment=credit,
                congestion_control=zenoh.CongestionControl.BLOCK,  # the default drops 42 % of 1 MB messages
                priority=zenoh.Priority.REAL_TIME if urgent else zenoh.Priority.DATA,
                express=False,  # no faster here (0.38 ms both ways), and 16 small messages would fill the queue
            )
        except zenoh.ZError as exc:
            raise FabricError(f"cannot send to `{target}`: {exc}") from exc

    def _on_control(self, sample: zenoh.Sample) -> None:
        if sample.attachment is not None:
            self._credited(*_sender_of(sample), sample.attachment)
        self._take(sample, Lane.CONTROL, MAX_CONTROL_BYTES)

    def _on_data(self, sample: zenoh.Sample) -> None:
        self._take(sample, Lane.DATA, MAX_CHUNK_BYTES)

    def _take(self, sample: zenoh.Sample, lane: Lane, limit_bytes: int) -> None:
        """Let in what the node of that name sends, and what comes before its token as soon as that has come."""
        source, incarnation = _sender_of(sample)
        if len(sample.payload) > limit_bytes:
            words = f"{len(sample.payload)} bytes at once on the {lane} lane, at most {limit_bytes} are taken"
            self._refused(source, WireError(words))
            return
        arrival = Arrival(source, lane, sample.payload.to_bytes())
        with self._door:
            standing = self._roster.standing(source, incarnation)
            opened = self._open(arrival, incarnation) if standing is Standing.CURRENT else None
            is_next = opened is not None and self._delivery.claim()
            if opened is not None and not is_next:
                self._delivery.put(opened)
            is_kept = standing is Standing.UNKNOWN and self._lobby.put(incarnation, arrival, time.monotonic())
        if opened is not None:
            if is_next:
                self._delivery.deliver_claimed(opened)
            self._delivery.wake()
        if standing is Standing.LEFT_OUT:
            self._refused(source, WireError("another run of that name is here, and that one is the node"))
        elif standing is Standing.UNKNOWN and not is_kept:
            self._refused(source, WireError("nobody of that name is here"))

    def _on_credit(self, sample: zenoh.Sample) -> None:
        self._credited(*_sender_of(sample), sample.payload)

    def _credited(self, source: NodeId, incarnation: str, credit: zenoh.ZBytes) -> None:
        if self._roster.standing(source, incarnation) is not Standing.CURRENT:
            return
        try:
            self._sender.on_credit(source, self._opened(source, incarnation, "credit", credit.to_bytes()))
        except (WireError, IdentityError) as exc:
            self._refused(source, exc)

    def _open(self, arrival: Arrival, incarnation: str) -> Arrival | None:
        """`arrival` as it was sealed; None when it was not sealed there."""
        if self._guard is None:
            return arrival
        try:
            payload = self._guard.open(arrival.source, incarnation, arrival.lane, arrival.payload)
        except IdentityError as exc:
            self._refused(arrival.source, exc)
            return None
        return Arrival(arrival.source, arrival.lane, payload)

    def _opened(self, source: NodeId, incarnation: str, kind: str, payload: bytes) -> bytes:
        return payload if self._guard is None else self._guard.open(source, incarnation, kind, payload)

    def _on_notice(self, sample: zenoh.Sample) -> None:
        if self._guard is None or len(sample.payload) > MAX_NOTICE_BYTES:
            return
        try:
            self.take_notice(sample.payload.to_bytes())
        except IdentityError as exc:
            self._refused(NodeId(str(sample.key_expr).rpartition("/")[2]), exc)

    def _say_notice(self, target: NodeId) -> None:
        """Tell `target` what proves itself: it need not be admitted."""
        if self._guard is None or (session := self._session) is None:
            return
        try:
            session.put(self._key(target, "notice", self._node), self._guard.notice())
        except zenoh.ZError as exc:
            log.info("no notice for `%s`: %s", target, exc)

    def _is_admitted(self, key: str) -> bool:
        """Whether a token is of somebody who may use its name."""
        try:
            if self._guard is not None:
                self._guard.verify(*_parts_of(key))
        except IdentityError:
            return False
        return True

    def _admit(self, name: str, incarnation: str, credential: str, alive: bool) -> bool:
        """Whether a token that came or went counts."""
        if self._guard is None:
            return True
        if not alive:
            return self._guard.leave(name, incarnation, credential)
        try:
            self._guard.admit(name, incarnation, credential)
        except IdentityError as exc:
            self._refused(NodeId(name), exc)
            return False
        finally:
            self._say_notice(NodeId(name))  # one that is revoked may not know it yet
        return True

    def _on_token(self, sample: zenoh.Sample) -> None:
        name, incarnation, credential = _parts_of(str(sample.key_expr))
        alive, now_s = sample.kind == zenoh.SampleKind.PUT, time.monotonic()
        if (name, incarnation) == (self._node, self.incarnation):
            return  # this run is here, whatever is said of it
        if not self._admit(name, incarnation, credential, alive):
            return
        with self._door:
            for node, is_alive in self._roster.token(name, incarnation, alive):
                self._tell(node, is_alive)
                if is_alive and (current := self._roster.incarnation(node)) is not None:
                    for arrival in self._lobby.admit(node, current, now_s):
                        if (opened := self._open(arrival, current)) is not None:
                            self._delivery.put(opened)
            self._delivery.wake()
        if (stall := self._stalls.token(name, incarnation, alive, now_s)) is not None:
            self._peer_log.warn(NodeId(name), str(stall))
        if name in self._roster.duplicates():
            self._peer_log.warn(NodeId(name), _words_of_duplicate(NodeId(name), self._node))

    def _tell(self, node: NodeId, is_alive: bool) -> None:
        """Have it said by the delivery thread, which is to be woken."""
        self._delivery.put(PeerChange(node, is_alive))
        self._sender.wake(node)

    def _deliver(self, item: Arrival | PeerChange) -> None:
        assert self._on_message is not None, "start came before"
        assert self._on_peer is not None
        try:
            match item:
                case PeerChange(node, alive):
                    if not alive:
                        self._receiver.forget(node)
                    self._on_peer(node, alive)
                case Arrival(source, Lane.CONTROL, payload):
                    self._on_message(source, memoryview(payload))
                case Arrival(source, _, payload):
                    self._receiver.on_chunk(source, payload, self._on_message)
        except WireError as exc:
            self._refused(_whose(item), exc)
        except Exception:  # a callback's fault must not silence the node for good
            self._peer_log.fault(_whose(item), f"a callback failed on {type(item).__name__}")

    def _refused(self, source: NodeId, error: WireError | IdentityError) -> None:
        self._peer_log.warn(source, f"refused what `{source[:40]}` sent: {error}")


def _sender_of(sample: Any) -> tuple[NodeId, str]:
    """(name, incarnation) of who says to have sent `sample`."""
    *_, source, incarnation, _ = str(sample.key_expr).split("/")
    return NodeId(source), incarnation


def _parts_of(token: str) -> tuple[str, str, str]:
    """(name, incarnation, credential) in the key of a token; the credential is empty where there is none."""
    name, _, incarnation, *rest = token.split("/")[2:6]
    return name, incarnation, rest[0] if rest else ""


def _whose(item: Arrival | PeerChange) -> NodeId:
    return item.source if isinstance(item, Arrival) else item.node


def _words_of_duplicate(name: NodeId, own: NodeId) -> str:
    if name == own:
        what = f"another live node is named `{name}` too; whoever met that one first leaves this one out"
    else:
        what = f"two live nodes are named `{name}`; the one that was here first stays, the other is left out"
    return f"{what}; hint: give one of them another --name"
