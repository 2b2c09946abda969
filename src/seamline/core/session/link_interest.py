"""Interest of one session in links: those between its nodes, for as long as frames flow or it was just begun.

Every node of the stream that is there is asked for its links to all others, since any of them may follow another in a
plan or answer the origin. The interest lapses unless it is renewed (`core.link.interest`). A session whose frames have
stopped renews nothing: it decides nothing that an estimate could change, and its first frame renews all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from seamline.core.link.interest import INTEREST_S, RENEW_S
from seamline.core.session import commands as cmd
from seamline.core.vocabulary.nodes import NodeId

QUIET_S = 10.0
"""After the last frame: a source that gives a picture now and then keeps its links measured."""


class LinkInterest:
    """Owner of what a session has asked nodes to measure. nodes: the origin and all that may take part."""

    def __init__(self, nodes: Iterable[NodeId], out: list[cmd.PilotOutput]) -> None:
        self._nodes = frozenset(nodes)
        self._out = out
        self._asked: set[NodeId] = set()
        self._renew_s = -math.inf
        self._active_s = -math.inf
        self._is_quiet = True

    @property
    def due_s(self) -> float:
        """Time at which interest is renewed; inf while the session is quiet."""
        return math.inf if self._is_quiet else self._renew_s

    def active(self, now_s: float) -> None:
        """A frame was answered, or the session begins."""
        self._active_s = now_s
        if self._is_quiet:
            self._is_quiet, self._renew_s = False, -math.inf

    def lost(self, node: NodeId) -> None:
        """The node is lost: it is asked anew when it is back."""
        self._asked.discard(node)

    def tick(self, present: Iterable[NodeId], now_s: float) -> None:
        """Ask those of `present` who were not asked yet, and all of them when it is time."""
        self._is_quiet = now_s >= self._active_s + QUIET_S
        if self._is_quiet:
            return
        if is_due := now_s >= self._renew_s:
            self._renew_s = now_s + RENEW_S
        for node in present:
            if is_due or node not in self._asked:
                self._asked.add(node)
                self._out.append(cmd.MeasureLinks(node, self._nodes - {node}, INTEREST_S))
