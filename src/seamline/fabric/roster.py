"""Roster of living nodes, from tokens that name a node and one run of it (its incarnation).

A node is alive while at least one incarnation is. A second incarnation means a restart whose predecessor is not yet
known to be dead, or two nodes with one name: either way what was agreed with the first one no longer holds, so the
node is reported lost and back again. Names come from peers: one that is not a node name is ignored.
"""

from __future__ import annotations

import threading

from seamline.core.vocabulary.errors import PeerLost, UsageError
from seamline.core.vocabulary.nodes import NodeId, node_id


class Roster:
    """Thread-safe. own and incarnation: this node, which is never its own peer."""

    def __init__(self, own: NodeId, incarnation: str) -> None:
        self._own = own
        self._incarnations: dict[NodeId, list[str]] = {own: [incarnation]}
        self._epochs: dict[NodeId, int] = {}
        self._changed = threading.Condition()
        self._closed = False

    def token(self, name: str, incarnation: str, alive: bool) -> list[tuple[NodeId, bool]]:
        """Take note of a token that came or went; what changed for the node, in order, as (node, alive)."""
        try:
            node = node_id(name)
        except UsageError:
            return []
        with self._changed:
            known = self._incarnations.setdefault(node, [])
            before = known[-1] if known else None
            if alive and incarnation not in known:
                known.append(incarnation)
            elif not alive and incarnation in known:
                known.remove(incarnation)
            after = known[-1] if known else None
            if before != after:
                self._epochs[node] = self._epochs.get(node, 0) + 1
            self._changed.notify_all()
        if node == self._own or before == after:
            return []
        return [(node, False)] * (before is not None) + [(node, True)] * (after is not None)

    def epoch(self, node: NodeId) -> int | None:
        """A number that differs whenever `node` was lost in between; None when it is not alive (or is this node)."""
        with self._changed:
            if self._closed or node == self._own or not self._incarnations.get(node):
                return None
            return self._epochs[node]

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
            return frozenset(node for node, known in self._incarnations.items() if known and node != self._own)

    def duplicates(self) -> frozenset[NodeId]:
        """Names with more than one live incarnation, this node's own included."""
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
