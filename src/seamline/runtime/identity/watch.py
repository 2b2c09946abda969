"""Watch over a running node's identity: revocations that reach this machine, and renewal before it expires."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from seamline.core.vocabulary.errors import SeamlineError
from seamline.identity.joining import renew
from seamline.identity.kept import Identity

LOOK_EVERY_S = 1.0
RENEW_EVERY_S = 3600.0

log = logging.getLogger(__name__)


class IdentityWatch:
    """Looks once a second whether ``revoked.pem`` has changed, once an hour whether it is time to renew.

    take_notice: gets the list at the start, and each new one. A renewed certificate counts from the next start; the old
    one lasts until then.
    """

    def __init__(self, identity: Identity, take_notice: Callable[[bytes], None], say: Callable[[str], None]) -> None:
        self._identity = identity
        self._take_notice = take_notice
        self._say = say
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
                self._guarded(lambda: self._take_notice(self._identity.revoked_pem()))
            if self._identity.is_due and time.monotonic() >= renew_at_s:
                renew_at_s = time.monotonic() + RENEW_EVERY_S
                self._guarded(self._renew)

    def _renew(self) -> None:
        self._identity = renew(self._identity)
        self._say(f"the certificate was renewed until {self._identity.member.expires:%Y-%m-%d}, from the next start on")

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
