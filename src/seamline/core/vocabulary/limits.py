"""Limits of what one message carries between nodes, and with them of where a model may be cut.

The codec describes no tensor beyond them and the wire carries none; a cut that does not fit is never offered.
"""

from __future__ import annotations

from collections.abc import Sequence

from seamline.core.vocabulary.profiles import TensorSpec

MAX_TENSORS = 4096
MAX_RANK = 16
MAX_EXTENT_OF_MANY_AXES = (1 << 32) - 1
"""Beyond eight axes an extent takes 32 bits on the wire instead of 64."""

MAX_NAME_LENGTH = 4096
MAX_NAMES_LENGTH = 1 << 21
"""Of all names of one cut together; they travel in the header, which holds 16 MiB."""

MAX_MESSAGE_BYTES = 1 << 30
MAX_CROSSING_BYTES = MAX_MESSAGE_BYTES - (1 << 25)
"""Of the tensors of one cut, uncompressed: what a message holds beside its header."""


def is_sendable(tensors: Sequence[TensorSpec]) -> bool:
    """Whether one message can carry `tensors`, whatever their codec."""
    return (
        len(tensors) <= MAX_TENSORS
        and sum(tensor.n_bytes for tensor in tensors) <= MAX_CROSSING_BYTES
        and sum(len(tensor.name) for tensor in tensors) <= MAX_NAMES_LENGTH
        and all(len(tensor.name) <= MAX_NAME_LENGTH and _has_sendable_shape(tensor.shape) for tensor in tensors)
    )


def _has_sendable_shape(shape: Sequence[int]) -> bool:
    return len(shape) <= 8 or (len(shape) <= MAX_RANK and max(shape) <= MAX_EXTENT_OF_MANY_AXES)
