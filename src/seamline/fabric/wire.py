"""Wire format: one message as one buffer, and back.

::

    prefix   magic "SLM" | version u8 | zero u32 | checksum u64
             total u64 | header length u32 | tensor count u16 | zero u16
    records  per tensor: dtype u8 | rank u8 | zeros 6 | 8 dims i64, beyond rank 8 16 dims u32 | offset u64 | bytes u64
    header   msgpack, one of `messages.Message`
    tensors  little-endian, C order, each aligned to 64 bytes

Everything is little-endian. The checksum covers every byte after itself, tensors too, and nothing is read before it was
found to be right: a damaged message is as good as a lost one. Magic and version stay where they are in every version.
Tensors are written once and read as views. There is one valid layout for given sizes, and `unpack` accepts no other.
Cutting messages into chunks is `bulk/chunks.py`; what tensors mean is the codec's business.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import msgspec
import numpy as np

from seamline.core.vocabulary.errors import WireError, WireVersion
from seamline.core.vocabulary.limits import MAX_EXTENT_OF_MANY_AXES, MAX_MESSAGE_BYTES, MAX_RANK, MAX_TENSORS
from seamline.core.vocabulary.ports import Array, Buffer, Parts, dtype_name
from seamline.core.vocabulary.profiles import DTYPE_BYTES
from seamline.fabric.integrity import checksum, checksum_of
from seamline.fabric.messages import WIRE_VERSION, Message

MAX_HEADER_BYTES = 1 << 24
ALIGNMENT_BYTES = 64


def pack(header: Message, tensors: Sequence[Array] = ()) -> bytes:
    """`header` and `tensors` as one message. Each tensor is copied once, whatever its strides.

    Raises `WireError` for a dtype or rank that cannot be sent, or a message beyond `MAX_MESSAGE_BYTES`.
    """
    return b"".join(pack_parts(header, tensors))


def pack_parts(header: Message, tensors: Sequence[Array] = ()) -> Parts:
    """The same message as buffers that follow each other, which refer to the tensors: nothing is copied yet.

    Raises as `pack` does.
    """
    encoded = _ENCODER.encode(header)
    if len(encoded) > MAX_HEADER_BYTES or len(tensors) > MAX_TENSORS:
        raise WireError(f"a header of {len(encoded)} bytes with {len(tensors)} tensors exceeds what a message may hold")
    offsets, total = _layout(len(encoded), [tensor.nbytes for tensor in tensors])
    if total > MAX_MESSAGE_BYTES:
        raise WireError(f"a message of {total} bytes exceeds the limit of {MAX_MESSAGE_BYTES}")
    records = [_record(tensor, offset) for tensor, offset in zip(tensors, offsets, strict=True)]
    parts: list[Buffer] = [b"".join((_GUARDED.pack(total, len(encoded), len(tensors), 0), *records, encoded))]
    end = _START.size + len(parts[0])
    for tensor, offset in zip(tensors, offsets, strict=True):
        parts += (bytes(offset - end), _bytes_of(tensor))
        end = offset + tensor.nbytes
    return _START.pack(_MAGIC, WIRE_VERSION, 0, checksum_of(parts)), *parts


def unpack(message: bytes | bytearray | memoryview) -> tuple[Message, list[Array]]:
    """Header and tensors of `message`; the tensors are views into it, read-only when it is.

    Raises `WireVersion` when it was packed by another version, `WireError` when it is anything but one whole message.
    Nothing is allocated by a size from the message before that size was found to be true.
    """
    view = memoryview(message).cast("B")
    header_end, n_tensors = _check_prefix(view)
    records_at = _START.size + _GUARDED.size
    records = [_Record(view, records_at + index * _RECORD.size) for index in range(n_tensors)]
    encoded = view[records_at + n_tensors * _RECORD.size : header_end]
    offsets, total = _layout(len(encoded), [record.n_bytes for record in records])
    if total != len(view) or offsets != [record.offset for record in records]:
        raise WireError("the tensors of a message are not where they belong")
    try:
        header = _DECODER.decode(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise WireError(f"the header of a message is malformed ({exc})") from exc
    return header, [record.tensor(view) for record in records]


_MAGIC = b"SLM"
_START = struct.Struct("<3sBIQ")
_GUARDED = struct.Struct("<QIHH")
_RECORD = struct.Struct("<BB6s64sQQ")
_DIMS = struct.Struct("<8q")
_MANY_DIMS = struct.Struct("<16I")
_FEW_AXES = 8

_DTYPES = tuple(DTYPE_BYTES)
"""Position is the number on the wire: append only."""

_NUMBERS = {name: number for number, name in enumerate(_DTYPES)}
_ON_WIRE = {name: np.dtype(name).newbyteorder("<") for name in _DTYPES}

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Message)


def _layout(header_bytes: int, tensor_bytes: Sequence[int]) -> tuple[list[int], int]:
    """(offset of each tensor, total bytes) of the one valid layout."""
    end = _START.size + _GUARDED.size + len(tensor_bytes) * _RECORD.size + header_bytes
    offsets = []
    for n_bytes in tensor_bytes:
        offset = -(-end // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        offsets.append(offset)
        end = offset + n_bytes
    return offsets, end


def _bytes_of(tensor: Array) -> Buffer:
    """What a tensor is on the wire; a view where it lies in memory like that."""
    there = np.ascontiguousarray(tensor, _ON_WIRE[dtype_name(tensor.dtype)])
    return there.reshape(-1).view(np.uint8).data if there.size else b""


def _record(tensor: Array, offset: int) -> bytes:
    if dtype_name(tensor.dtype) not in DTYPE_BYTES or tensor.ndim > MAX_RANK:
        raise WireError(f"a tensor {tensor.dtype}{list(tensor.shape)} cannot be sent", hint=f"at most {MAX_RANK} axes")
    if tensor.ndim > _FEW_AXES and max(tensor.shape) > MAX_EXTENT_OF_MANY_AXES:
        raise WireError(f"a tensor {tensor.dtype}{list(tensor.shape)} cannot be sent: an extent is too large")
    dims, n_dims = (_DIMS, _FEW_AXES) if tensor.ndim <= _FEW_AXES else (_MANY_DIMS, MAX_RANK)
    shape = dims.pack(*tensor.shape, *(0,) * (n_dims - tensor.ndim))
    return _RECORD.pack(_NUMBERS[dtype_name(tensor.dtype)], tensor.ndim, bytes(6), shape, offset, tensor.nbytes)


def _check_prefix(view: memoryview) -> tuple[int, int]:
    """(end of the header, tensor count), once magic, version, sizes and checksum hold."""
    if len(view) < _START.size + _GUARDED.size:
        raise WireError(f"{len(view)} bytes are too few for a message")
    magic, version, reserved, expected = _START.unpack_from(view, 0)
    if magic != _MAGIC:
        raise WireError("the bytes of a peer are not a Seamline message")
    if version != WIRE_VERSION:
        raise WireVersion(
            f"the peer speaks wire version {version}, this node {WIRE_VERSION}",
            hint="run the same release on all nodes",
        )
    total, header_bytes, n_tensors, zero = _GUARDED.unpack_from(view, _START.size)
    if total != len(view) or total > MAX_MESSAGE_BYTES:
        raise WireError(f"a message of {len(view)} bytes claims to have {total}")
    header_end = _START.size + _GUARDED.size + n_tensors * _RECORD.size + header_bytes
    if header_bytes > MAX_HEADER_BYTES or n_tensors > MAX_TENSORS or zero or reserved or header_end > total:
        raise WireError(f"a message claims a header of {header_bytes} bytes and {n_tensors} tensors")
    if checksum(view[_START.size :]) != expected:
        raise WireError(f"a message of {total} bytes is damaged: its checksum does not match")
    return header_end, n_tensors


class _Record:
    """Place of one tensor in a message, checked for itself; `_layout` checks it against the others."""

    __slots__ = ("dtype", "n_bytes", "offset", "shape")

    def __init__(self, view: memoryview, at: int) -> None:
        code, rank, zeros, shape, self.offset, self.n_bytes = _RECORD.unpack_from(view, at)
        dims = (_DIMS if rank <= _FEW_AXES else _MANY_DIMS).unpack(shape)
        if code >= len(_DTYPES) or rank > MAX_RANK or any(zeros) or any(dims[rank:]):
            raise WireError(f"a tensor with dtype number {code} and {rank} axes is unknown")
        self.dtype = _DTYPES[code]
        self.shape = tuple(dims[:rank])
        if min(self.shape, default=0) < 0 or math.prod(self.shape) * DTYPE_BYTES[self.dtype] != self.n_bytes:
            raise WireError(f"a tensor {self.dtype}{list(self.shape)} does not have {self.n_bytes} bytes")

    def tensor(self, view: memoryview) -> Array:
        count = self.n_bytes // DTYPE_BYTES[self.dtype]
        raw = np.frombuffer(view, _ON_WIRE[self.dtype], count, self.offset)
        if self.dtype == "bool" and count and raw.view(np.uint8).max() > 1:
            raise WireError("a boolean tensor holds bytes other than 0 and 1")
        try:
            return raw.reshape(self.shape)
        except ValueError as exc:  # an empty tensor whose other extents overflow NumPy's index type
            raise WireError(f"a tensor {self.dtype}{list(self.shape)} cannot exist") from exc
