"""Roster of living nodes, from tokens that name a node and one run of it (its incarnation).

A name belongs to the incarnation that was met first, for as long as that lives. Another one beside it is left out: two
nodes were given one name, or somebody takes another's. When the first goes, the next is the node: it is reported lost
and back again, because what was agreed with the first no longer holds. Names come from peers: one that is not a node
name is ignored, and beyond so many of them all are.
"""

from __future__ import annotations

import threading
from enum import Enum

from seamline.core.vocabulary.errors import PeerLost, UsageError
from seamline.core.vocabulary.nodes import NodeId, node_id

MAX_PEERS = 4096
MAX_INCARNATIONS = 4
"""Of one name; those beyond are not remembered."""


class Standing(Enum):
    """What is known of who sends: the node itself, nobody with a token, or one that uses a name of another."""

    CURRENT = "current"
    UNKNOWN = "unknown"
    LEFT_OUT = "left out"


class Roster:
    """Thread-safe. own and incarnation: this node, which is never its own peer."""

    def __init__(self, own: NodeId, incarnation: str) -> None:
        self._own = own
        self._incarnations: dict[NodeId, list[str]] = {own: [incarnation]}  # the first is the node
        self._epochs: dict[NodeId, int] = {}
        self._n_changes = 0
        self._changed = threading.Condition()
        self._closed = False

    def token(self, name: str, incarnation: str, alive: bool) -> list[tuple[NodeId, bool]]:
        """Take note of a token that came or went; what changed for the node, in order, as (node, alive)."""
        try:
            node = node_id(name)
        except UsageError:
            return []
        with self._changed:
            known = self._incarnations.get(node, [])
            before = known[0] if known else None
            if alive and incarnation not in known and self._has_room(node):
                known = [*known, incarnation]
            elif not alive and incarnation in known:
                known = [one for one in known if one != incarnation]
            self._keep(node, known)
            after = known[0] if known else None
            if before != after and after is not None:
                self._n_changes += 1
                self._epochs[node] = self._n_changes
            self._changed.notify_all()
        if node == self._own or before == after:
            return []
        return [(node, False)] * (before is not None) + [(node, True)] * (after is not None)

    def standing(self, node: NodeId, incarnation: str) -> Standing:
        """Who says to be that run of `node`. The name of this node is nobody else's."""
        with self._changed:
            known = self._incarnations.get(node)
            if node == self._own or (known and known[0] != incarnation):
                return Standing.LEFT_OUT
            return Standing.CURRENT if known else Standing.UNKNOWN

    def drop(self, node: NodeId) -> list[tuple[NodeId, bool]]:
        """Take note that no run of `node` counts any more; what changed, as `token` says it."""
        with self._changed:
            runs = tuple(reversed(self._incarnations.get(node, ())))
        return [change for run in runs for change in self.token(node, run, False)]

    def incarnation(self, node: NodeId) -> str | None:
        """The run of `node` that messages go to; None when it is not alive (or is this node)."""
        with self._changed:
            if self._closed or node == self._own or not (known := self._incarnations.get(node)):
                return None
            return known[0]

    def epoch(self, node: NodeId) -> int | None:
        """A number that differs whenever `node` was lost in between; None when it is not alive (or is this node)."""
        with self._changed:
            return None if self.incarnation(node) is None else self._epochs[node]

    def require_alive(self, node: NodeId) -> int:
        """Return the `epoch` of a node that is alive. Raises `PeerLost` when it is not."""
        epoch = self.epoch(node)
        if epoch is None:
            raise PeerLost(f"`{node}` is not alive")
        return epoch

    def alive(self) -> frozenset[NodeId]:
        """Live nodes, without this one."""
        with self._changed:
            if self._closed:
                return frozenset()
            return frozenset(node for node in self._incarnations if node != self._own)

    def duplicates(self) -> frozenset[NodeId]:
        """Names with more than one live incarnation, this node's own included; all but the first are left out."""
        with self._changed:
            return frozenset(node for node, known in self._incarnations.items() if len(known) > 1)

    def wait_alive(self, node: NodeId, timeout_s: float) -> bool:
        """Whether `node` is alive within `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._incarnations.get(node)), timeout_s)
            return not self._closed and node != self._own and bool(self._incarnations.get(node))

    def close(self) -> None:
        """From now on nobody is alive; waiters return."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_room(self, node: NodeId) -> bool:
        known = self._incarnations.get(node)
        return len(self._incarnations) <= MAX_PEERS if known is None else len(known) < MAX_INCARNATIONS

    def _keep(self, node: NodeId, known: list[str]) -> None:
        """Nothing is kept of a name that nobody uses: names are whatever peers say."""
        if known:
            self._incarnations[node] = known
        else:
            self._incarnations.pop(node, None)
            self._epochs.pop(node, None)
