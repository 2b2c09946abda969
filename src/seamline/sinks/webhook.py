"""Webhook sink: each answer as a POST of JSON to an address, over one connection that is kept."""

from __future__ import annotations

import base64
import http.client
import ssl
import time
from urllib.parse import unquote, urlsplit

from seamline.core.vocabulary.documented import json_line
from seamline.core.vocabulary.errors import UsageError
from seamline.sinks.answered import AnsweredFrame, answered_json
from seamline.sinks.mqtt import hidden
from seamline.sinks.sink import Sink, SinkError

TIMEOUT_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""After an address that did not answer nothing is sent for so long, twice as long each time."""

MAX_REPLY_BYTES = 1 << 16


class Webhook(Sink):
    """Posts to ``http(s)://[USER:PASSWORD@]HOST[:PORT]/PATH``. Any status below 300 is success; none is followed.

    Nothing is sent before the first answer: an address for POSTs may take nothing else.
    """

    def __init__(self, text: str) -> None:
        self.name = hidden(text)
        try:
            parts = urlsplit(text)
            self._port = parts.port
        except ValueError as exc:
            raise UsageError(f"`{self.name}` is not an address", hint="write http://HOST/PATH") from exc
        if not parts.hostname:
            raise UsageError(f"`{self.name}` names no host", hint="write http://HOST/PATH")
        self._host, self._is_tls = parts.hostname, parts.scheme == "https"
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"Content-Type": "application/json", "User-Agent": "seamline"}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        self._connection: http.client.HTTPConnection | None = None
        self._silent_until_s = 0.0
        self._pause_s = FIRST_PAUSE_S

    def write(self, answered: AnsweredFrame) -> None:
        if time.monotonic() < self._silent_until_s:
            raise SinkError("no answer from there", is_final=False)
        body = json_line(answered_json(answered)).encode()
        try:
            status = self._post(body)
        except (OSError, http.client.HTTPException) as exc:
            self._silent_until_s = time.monotonic() + self._pause_s
            self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)
            raise SinkError("no answer from there", is_final=False) from exc
        self._pause_s = FIRST_PAUSE_S
        if status >= 300:
            raise SinkError(f"it answers {status} {http.client.responses.get(status, '')}".strip(), is_final=False)

    def close(self) -> None:
        self._drop()

    def _post(self, body: bytes) -> int:
        """The status of a POST; a kept connection that the other side has closed meanwhile is opened again."""
        is_kept = self._connection is not None
        try:
            return self._exchange(body)
        except (http.client.RemoteDisconnected, ConnectionError):
            self._drop()
            if not is_kept:
                raise
            return self._exchange(body)
        except BaseException:
            self._drop()
            raise

    def _exchange(self, body: bytes) -> int:
        connection = self._connection = self._connection or self._connect()
        connection.request("POST", self._path, body, self._headers)
        reply = connection.getresponse()
        reply.read(MAX_REPLY_BYTES)
        if reply.will_close or reply.length:  # more than we read would be taken for the next reply
            self._drop()
        return reply.status

    def _connect(self) -> http.client.HTTPConnection:
        if self._is_tls:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_S, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
