"""ONNX as protobuf messages: parsed whole, or in outline, leaving large weights in the file; copied, fields refilled.

Parsing VGG-19 whole takes 1.5 GB of memory, which a small camera computer has not. So the outer fields of the message
are walked by hand (https://protobuf.dev/programming-guides/encoding/) and only the rest goes to the parser.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.message import DecodeError
from onnx import ModelProto

from seamline.config.plain_files import open_plain
from seamline.core.vocabulary.errors import ModelError, UsageError

MODEL_GRAPH, GRAPH_INITIALIZER, TENSOR_RAW_DATA = 7, 5, 9
"""Field numbers of onnx.proto."""

_MAX_PARSED_BYTES = (1 << 31) - 1
_LENGTH = 2  # wire type of messages, strings and bytes
_MAX_VARINT_BYTES = 10

Message = TypeVar("Message")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A model without its large values. places: offset and bytes of these in the file, by number of initialiser."""

    model: ModelProto
    places: Mapping[int, tuple[int, int]]


def parse_model(data: bytes, what: str) -> ModelProto:
    """The ONNX model in `data`. Raises `ModelError` saying that `what` is not ONNX."""
    if len(data) > _MAX_PARSED_BYTES:
        raise ModelError(f"{what} has {len(data)} bytes besides its weights: too many", hint="is it a model?")
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as exc:
        raise ModelError(f"{what} is not ONNX", hint="export the model to ONNX first") from exc
    return model


def parse_outline(path: Path, large_bytes: int) -> Outline:
    """The model in the file `path`, raw values above `large_bytes` left out.

    Raises `UsageError` when it cannot be read, `ModelError` when it is not ONNX.
    """
    try:
        with open_plain(path) as file:
            if file.seek(0, 2) == 0:
                raise ModelError(f"`{path}` is not ONNX: it is empty", hint="export or copy it again")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                rest, places = _outline_model(mapped, large_bytes)
    except (_MalformedError, IndexError) as exc:
        raise ModelError(f"`{path}` is not ONNX", hint="export the model to ONNX first") from exc
    except OSError as exc:
        raise UsageError(f"cannot read `{path}`: {exc.strerror}", hint="name an ONNX file") from exc
    return Outline(model=parse_model(rest, f"`{path}`"), places=places)


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Turn whatever damaged contents make the ONNX library raise into `ModelError`.

    A name that is no UTF-8 arrives as bytes, a wrong number somewhere as an index: there is no closed list.
    """
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError, OverflowError) as exc:
        raise ModelError(f"{what} is damaged: {exc}"[:400], hint="export or copy it again") from exc


def field_head(number: int, length: int) -> bytes:
    """Tag and length of a length-delimited field."""
    return _varint(number << 3 | _LENGTH) + _varint(length)


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


class _MalformedError(Exception):
    """The bytes are no protobuf message."""


@dataclass(frozen=True, slots=True)
class _Field:
    """number: of the field. start, value, stop: where its tag and its value begin, and where it ends."""

    number: int
    start: int
    value: int
    stop: int


def _outline_model(data: mmap.mmap, large_bytes: int) -> tuple[bytes, dict[int, tuple[int, int]]]:
    rest = bytearray()
    places: dict[int, tuple[int, int]] = {}
    n_initialisers = 0
    for outer in _fields(data, 0, len(data)):
        if outer.number != MODEL_GRAPH:
            rest += data[outer.start : outer.stop]
            continue
        graph = bytearray()
        for inner in _fields(data, outer.value, outer.stop):
            if inner.number != GRAPH_INITIALIZER:
                graph += data[inner.start : inner.stop]
                continue
            head, place = _outline_tensor(data, inner, large_bytes)
            if place is not None:
                places[n_initialisers] = place
            graph += field_head(GRAPH_INITIALIZER, len(head))
            graph += head
            n_initialisers += 1
        rest += field_head(MODEL_GRAPH, len(graph))
        rest += graph
    return bytes(rest), places


def _outline_tensor(data: mmap.mmap, tensor: _Field, large_bytes: int) -> tuple[bytes, tuple[int, int] | None]:
    """The tensor's message without large raw values, and where these are."""
    head = bytearray()
    place = None
    for field in _fields(data, tensor.value, tensor.stop):
        if field.number == TENSOR_RAW_DATA and field.stop - field.value > large_bytes:
            place = (field.value, field.stop - field.value)
        else:
            head += data[field.start : field.stop]
    return bytes(head), place


def _fields(data: mmap.mmap, at: int, stop: int) -> Iterator[_Field]:
    while at < stop:
        start = at
        tag, at = _read_varint(data, at)
        value = at
        match tag & 7:
            case 0:  # varint
                _, at = _read_varint(data, at)
            case 1:  # 64 bits
                at += 8
            case 2:  # message, string, bytes
                length, value = _read_varint(data, at)
                at = value + length
            case 5:  # 32 bits
                at += 4
            case _:
                raise _MalformedError
        if at > stop:
            raise _MalformedError
        yield _Field(tag >> 3, start, value, at)


def _read_varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = 0
    for count in range(_MAX_VARINT_BYTES):
        byte = data[at + count]
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value, at + count + 1
    raise _MalformedError


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
