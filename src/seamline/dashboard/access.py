"""Who may do what on the page: every request's Host and Origin are checked, and changes need a signed-in browser.

Everybody who reaches the page may look. Who opens the one-time link that the command printed may steer: its token
stands behind the ``#``, which no browser sends along, and the page exchanges it for a cookie. GET changes nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seamline.runtime.identity.web_address import is_own_name

MAX_SESSIONS = 64
HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
SAFE_METHODS = ("GET", "HEAD")


class Sessions:
    """Sign-in by tokens that are good once. Only digests are kept; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: list[bytes] = []
        self._sessions: list[bytes] = []

    def new_token(self) -> str:
        """A token for one browser."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._tokens = [*self._tokens[1 - MAX_SESSIONS :], _digest(token)]
        return token

    def redeem(self, token: str) -> str | None:
        """The session that `token` gives; None when it is none, or was used before."""
        with self._lock:
            known = _find(self._tokens, token)
            if known is None:
                return None
            self._tokens.remove(known)
            session = secrets.token_urlsafe(32)
            self._sessions = [*self._sessions[1 - MAX_SESSIONS :], _digest(session)]
            return session

    def may_steer(self, session: str | None) -> bool:
        """Whether a browser with that cookie has signed in."""
        with self._lock:
            return session is not None and _find(self._sessions, session) is not None


class Guard:
    """Refuses requests that another site made a browser send, and adds the headers that keep the page to itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        refusal = refused(scope["method"], Headers(scope=scope))
        if refusal is not None:
            status, words = refusal
            await JSONResponse({"error": words}, status)(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)


def refused(method: str, headers: Mapping[str, str]) -> tuple[int, str] | None:
    """(status, reason) for a request that is not answered, by its headers alone; None for one that may go on.

    Host: a name that others can point at this machine is none of ours (DNS rebinding). Origin: what changes something
    must come from the page itself, and no other site may read (cross-site requests).
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    if not is_own_name(host):
        return 421, "this is not the name of this machine; hint: use localhost or an IP address"
    if method not in (*SAFE_METHODS, "POST"):
        return 405, "GET to look, POST to change"
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        return 403, "another site made this request"
    if origin is None and method not in SAFE_METHODS:
        return 403, "a change has to say where it comes from (Origin)"
    if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
        return 403, "another site made this request"
    return None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _find(known: list[bytes], secret: str) -> bytes | None:
    wanted = _digest(secret)
    return next((each for each in known if hmac.compare_digest(each, wanted)), None)
