"""Watch over a running node's identity: revocations that reach this machine, strangers' links, renewal in time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from seamline.core.vocabulary.complaints import Complaints, with_unsaid
from seamline.core.vocabulary.errors import SeamlineError
from seamline.fabric.zenoh import Neighbour
from seamline.identity.joining import renew
from seamline.identity.kept import Identity
from seamline.identity.sealing import Seal
from seamline.runtime.identity.strangers import STARTING_LEASES, STARTING_S, Strangers, cut

LOOK_EVERY_S = 1.0
RENEW_EVERY_S = 3600.0

log = logging.getLogger(__name__)


class GuardedFabric(Protocol):
    """What the watch does to a fabric; `fabric.zenoh.ZenohFabric` has the words."""

    def take_notice(self, notice: bytes) -> None: ...

    def links(self) -> tuple[Neighbour, ...]: ...

    def relink(self) -> None: ...


class IdentityWatch:
    """Looks once a second whether ``revoked.pem`` has changed and who is on the links, once an hour whether to renew.

    seal: of this run, gets the renewed identity, and the fabric opens its links anew: a listener of Zenoh keeps the
    certificate that it began with.
    """

    def __init__(
        self, identity: Identity, seal: Seal, fabric: GuardedFabric, say: Callable[[str], None], lease_s: float
    ) -> None:
        self._identity = identity
        self._seal = seal
        self._fabric = fabric
        self._say = say
        self._strangers = Strangers(STARTING_LEASES * lease_s + STARTING_S)
        self._complaints = Complaints()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="identity", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the thread; idempotent. A renewal in progress is waited for a few seconds."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(timeout=3.0)

    def _watch(self) -> None:
        seen, renew_at_s = 0, time.monotonic()  # what changed since the node read it counts too
        while not self._closed.wait(LOOK_EVERY_S):
            if (now_seen := self._changed_at()) != seen:
                seen = now_seen
                self._guarded(lambda: self._fabric.take_notice(self._identity.revoked_pem()))
            self._guarded(self._cut_strangers)
            if self._identity.is_due and time.monotonic() >= renew_at_s:
                renew_at_s = time.monotonic() + RENEW_EVERY_S
                self._guarded(self._renew)

    def _cut_strangers(self) -> None:
        links = self._fabric.links()
        for neighbour in self._strangers.among(links, self._seal.standing, time.monotonic()):
            n_unsaid = self._complaints.due(neighbour.session, time.monotonic())
            if cut(neighbour) and n_unsaid is not None:
                words = (
                    f"ended the link to {neighbour.remote}: no member of `{self._identity.cluster}` is admitted there"
                )
                log.warning("%s", with_unsaid(words, n_unsaid))

    def _renew(self) -> None:
        self._identity = renew(self._identity)
        self._seal.take_up(self._identity)
        self._fabric.relink()
        self._say(f"the certificate was renewed until {self._identity.member.expires:%Y-%m-%d}")

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (SeamlineError, OSError) as exc:
            log.warning("%s", exc)

    def _changed_at(self) -> int:
        try:
            return (self._identity.folder / "revoked.pem").stat().st_mtime_ns
        except OSError:
            return 0
