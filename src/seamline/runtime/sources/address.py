"""Addresses of videos: what may be one, how it is shown without its password, and why nothing comes from it.

FFmpeg keeps its reasons to itself inside OpenCV, so the server is asked once more in its own protocol: refused,
unknown, silent, 401 and 404 are what users get wrong.
"""

from __future__ import annotations

import http.client
import socket
import urllib.error
import urllib.request
from base64 import b64encode
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from seamline.core.vocabulary.errors import SourceError, UsageError
from seamline.runtime.sources.devices import Device, OpenCvDevice

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935, "rtmps": 443}
"""Schemes whose server can be asked why, and its usual port."""

SCHEMES = frozenset(PORTS) | {"udp", "tcp", "rtp", "srt"}
ASK_TIMEOUT_S = 3.0
OPEN_LIMIT_MS = 10_000
"""Some servers start a camera only when they are asked for it."""

READ_LIMIT_MS = 10_000
"""Silence after which a stream is reopened; OpenCV itself waits half a minute."""

PLAYLIST_TYPES = ("mpegurl", "dash+xml")
"""In the media type of a list of pieces, which may grow while it is played."""

_WORDS = {
    400: "does not understand the request (400)",
    401: "asks for a user and a password, or refuses these (401)",
    403: "forbids it (403)",
    404: "knows no such stream (404)",
    453: "has no bandwidth left (453)",
    454: "knows no such session (454)",
    503: "is overloaded (503)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What a server says when it is asked for a stream. n_bytes, media_type: of what it would send, None unknown."""

    status: int
    n_bytes: int | None = None
    media_type: str = ""


def is_address(text: str) -> bool:
    """Whether `text` looks like an address: a scheme and ``://``."""
    return "://" in text and text.partition("://")[0].isalnum()


def shown(address: str) -> str:
    """`address` without the password in it."""
    parts = urlsplit(address)
    if parts.password is None:
        return address
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{host}"))


def address_device(address: str) -> Device:
    """The stream at `address`. Raises `UsageError` for one that cannot be meant."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError as exc:
        raise UsageError(f"`{address}` is not an address: {exc}", hint="write rtsp://HOST:PORT/PATH") from exc
    if parts.scheme not in SCHEMES:
        raise UsageError(
            f"`{parts.scheme}://` is not a kind of address that video comes from",
            hint=f"known are {', '.join(sorted(SCHEMES))}; a file needs no scheme",
        )
    if not parts.hostname and parts.scheme != "udp":
        raise UsageError(f"`{address}` names no host", hint=f"write {parts.scheme}://HOST/PATH")

    def refused() -> SourceError:
        return SourceError(f"`{shown(address)}` {_why(parts)}", hint="is the address right, and the server up?")

    def is_endless(has_length: bool) -> bool:
        """A server's file ends; what is still being made goes on."""
        return not has_length and not _is_file(parts)

    limits_ms = (OPEN_LIMIT_MS, READ_LIMIT_MS)
    return OpenCvDevice(address, limits_ms=limits_ms, refused=refused, is_endless=is_endless)


def _why(parts: SplitResult) -> str:
    """Why nothing can be read from there, in words that follow the address."""
    port = parts.port or PORTS.get(parts.scheme)
    if port is None:
        return "gives no video"
    where = f"{parts.hostname}:{port}"
    try:
        answer = _ask(parts, port)
    except ConnectionRefusedError:
        return f"cannot be reached: {where} refused the connection"
    except socket.gaierror:
        return f"cannot be reached: there is no host `{parts.hostname}`"
    except TimeoutError:
        return f"cannot be reached: {where} does not answer"
    except (OSError, http.client.HTTPException, ValueError) as exc:
        return f"cannot be reached: {exc}"
    if answer is None or answer.status < 400:
        return "answers, but what it sends cannot be read as video"
    return f"cannot be read: the server {_WORDS.get(answer.status, f'says {answer.status}')}"


def _is_file(parts: SplitResult) -> bool:
    """Whether a web server says how many bytes it has, of something that is no list of pieces."""
    if parts.scheme not in ("http", "https"):
        return False
    try:
        answer = _ask_web(parts)
    except (OSError, http.client.HTTPException, ValueError):
        return False
    is_list = any(kind in answer.media_type for kind in PLAYLIST_TYPES)
    return answer.n_bytes is not None and not is_list and not parts.path.endswith((".m3u8", ".mpd"))


def _ask(parts: SplitResult, port: int) -> _Answer | None:
    """The server's answer; None when it takes the connection and speaks a protocol that we do not."""
    if parts.scheme in ("http", "https"):
        return _ask_web(parts)
    host = parts.hostname
    assert host is not None
    with closing(socket.create_connection((host, port), ASK_TIMEOUT_S)) as connection:
        if parts.scheme != "rtsp":
            return None
        target = urlunsplit(parts._replace(netloc=f"{_bracketed(host)}:{port}"))
        connection.sendall(f"DESCRIBE {target} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n".encode())
        words = connection.recv(4096).split(b"\r\n", 1)[0].split()
    if len(words) < 2 or not words[0].startswith(b"RTSP/") or not words[1].isdigit():
        return None
    return _Answer(status=int(words[1]))


def _ask_web(parts: SplitResult) -> _Answer:
    """The head of the answer to GET, redirects followed: cameras often know no HEAD. Nothing of the body is read."""
    host = _bracketed(parts.hostname or "")
    netloc = host if parts.port is None else f"{host}:{parts.port}"
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=netloc, fragment="")))
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", f"Basic {b64encode(secret.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=ASK_TIMEOUT_S) as response:
            length = response.headers.get("Content-Length", "")
            media_type = response.headers.get("Content-Type", "").lower()
            return _Answer(
                status=response.status, n_bytes=int(length) if length.isdigit() else None, media_type=media_type
            )
    except urllib.error.HTTPError as error:
        return _Answer(status=error.code)
    except urllib.error.URLError as error:
        if isinstance(error.reason, OSError):
            raise error.reason from error
        raise


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
