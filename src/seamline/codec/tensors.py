"""Encoding of boundary tensors to buffers and back: the only interface of the codecs.

`encode` turns named tensors into one buffer each and a small header; `decode` checks the header against the
buffers it came with, before memory is taken, and restores the tensors. Buffers are arrays, not bytes: the wire format
(`fabric/wire.py`) writes them once, straight into the message.
What each codec does to values is in `lossless.py`, `kernels.py`, `quantise.py` and `jpeg.py`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, assert_never

import msgspec
import numpy as np

from seamline.codec import lossless, symbols
from seamline.codec.fidelity import f16_holds, is_whole, u8_holds, whole_grid
from seamline.codec.jpeg import JPEG_TENSOR, decode_frame, encode_frame
from seamline.codec.kernels import from_f16, to_f16
from seamline.codec.quantise import MAX_CHANNELS, Grid, centred_grid_of, from_levels, grid_of, to_levels
from seamline.core.vocabulary.errors import CodecError
from seamline.core.vocabulary.limits import MAX_NAME_LENGTH, MAX_RANK, MAX_TENSORS
from seamline.core.vocabulary.plans import BIT_DEPTHS, Codec
from seamline.core.vocabulary.ports import Array, dtype_name
from seamline.core.vocabulary.profiles import DTYPE_BYTES

MAX_DECODED_BYTES = 1 << 30
"""Of all tensors of one payload: as much as one message could carry uncompressed."""

_LOSSY_DTYPES = frozenset({"float32", "float64", "float16"})


@dataclass(frozen=True, slots=True)
class Encoded:
    """Encoded tensors. encoding: the header that `decode` needs. buffers: one array per tensor, in its order."""

    encoding: bytes
    buffers: tuple[Array, ...]

    @property
    def n_bytes(self) -> int:
        """Payload on the wire, header included."""
        return len(self.encoding) + sum(buffer.nbytes for buffer in self.buffers)


def encode(tensors: Mapping[str, Array], codec: Codec, *, exact: Collection[str] = ()) -> Encoded:
    """`tensors` as `codec` sends them.

    RAW: views, every bit kept. LOSSLESS: every bit kept in fewer bytes. F16, U8 and Q6 to Q2: floating-point tensors
    only, the others travel raw; a tensor that is named in `exact`, or whose values the codec would do worse to than
    round them (`fidelity`), travels as under LOSSLESS. JPEG: exactly one tensor ``frame``, uint8[H, W, 3] RGB.
    Raises `CodecError` for a dtype that cannot be sent, or a tensor JPEG cannot hold.
    """
    if codec is Codec.JPEG and list(tensors) != [JPEG_TENSOR]:
        raise CodecError(f"JPEG cannot send {sorted(tensors)}", hint=f"it takes one tensor named `{JPEG_TENSOR}`")
    if len(tensors) > MAX_TENSORS:
        raise CodecError(f"{len(tensors)} tensors cross one cut, at most {MAX_TENSORS} can")
    encoded = [_encode_one(name, tensor, codec, name in exact) for name, tensor in tensors.items()]
    description = _ENCODER.encode([tensor for tensor, _ in encoded])
    return Encoded(description, tuple(buffer for _, buffer in encoded))


def decode(encoding: bytes, buffers: Sequence[Array]) -> dict[str, Array]:
    """The tensors by name, in the order they were encoded. Raw ones are views into `buffers`.

    Raises `CodecError` when the header is malformed or does not fit the buffers, before memory is taken.
    """
    try:
        described = _DECODER.decode(encoding)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise CodecError(f"the header of a payload is malformed ({exc})") from exc
    if len(described) != len(buffers):
        raise CodecError(f"a payload describes {len(described)} tensors and carries {len(buffers)}")
    if len({tensor.name for tensor in described}) != len(described):
        raise CodecError("a payload names a tensor twice")
    for tensor, buffer in zip(described, buffers, strict=True):
        _check(tensor, buffer)
    n_bytes = sum(math.prod(tensor.shape) * DTYPE_BYTES[tensor.dtype] for tensor in described)
    if n_bytes > MAX_DECODED_BYTES:
        raise CodecError(f"a payload would take {n_bytes} bytes decoded, the most is {MAX_DECODED_BYTES}")
    return {tensor.name: _decode_one(tensor, buffer) for tensor, buffer in zip(described, buffers, strict=True)}


_Extent = Annotated[int, msgspec.Meta(ge=0, le=2**40)]


class _Tensor(msgspec.Struct, frozen=True, array_like=True):
    """Header of one tensor. form: encoding of its buffer.

    scale, zero_point: the grid of ``u8``. axis, scales, zero_points: the grids of ``u8c`` along an axis, as float32
    (little-endian) and uint8. planes: bytes of each plane of ``lossless``, of each part of ``q``, which has one scale,
    zero_points along an axis or a single one, and its usual level as zero_point.
    """

    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME_LENGTH)]
    dtype: Annotated[str, msgspec.Meta(max_length=16)]
    shape: Annotated[tuple[_Extent, ...], msgspec.Meta(max_length=MAX_RANK)]
    form: Literal["raw", "f16", "u8", "u8c", "q", "lossless", "jpeg"]
    scale: float = 1.0
    zero_point: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    axis: Annotated[int, msgspec.Meta(ge=0, lt=MAX_RANK)] = 0
    scales: Annotated[bytes, msgspec.Meta(max_length=4 * MAX_CHANNELS)] = b""
    zero_points: Annotated[bytes, msgspec.Meta(max_length=MAX_CHANNELS)] = b""
    planes: Annotated[tuple[_Extent, ...], msgspec.Meta(max_length=8)] = ()

    @property
    def grid(self) -> Grid:
        if self.form == "u8":
            return Grid(np.array([self.scale], np.float32), np.array([self.zero_point], np.uint8))
        zero_points = np.frombuffer(self.zero_points, np.uint8)
        if self.form == "q":
            axis = self.axis if zero_points.size > 1 else None
            return Grid(np.full(zero_points.size, self.scale, np.float32), zero_points, axis)
        return Grid(np.frombuffer(self.scales, "<f4"), zero_points, self.axis)


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Annotated[list[_Tensor], msgspec.Meta(max_length=MAX_TENSORS)])


def _encode_one(name: str, tensor: Array, codec: Codec, is_exact: bool) -> tuple[_Tensor, Array]:
    dtype, shape = dtype_name(tensor.dtype), tensor.shape
    if dtype not in DTYPE_BYTES or tensor.ndim > MAX_RANK:
        raise CodecError(f"tensor `{name}` ({dtype}{list(shape)}) cannot be sent", hint=f"at most {MAX_RANK} axes")
    match codec:
        case Codec.JPEG:
            return _Tensor(name, dtype, shape, "jpeg"), encode_frame(tensor)
        case Codec.F16 if dtype in ("float32", "float64"):
            return (None if is_exact else _encode_f16(name, tensor)) or _encode_lossless(name, tensor)
        case Codec.U8 if dtype in _LOSSY_DTYPES:
            return (None if is_exact else _encode_u8(name, tensor)) or _encode_lossless(name, tensor)
        case Codec.Q6 | Codec.Q5 | Codec.Q4 | Codec.Q3 | Codec.Q2 if dtype in _LOSSY_DTYPES:
            return (None if is_exact else _encode_q(name, tensor, BIT_DEPTHS[codec])) or _encode_lossless(name, tensor)
        case Codec.LOSSLESS:
            return _encode_lossless(name, tensor)
        case Codec.RAW | Codec.F16 | Codec.U8 | Codec.Q6 | Codec.Q5 | Codec.Q4 | Codec.Q3 | Codec.Q2:
            return _Tensor(name, dtype, shape, "raw"), tensor
    assert_never(codec)


def _encode_lossless(name: str, tensor: Array) -> tuple[_Tensor, Array]:
    buffer, planes = lossless.compress(tensor)
    return _Tensor(name, dtype_name(tensor.dtype), tensor.shape, "lossless", planes=planes), buffer


def _encode_f16(name: str, tensor: Array) -> tuple[_Tensor, Array] | None:
    """The tensor in float16; None when that would do worse to its values than round them."""
    values = _float32(tensor)
    return (_Tensor(name, dtype_name(tensor.dtype), tensor.shape, "f16"), to_f16(values)) if f16_holds(values) else None


def _encode_u8(name: str, tensor: Array) -> tuple[_Tensor, Array] | None:
    """The tensor in eight bits; None when they would do worse to its values than round them."""
    dtype, shape, values = dtype_name(tensor.dtype), tensor.shape, _float32(tensor)
    if u8_holds(values):
        grid = grid_of(values)
    elif is_whole(values) and (whole := whole_grid(values)) is not None:
        grid = Grid(np.array([whole[0]], np.float32), np.array([whole[1]], np.uint8))
    else:
        return None
    levels = to_levels(values, grid)
    if grid.axis is None:
        return _Tensor(name, dtype, shape, "u8", float(grid.scales[0]), int(grid.zero_points[0])), levels
    scales, zero_points = grid.scales.astype("<f4").tobytes(), grid.zero_points.tobytes()
    return _Tensor(name, dtype, shape, "u8c", axis=grid.axis, scales=scales, zero_points=zero_points), levels


def _encode_q(name: str, tensor: Array, depth: int) -> tuple[_Tensor, Array] | None:
    """The tensor in about `depth` bits a value; what that would do worse to than round as u8 has it, or None."""
    values = _float32(tensor)
    if not u8_holds(values):
        return _encode_u8(name, tensor)
    grid = centred_grid_of(values, depth)
    usual = symbols.SIGNED if grid.axis is not None or grid.zero_points[0] != 0 else 0
    buffer, parts = symbols.pack(to_levels(values, grid), usual)
    described = _Tensor(
        name,
        tensor.dtype.name,
        tensor.shape,
        "q",
        float(grid.scales[0]),
        usual,
        grid.axis or 0,
        zero_points=grid.zero_points.tobytes(),
        planes=parts,
    )
    return described, buffer


def _check(tensor: _Tensor, buffer: Array) -> None:
    """Raises `CodecError` unless `buffer` is what `tensor` says; sizes are Python ints and cannot overflow."""
    what = f"tensor `{tensor.name}` ({tensor.form} of {tensor.dtype}{list(tensor.shape)})"
    if tensor.dtype not in DTYPE_BYTES or (
        tensor.form in ("f16", "u8", "u8c", "q") and tensor.dtype not in _LOSSY_DTYPES
    ):
        raise CodecError(f"{what} has a dtype that does not go with it")
    if tensor.form == "jpeg":
        if tensor.dtype != "uint8" or buffer.dtype != np.uint8 or buffer.ndim != 1:
            raise CodecError(f"{what} is not a JPEG buffer")
        return
    if tensor.form == "lossless":
        lossless.check_planes(tensor.planes, math.prod(tensor.shape), DTYPE_BYTES[tensor.dtype], buffer)
        return
    if tensor.form == "q":
        symbols.check_parts(tensor.planes, math.prod(tensor.shape), buffer)
        _check_grid(tensor, what)
        return
    held = {"raw": tensor.dtype, "f16": "float16", "u8": "uint8", "u8c": "uint8"}[tensor.form]
    if dtype_name(buffer.dtype) != held or buffer.size != math.prod(tensor.shape):
        raise CodecError(f"{what} does not fit its buffer {buffer.dtype}{list(buffer.shape)}")
    if tensor.form in ("u8", "u8c"):
        _check_grid(tensor, what)


def _check_grid(tensor: _Tensor, what: str) -> None:
    if tensor.form == "u8c":
        n = tensor.shape[tensor.axis] if tensor.axis < len(tensor.shape) else 0
        if n == 0 or (len(tensor.scales), len(tensor.zero_points)) != (4 * n, n):
            raise CodecError(f"{what} has grids that do not go with its shape")
    if tensor.form == "q":
        extents = {1, tensor.shape[tensor.axis] if tensor.axis < len(tensor.shape) else 1}
        if len(tensor.zero_points) not in extents or tensor.zero_point not in (0, symbols.SIGNED):
            raise CodecError(f"{what} has zero points that do not go with its shape")
    with np.errstate(over="ignore"):
        scales = tensor.grid.scales
    if not (np.isfinite(scales) & (scales > 0.0)).all():
        raise CodecError(f"{what} has a scale that is not a positive number")


def _decode_one(tensor: _Tensor, buffer: Array) -> Array:
    if tensor.form == "jpeg":
        return decode_frame(buffer, tensor.shape)
    if tensor.form == "lossless":
        return lossless.decompress(buffer, tensor.planes, tensor.shape, tensor.dtype)
    if tensor.form == "q":
        buffer = symbols.unpack(buffer, tensor.planes, math.prod(tensor.shape), tensor.zero_point)
    shaped = buffer.reshape(tensor.shape)
    match tensor.form:
        case "raw":
            return shaped
        case "f16":
            return from_f16(shaped).astype(tensor.dtype, copy=False)
        case "u8" | "u8c" | "q":
            return from_levels(shaped, tensor.grid).astype(tensor.dtype, copy=False)


def _float32(tensor: Array) -> Array:
    # NumPy's cast is slow, but boundary tensors are float32 in practice: then this is a view
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(tensor, dtype=np.float32).reshape(tensor.shape)
