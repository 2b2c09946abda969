"""One-time tokens: where a cluster's authority answers, how to recognise it, and a secret that is good for one join."""

from __future__ import annotations

import base64
import binascii
import time
import zlib
from typing import Annotated

import msgspec

from seamline.core.vocabulary.errors import UsageError

PREFIX = "sl1-"
MAX_TEXT = 1024
ID_BYTES, SECRET_BYTES, FINGERPRINT_BYTES = 8, 16, 32

_Address = Annotated[str, msgspec.Meta(min_length=3, max_length=260)]


class Token(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Token of one invitation. addresses: ``HOST:PORT`` of the authority. expires_s: seconds since 1970.

    name: the only one it is good for; the joiner's choice when None.
    """

    id: Annotated[bytes, msgspec.Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
    secret: Annotated[bytes, msgspec.Meta(min_length=SECRET_BYTES, max_length=SECRET_BYTES)]
    fingerprint: Annotated[bytes, msgspec.Meta(min_length=FINGERPRINT_BYTES, max_length=FINGERPRINT_BYTES)]
    expires_s: int
    cluster: Annotated[str, msgspec.Meta(max_length=63)]
    name: Annotated[str, msgspec.Meta(max_length=63)] | None
    addresses: Annotated[tuple[_Address, ...], msgspec.Meta(min_length=1, max_length=6)]


def to_text(token: Token) -> str:
    """`token` as one word to paste: letters, digits, ``-`` and ``_``, with a check sum."""
    packed = msgspec.msgpack.encode(token)
    packed += zlib.crc32(packed).to_bytes(4, "big")
    return PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def from_text(text: str, *, is_expired_fine: bool = False) -> Token:
    """The token in `text`. Raises `UsageError` when it is none, was cut off or mistyped, or has expired.

    is_expired_fine: for one that may have been used before; the authority refuses it all the same.
    """
    text = text.strip()
    try:
        if not text.startswith(PREFIX) or len(text) > MAX_TEXT:
            raise ValueError(text[:8])
        body = text.removeprefix(PREFIX)
        packed = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        if zlib.crc32(packed[:-4]).to_bytes(4, "big") != packed[-4:]:
            raise ValueError("check sum")
        token = msgspec.msgpack.decode(packed[:-4], type=Token)
    except (ValueError, binascii.Error, msgspec.DecodeError):
        raise UsageError(
            "that is no token of `seamline invite`, or a part of it is missing",
            hint=f"it is one word that starts with {PREFIX}",
        ) from None
    if not is_expired_fine:
        require_valid(token)
    return token


def require_valid(token: Token) -> None:
    """Raise `UsageError` when `token` has expired by this machine's clock."""
    if time.time() > token.expires_s:
        raise UsageError("the token has expired", hint="`seamline invite` on the authority's machine makes another")
