"""Complaints about peers, limited: one line per peer in a while, with the number of those left unsaid.

Whoever reaches the port can cause a line per message. Names come from peers too, so beyond so many of them all others
share one entry.
"""

from __future__ import annotations

EVERY_S = 10.0
MAX_PEERS = 64
MAX_QUOTED = 200
"""Characters of a peer's words in one line."""

_OTHERS = "\0others"


class Complaints:
    """Limiter of the lines about peers; not thread-safe. every_s: time between two lines about the same one."""

    def __init__(self, every_s: float = EVERY_S, max_peers: int = MAX_PEERS) -> None:
        self._every_s = every_s
        self._max_peers = max_peers
        self._said_s: dict[str, float] = {}
        self._n_unsaid: dict[str, int] = {}

    def due(self, peer: str, now_s: float) -> int | None:
        """Number of lines left unsaid since the last one about `peer`; None when this one is left unsaid as well."""
        key = self._key(peer, now_s)
        said_s = self._said_s.get(key)
        if said_s is not None and now_s - said_s < self._every_s:
            self._n_unsaid[key] = self._n_unsaid.get(key, 0) + 1
            return None
        self._said_s[key] = now_s
        return self._n_unsaid.pop(key, 0)

    def _key(self, peer: str, now_s: float) -> str:
        if peer in self._said_s or len(self._said_s) < self._max_peers:
            return peer
        for old in [old for old, said_s in self._said_s.items() if now_s - said_s >= self._every_s]:
            if not self._n_unsaid.get(old):
                del self._said_s[old]
        return peer if len(self._said_s) < self._max_peers else _OTHERS


def quoted(words: str, n_max: int = MAX_QUOTED) -> str:
    """`words` of a peer on one line of printable characters, cut after `n_max`."""
    head = "".join(letter if letter.isprintable() else " " for letter in words[:n_max])
    return head if len(words) <= n_max else f"{head}... ({len(words)} characters)"


def with_unsaid(words: str, n_unsaid: int) -> str:
    """`words`, and how many lines like it were left unsaid."""
    return f"{words} ({n_unsaid} more like it)" if n_unsaid else words
