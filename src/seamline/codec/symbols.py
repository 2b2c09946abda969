"""Entropy coding of quantised levels: symbols that are small where levels are usual, packed, then Zstandard.

A symbol is the level's distance from the usual one, with its sign in the lowest bit (zigzag). Where nearly all are
below 15, two share a byte and the rest follow apart: one byte then stands for two neighbours, which are alike, and
a run of zeros is half as long. Zstandard's Huffman stage so comes to 0.95 to 1.02 times the order-0 entropy of the
levels from 2 to 4 bits a value, and to 1.00 to 1.03 times above (docs/decisions/0026).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seamline.codec.lossless import MAX_EXPANSION, packed, unpacked
from seamline.core.vocabulary.errors import CodecError
from seamline.core.vocabulary.ports import Array

SIGNED = 128
"""The usual level of values with a sign; of values without it is 0."""

_ESCAPE = 15
_MOST_ESCAPED_RATIO = 1 / 8
"""Of all symbols: above, a byte for each of them compresses better than half a byte and escapes."""

Bytes = npt.NDArray[np.uint8]


def pack(levels: Bytes, usual: int) -> tuple[Bytes, tuple[int, ...]]:
    """(buffer, bytes of each part in it): one part of bytes, or one of half bytes and one of those they cannot hold.

    usual: `SIGNED` or 0.
    """
    symbols = _zigzag(levels.reshape(-1)) if usual == SIGNED else levels.reshape(-1)
    is_escaped = symbols >= _ESCAPE
    if np.count_nonzero(is_escaped) > _MOST_ESCAPED_RATIO * symbols.size:
        parts = [packed(symbols)]
    else:
        parts = [packed(_halved(symbols)), packed(symbols[is_escaped])]
    return np.frombuffer(b"".join(parts), np.uint8), tuple(len(part) for part in parts)


def check_parts(parts: Sequence[int], n: int, buffer: Array) -> None:
    """Raises `CodecError` unless `buffer` (uint8[m]) can hold `parts` of `n` levels. Takes no memory."""
    if buffer.dtype != np.uint8 or buffer.ndim != 1 or len(parts) not in (1, 2) or sum(parts) != buffer.size:
        raise CodecError(f"{len(parts)} parts do not fit a buffer {buffer.dtype}{list(buffer.shape)}")
    held = n if len(parts) == 1 else math.ceil(n / 2)
    if not parts[0] <= held <= MAX_EXPANSION * parts[0] or parts[-1] > n:
        raise CodecError(f"parts of {list(parts)} bytes claim to hold {n} levels", hint="it is no honest payload")


def unpack(buffer: Bytes, parts: Sequence[int], n: int, usual: int) -> Bytes:
    """Inverse of `pack`: uint8[n], for parts that `check_parts` let pass. Raises `CodecError` when one is damaged."""
    if len(parts) == 1:
        symbols = unpacked(buffer, n)
    else:
        symbols = _doubled(unpacked(buffer[: parts[0]], math.ceil(n / 2)))[:n]
        at = np.flatnonzero(symbols == _ESCAPE)
        if not parts[1] <= at.size <= MAX_EXPANSION * parts[1]:
            raise CodecError(f"{parts[1]} bytes claim to hold {at.size} levels", hint="it is no honest payload")
        symbols[at] = unpacked(buffer[parts[0] :], at.size)
    return _unzigzag(symbols) if usual == SIGNED else symbols


def _zigzag(levels: Bytes) -> Bytes:
    """0, 1, 2, 3, ... for levels 128, 127, 129, 126, ..."""
    distance = (levels ^ np.uint8(SIGNED)).view(np.int8)
    return ((distance << 1) ^ (distance >> 7)).view(np.uint8)


def _unzigzag(symbols: Bytes) -> Bytes:
    sign = np.negative(symbols & 1, dtype=np.uint8)  # 255 for a level below the usual one
    levels: Bytes = (symbols >> 1) ^ sign ^ np.uint8(SIGNED)
    return levels


def _halved(symbols: Bytes) -> Bytes:
    """Two symbols in a byte, the first in its lower half; those from 15 on as 15."""
    low = np.zeros(symbols.size + symbols.size % 2, np.uint8)
    np.minimum(symbols, _ESCAPE, out=low[: symbols.size])
    pairs = low.view("<u2")
    halves: Bytes = (pairs | (pairs >> 4)).astype(np.uint8)
    return halves


def _doubled(halves: Bytes) -> Bytes:
    pairs = halves.astype("<u2")
    symbols: Bytes = ((pairs | (pairs << 4)) & 0x0F0F).astype("<u2", copy=False).view(np.uint8)
    return symbols
