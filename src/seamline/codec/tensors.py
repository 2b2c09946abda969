"""Boundary tensors to buffers and back: the only door to the codecs.

`encode` turns named tensors into one buffer each and a small description; `decode` checks the description against the
buffers it came with, before memory is taken, and restores the tensors. Buffers are arrays, not bytes: the wire format
(`fabric/wire.py`) writes them once, straight into the message.
What each lossy codec does to values is in `kernels.py` and `jpeg.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, assert_never

import msgspec
import numpy as np

from seamline.codec.jpeg import JPEG_TENSOR, decode_frame, encode_frame
from seamline.codec.kernels import from_f16, from_u8, to_f16, to_u8
from seamline.core.errors import CodecError
from seamline.core.ports import Array
from seamline.core.values import DTYPE_BYTES, Codec

MAX_RANK = 8
MAX_TENSORS = 256

_LOSSY_DTYPES = frozenset({"float32", "float64", "float16"})


@dataclass(frozen=True, slots=True)
class Encoded:
    """What goes on the wire. encoding: the description `decode` needs. buffers: one array per tensor, in its order."""

    encoding: bytes
    buffers: tuple[Array, ...]

    @property
    def n_bytes(self) -> int:
        """Payload on the wire, description included."""
        return len(self.encoding) + sum(buffer.nbytes for buffer in self.buffers)


def encode(tensors: Mapping[str, Array], codec: Codec) -> Encoded:
    """`tensors` as `codec` sends them.

    RAW: views, every bit kept. F16 and U8: floating-point tensors only, the others travel raw; infinities saturate
    under F16 and are refused under U8. JPEG: exactly one tensor ``frame``, uint8[H, W, 3] RGB.
    Raises `CodecError` for a dtype that cannot be sent, a tensor JPEG cannot hold, or NaN and infinity under U8.
    """
    if codec is Codec.JPEG and list(tensors) != [JPEG_TENSOR]:
        raise CodecError(f"JPEG cannot send {sorted(tensors)}", hint=f"it takes one tensor named `{JPEG_TENSOR}`")
    if len(tensors) > MAX_TENSORS:
        raise CodecError(f"{len(tensors)} tensors cross one cut, at most {MAX_TENSORS} can")
    encoded = [_encode_one(name, tensor, codec) for name, tensor in tensors.items()]
    description = _ENCODER.encode([tensor for tensor, _ in encoded])
    return Encoded(description, tuple(buffer for _, buffer in encoded))


def decode(encoding: bytes, buffers: Sequence[Array]) -> dict[str, Array]:
    """The tensors by name, in the order they were encoded. Raw ones are views into `buffers`.

    Raises `CodecError` when the description is malformed or does not fit the buffers.
    """
    try:
        described = _DECODER.decode(encoding)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise CodecError(f"the description of a payload is malformed ({exc})") from exc
    if len(described) != len(buffers):
        raise CodecError(f"a payload describes {len(described)} tensors and carries {len(buffers)}")
    if len({tensor.name for tensor in described}) != len(described):
        raise CodecError("a payload names a tensor twice")
    for tensor, buffer in zip(described, buffers, strict=True):
        _check(tensor, buffer)
    return {tensor.name: _decode_one(tensor, buffer) for tensor, buffer in zip(described, buffers, strict=True)}


_Extent = Annotated[int, msgspec.Meta(ge=0, le=2**40)]


class _Tensor(msgspec.Struct, frozen=True, array_like=True):
    """One tensor's way back. form: how the buffer holds it; scale and zero_point only mean something for ``u8``."""

    name: Annotated[str, msgspec.Meta(max_length=512)]
    dtype: Annotated[str, msgspec.Meta(max_length=16)]
    shape: Annotated[tuple[_Extent, ...], msgspec.Meta(max_length=MAX_RANK)]
    form: Literal["raw", "f16", "u8", "jpeg"]
    scale: float = 1.0
    zero_point: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Annotated[list[_Tensor], msgspec.Meta(max_length=MAX_TENSORS)])


def _encode_one(name: str, tensor: Array, codec: Codec) -> tuple[_Tensor, Array]:
    dtype, shape = tensor.dtype.name, tensor.shape
    if dtype not in DTYPE_BYTES or tensor.ndim > MAX_RANK:
        raise CodecError(f"tensor `{name}` ({dtype}{list(shape)}) cannot be sent", hint=f"at most {MAX_RANK} axes")
    match codec:
        case Codec.JPEG:
            return _Tensor(name, dtype, shape, "jpeg"), encode_frame(tensor)
        case Codec.F16 if dtype in ("float32", "float64"):
            return _Tensor(name, dtype, shape, "f16"), to_f16(_float32(tensor))
        case Codec.U8 if dtype in _LOSSY_DTYPES:
            try:
                levels, scale, zero_point = to_u8(_float32(tensor))
            except CodecError as exc:
                raise CodecError(f"tensor `{name}`: {exc}") from exc
            return _Tensor(name, dtype, shape, "u8", scale, zero_point), levels
        case Codec.RAW | Codec.F16 | Codec.U8:
            return _Tensor(name, dtype, shape, "raw"), tensor
    assert_never(codec)


def _check(tensor: _Tensor, buffer: Array) -> None:
    """Raises `CodecError` unless `buffer` is what `tensor` says; sizes are Python ints and cannot overflow."""
    what = f"tensor `{tensor.name}` ({tensor.form} of {tensor.dtype}{list(tensor.shape)})"
    if tensor.dtype not in DTYPE_BYTES or (tensor.form in ("f16", "u8") and tensor.dtype not in _LOSSY_DTYPES):
        raise CodecError(f"{what} has a dtype that does not go with it")
    if tensor.form == "jpeg":
        if tensor.dtype != "uint8" or buffer.dtype != np.uint8 or buffer.ndim != 1:
            raise CodecError(f"{what} is not a JPEG buffer")
        return
    held = {"raw": tensor.dtype, "f16": "float16", "u8": "uint8"}[tensor.form]
    if buffer.dtype.name != held or buffer.size != math.prod(tensor.shape):
        raise CodecError(f"{what} does not fit its buffer {buffer.dtype}{list(buffer.shape)}")
    if not (math.isfinite(tensor.scale) and tensor.scale > 0.0):
        raise CodecError(f"{what} has the scale {tensor.scale}")


def _decode_one(tensor: _Tensor, buffer: Array) -> Array:
    if tensor.form == "jpeg":
        return decode_frame(buffer, tensor.shape)
    shaped = buffer.reshape(tensor.shape)
    match tensor.form:
        case "raw":
            return shaped
        case "f16":
            return from_f16(shaped).astype(tensor.dtype, copy=False)
        case "u8":
            return from_u8(shaped, tensor.scale, tensor.zero_point).astype(tensor.dtype, copy=False)


def _float32(tensor: Array) -> Array:
    # NumPy's cast is slow, but boundary tensors are float32 in practice: then this is a view
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(tensor, dtype=np.float32).reshape(tensor.shape)
