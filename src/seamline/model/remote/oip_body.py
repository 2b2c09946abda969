"""Tensors of the Open Inference Protocol (v2): names of its datatypes, and HTTP bodies of JSON with binary parts.

A body is a JSON object and, behind it, the bytes of those tensors whose `binary_data_size` says so; the header
``Inference-Header-Content-Length`` is the length of the JSON. The server is `seamline.serving`, the client `oip.py`.
Source: the KServe specification "Open Inference Protocol", and Triton's extension "binary tensor data".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from seamline.core.vocabulary.errors import WireError
from seamline.core.vocabulary.ports import Array, dtype_name

LENGTH_HEADER = "Inference-Header-Content-Length"
DATATYPES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64",
}  # fmt: skip
"""The protocol's names by NumPy's."""

_DTYPES = {datatype: np.dtype(name) for name, datatype in DATATYPES.items()}
MAX_AXES = 32

Parameters = dict[str, Any]


class TensorHead(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A tensor, or what is said of one. data: its values, nested or flat; None where its bytes follow."""

    name: str
    datatype: str = ""
    shape: tuple[int, ...] = ()
    parameters: Parameters = {}
    data: list[Any] | None = None


class WantedOutput(msgspec.Struct, kw_only=True, omit_defaults=True):
    name: str
    parameters: Parameters = {}


class InferRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    inputs: list[TensorHead]
    outputs: list[WantedOutput] = []
    id: str = ""
    parameters: Parameters = {}


class InferResponse(msgspec.Struct, kw_only=True, omit_defaults=True):
    model_name: str = ""
    model_version: str = ""
    id: str = ""
    parameters: Parameters = {}
    outputs: list[TensorHead] = []


def checked_tensor(name: str, datatype: str, shape: Sequence[int]) -> tuple[np.dtype[Any], int]:
    """(dtype, number of elements) of a tensor that a peer describes. Raises `WireError` for what none can be."""
    dtype = _DTYPES.get(datatype)
    if dtype is None:
        raise WireError(f"tensor `{name[:80]}` has datatype `{datatype[:20]}`", hint=f"one of {', '.join(_DTYPES)}")
    if len(shape) > MAX_AXES or any(extent < 0 for extent in shape):
        raise WireError(f"tensor `{name[:80]}` has a shape that cannot be")
    return dtype, math.prod(shape)


def tensor_of_bytes(name: str, datatype: str, shape: Sequence[int], data: bytes | memoryview) -> Array:
    """A tensor from its bytes, row-major and little-endian, which it shares. Raises `WireError`."""
    dtype, n_elements = checked_tensor(name, datatype, shape)
    if len(data) != n_elements * dtype.itemsize:
        raise WireError(
            f"tensor `{name[:80]}` of {datatype}{list(shape)} has {len(data)} bytes",
            hint=f"it takes {n_elements * dtype.itemsize}",
        )
    return _shaped(name, np.frombuffer(data, dtype), shape)


def tensor_of_values(name: str, datatype: str, shape: Sequence[int], values: Any) -> Array:
    """A tensor from numbers, nested or flat. Raises `WireError` for too many, too few, or of another kind."""
    dtype, n_elements = checked_tensor(name, datatype, shape)
    try:
        found = np.asarray(values)
        if found.size and not np.can_cast(found.dtype, dtype, "same_kind") and found.dtype.kind not in "iu":
            raise WireError(f"tensor `{name[:80]}` of {datatype} is given as {found.dtype.name}")
        array = np.asarray(values, dtype)
    except (ValueError, TypeError, OverflowError) as exc:
        raise WireError(f"tensor `{name[:80]}` of {datatype}: {exc}") from exc
    if array.size != n_elements:
        raise WireError(
            f"tensor `{name[:80]}` of shape {list(shape)} has {array.size} values", hint=f"it takes {n_elements}"
        )
    return _shaped(name, array, shape)


def _shaped(name: str, array: Array, shape: Sequence[int]) -> Array:
    """`array`, which has as many elements as `shape`; one of none may still be of extents that no array has."""
    try:
        return array.reshape(shape)
    except (ValueError, OverflowError) as exc:
        raise WireError(f"tensor `{name[:80]}` has a shape that cannot be: {exc}") from exc


def encode_body(head: InferRequest | InferResponse, raw: Sequence[Array]) -> tuple[bytes, int]:
    """(body, length of its JSON): `head`, then the bytes of `raw`, which its tensors announce in this order."""
    json = msgspec.json.encode(head)
    return b"".join((json, *(np.ascontiguousarray(array).data.cast("B") if array.size else b"" for array in raw))), len(
        json
    )


def tensor_head(name: str, array: Array, *, as_bytes: bool) -> TensorHead:
    """What a body says of `array`; its values too, unless its bytes follow."""
    head = TensorHead(name=name, datatype=DATATYPES[dtype_name(array.dtype)], shape=array.shape)
    if as_bytes:
        head.parameters = {"binary_data_size": array.nbytes}
    else:
        head.data = array.ravel().tolist()
    return head


def decode_tensors(heads: Sequence[TensorHead], raw: memoryview) -> dict[str, Array]:
    """Tensors by name: from `raw`, what announces bytes, and the others from their values. Raises `WireError`."""
    found: dict[str, Array] = {}
    at = 0
    for head in heads:
        size = head.parameters.get("binary_data_size")
        if head.name in found:
            raise WireError(f"tensor `{head.name[:80]}` is given twice")
        if size is None:
            if head.data is None:
                raise WireError(f"tensor `{head.name[:80]}` has neither data nor binary_data_size")
            found[head.name] = tensor_of_values(head.name, head.datatype, head.shape, head.data)
            continue
        if not isinstance(size, int) or not 0 <= size <= len(raw) - at:
            raise WireError(f"tensor `{head.name[:80]}` announces {size} bytes, {len(raw) - at} are left")
        found[head.name] = tensor_of_bytes(head.name, head.datatype, head.shape, raw[at : at + size])
        at += size
    if at != len(raw):
        raise WireError(f"{len(raw) - at} bytes follow the last tensor")
    return found


def split_body(body: bytes, headers: Mapping[str, str]) -> tuple[memoryview, memoryview]:
    """(JSON, bytes of tensors) of a body, by its header. Raises `WireError`."""
    text = next((value for name, value in headers.items() if name.lower() == LENGTH_HEADER.lower()), None)
    length = len(body) if text is None else int(text) if text.isdecimal() and len(text) < 12 else -1
    if not 0 <= length <= len(body):
        raise WireError(f"{LENGTH_HEADER} is `{text}`, the body has {len(body)} bytes")
    view = memoryview(body)
    return view[:length], view[length:]
