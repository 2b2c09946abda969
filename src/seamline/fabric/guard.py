"""What a fabric asks of whoever guards it: settings of its links, a credential to show, messages sealed and opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from seamline.core.vocabulary.nodes import NodeId


class Guard(Protocol):
    """Guard of one run of one node. Safe from any thread.

    A node shows its credential beside its token; peers admit it or say why not. What fails raises `FabricError`, in
    words.
    """

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings of Zenoh: certificates, access rules, and the run's number as the session's."""
        ...

    @property
    def incarnation(self) -> str:
        """16 hex digits that tell this run of the node from earlier ones."""
        ...

    @property
    def credential(self) -> str:
        """What proves this node's name and run, in characters that may stand in a key."""
        ...

    def verify(self, name: str, incarnation: str, credential: str) -> None:
        """Raise `IdentityError` when a token is not of somebody who may use its name."""
        ...

    def require_member(self) -> None:
        """Raise `IdentityError` when this node itself is excluded."""
        ...

    def admit(self, name: str, incarnation: str, credential: str) -> None:
        """Take a peer's run for what it says it is. Raises `IdentityError`."""
        ...

    def leave(self, name: str, incarnation: str, credential: str) -> bool:
        """A token has gone; whether it was the one by which that run had been admitted."""
        ...

    def seal(self, target: NodeId, incarnation: str, kind: str, payload: bytes | bytearray) -> bytes:
        """`payload` so that only that run of `target` can read it. Raises `PeerLost` when it has not been admitted."""
        ...

    def open(self, source: str, incarnation: str, kind: str, payload: bytes) -> bytes:
        """What that run of `source` sealed. Raises `IdentityError` when it is not from there."""
        ...

    def role_of(self, source: str, incarnation: str) -> str:
        """The role of a peer's run; the least of them when it has not been admitted."""
        ...

    def notice(self) -> bytes:
        """What every peer should know, provable by itself: a list of revoked certificates."""
        ...

    def on_notice(self, notice: bytes) -> frozenset[str] | None:
        """Take a notice; names that are no longer admitted, None when it is no news.

        Raises `IdentityError` when it proves nothing.
        """
        ...
