"""Fields of ONNX messages: a message copied, the nodes, weights or values of a graph replaced by others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

Message = TypeVar("Message")


def copied(message: Message) -> Message:
    """A copy of a protobuf `message` that belongs to no other."""
    copy: Any = type(message)()
    copy.CopyFrom(message)
    return copy  # type: ignore[no-any-return] # of the same class, which no type says of protobuf's messages


def refill(field: Any, messages: Iterable[Any]) -> None:
    """Have the repeated `field` hold `messages` alone, which may be its own."""
    kept = list(messages)
    del field[:]
    field.extend(kept)
