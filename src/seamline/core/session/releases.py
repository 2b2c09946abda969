"""Releases of one session: repeats the release of a generation to nodes that were away when it was sent.

A release is one small message without an answer. It is lost when the connection breaks while it is in flight, and
cannot be sent while the node is away. A process that comes back would keep those segments for ever, so the release is
repeated; another process on the same node has none.
"""

from __future__ import annotations

from seamline.core.session import commands as cmd
from seamline.core.switching.vocabulary import Generation
from seamline.core.vocabulary.nodes import NodeId

DOUBT_S = 5.0
"""A release said so shortly before its node was lost may not have come through."""


class Releases:
    """Owner of the releases that nodes may have missed. out: where commands go."""

    def __init__(self, out: list[cmd.PilotOutput]) -> None:
        self._out = out
        self._said: dict[NodeId, list[tuple[float, Generation]]] = {}
        self._away: set[NodeId] = set()

    def say(self, generation: Generation, now_s: float) -> None:
        """The generation is over."""
        self._out.append(cmd.Release(generation))
        for node in generation.plan.nodes:
            said = self._said.setdefault(node, [])
            if node not in self._away:
                said[:] = [one for one in said if now_s - one[0] <= DOUBT_S]
            said.append((now_s, generation))

    def lost(self, node: NodeId, now_s: float) -> None:
        """Nothing is heard of the node any more."""
        if node not in self._away:
            self._away.add(node)
            self._said[node] = [one for one in self._said.get(node, ()) if now_s - one[0] <= DOUBT_S]

    def seen(self, node: NodeId, *, is_same_process: bool) -> None:
        """The node has said that it is there; what another process held is gone with it."""
        if node not in self._away and is_same_process:
            return
        self._away.discard(node)
        said = self._said.pop(node, [])
        if is_same_process:
            self._out += (cmd.Release(generation) for _, generation in said)
