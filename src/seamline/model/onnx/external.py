"""Reader of ONNX tensor values, in the model file or in external files, without leaving the model's folder.

External data is a path chosen by whoever made the file: CVE-2022-25882, CVE-2024-27318 and CVE-2026-34447 (symbolic
link) all read foreign files through it. So only plain files below the model's own folder are opened, and no symbolic
link is followed but one: in a Hugging Face cache ``<repository>/snapshots/<revision>/...`` holds links to files in
``<repository>/blobs``, which are the model's own. A hard link is a file like any other, made by package managers and
backups: who makes one has to own the file (``fs.protected_hardlinks``), so a model cannot bring a foreign one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from onnx import TensorProto, numpy_helper

from seamline.config.paths import refused_words
from seamline.config.plain_files import open_plain
from seamline.core.vocabulary.errors import ModelError

CHUNK_BYTES = 1 << 24

_BITS: dict[int, int] = {
    TensorProto.FLOAT: 32, TensorProto.UINT8: 8, TensorProto.INT8: 8, TensorProto.UINT16: 16, TensorProto.INT16: 16,
    TensorProto.INT32: 32, TensorProto.INT64: 64, TensorProto.BOOL: 8, TensorProto.FLOAT16: 16,
    TensorProto.DOUBLE: 64, TensorProto.UINT32: 32, TensorProto.UINT64: 64, TensorProto.COMPLEX64: 64,
    TensorProto.COMPLEX128: 128, TensorProto.BFLOAT16: 16, TensorProto.FLOAT8E4M3FN: 8, TensorProto.FLOAT8E4M3FNUZ: 8,
    TensorProto.FLOAT8E5M2: 8, TensorProto.FLOAT8E5M2FNUZ: 8, TensorProto.UINT4: 4, TensorProto.INT4: 4,
    TensorProto.FLOAT4E2M1: 4,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorData:
    """Location of the little-endian values of one tensor: in `tensor` itself, or at `offset` of the file `path`.

    is_inside: `path` is the model file itself, which the user chose and may be a link.
    """

    tensor: TensorProto
    n_bytes: int
    path: Path | None = None
    offset: int = 0
    is_inside: bool = False

    def chunks(self) -> Iterator[bytes]:
        """The values in pieces. Raises `ModelError` when the file is shorter than it says or has become a link."""
        if self.path is None:
            yield self.tensor.raw_data if self.tensor.HasField("raw_data") else _typed_bytes(self.tensor)
            return
        with open_beside(self.path, follows_links=self.is_inside) as file:
            yield from pieces(file, self.offset, self.n_bytes, f"`{self.tensor.name}`")


def locate(tensor: TensorProto, folder: Path) -> TensorData:
    """Location of the values of `tensor` of a model in `folder`.

    Raises `ModelError` when the size does not fit the shape, or external data lies outside `folder` or behind a link.
    """
    n_bytes = tensor_bytes(tensor)
    if tensor.data_type == TensorProto.STRING:
        if tensor.data_location == TensorProto.EXTERNAL or len(tensor.string_data) != math.prod(tensor.dims):
            raise ModelError(f"`{tensor.name}` holds {len(tensor.string_data)} strings, its shape {list(tensor.dims)}")
        return TensorData(tensor=tensor, n_bytes=n_bytes)
    if tensor.data_location != TensorProto.EXTERNAL:
        if tensor.HasField("raw_data") and len(tensor.raw_data) != n_bytes:
            raise ModelError(f"`{tensor.name}` holds {len(tensor.raw_data)} bytes, its shape needs {n_bytes}")
        return TensorData(tensor=tensor, n_bytes=n_bytes)
    fields = {entry.key: entry.value for entry in tensor.external_data}
    try:
        offset, length = int(fields.get("offset", 0)), int(fields.get("length", n_bytes))
    except ValueError as exc:
        raise ModelError(f"external data of `{tensor.name}` has a position that is no number") from exc
    path = _inside(folder, fields.get("location", ""), tensor.name)
    with open_beside(path) as file:
        size = os.fstat(file.fileno()).st_size
    if length != n_bytes or offset < 0 or offset + length > size:
        raise ModelError(f"external data of `{tensor.name}` does not fit its shape or its file `{path.name}`")
    return TensorData(tensor=tensor, n_bytes=n_bytes, path=path, offset=offset)


def locate_inside(tensor: TensorProto, path: Path, offset: int, n_bytes: int) -> TensorData:
    """The values of `tensor` in the model file `path`. Raises `ModelError` when their size does not fit the shape."""
    if tensor.data_location == TensorProto.EXTERNAL or n_bytes != tensor_bytes(tensor):
        raise ModelError(f"`{tensor.name}` holds {n_bytes} bytes, its shape needs {tensor_bytes(tensor)}")
    return TensorData(tensor=tensor, n_bytes=n_bytes, path=path, offset=offset, is_inside=True)


def tensor_bytes(tensor: TensorProto) -> int:
    """Size of the values by dtype and shape, of strings as they are.

    Raises `ModelError` for unknown dtypes and negative extents.
    """
    if tensor.data_type == TensorProto.STRING:
        return sum(len(text) for text in tensor.string_data)
    if tensor.data_type not in _BITS or any(extent < 0 for extent in tensor.dims):
        kind = _dtype_name(tensor.data_type)
        raise ModelError(f"weights `{tensor.name}` have dtype {kind} and shape {list(tensor.dims)}: not supported")
    n_values: int = math.prod(tensor.dims)
    return (n_values * _BITS[tensor.data_type] + 7) // 8


def pieces(file: BinaryIO, offset: int, n_bytes: int, what: str) -> Iterator[bytes]:
    """So many bytes of `file` from `offset` on. Raises `ModelError` saying that the weights of `what` end early."""
    file.seek(offset)
    while n_bytes:
        piece = file.read(min(n_bytes, CHUNK_BYTES))
        if not piece:
            raise ModelError(f"weights of {what} end early", hint="copy the model's files again")
        n_bytes -= len(piece)
        yield piece


def open_beside(path: Path, *, follows_links: bool = False) -> BinaryIO:
    """A file that belongs to a model, opened as `open_plain` does. Raises `ModelError` when that fails."""
    try:
        return open_plain(path, follows_links=follows_links)
    except PermissionError as exc:
        fact, hint = refused_words(path)
        raise ModelError(fact, hint=hint) from exc
    except OSError as exc:
        words = f"cannot open `{path.name}` beside the model: {exc.strerror}"
        raise ModelError(words, hint="copy the model's files into place again") from exc


def _inside(folder: Path, location: str, tensor: str) -> Path:
    parts = PurePosixPath(location).parts
    if not parts or location.startswith(("/", "\\")) or ".." in parts or "\\" in location or "\0" in location:
        raise ModelError(f"external data of `{tensor}` points outside the model's folder: `{location}`")
    path = folder.resolve()
    for part in parts[:-1]:
        path = path / part
        if path.is_symlink():
            raise _behind_link(tensor, part)
    path = path / parts[-1]
    if not path.is_symlink():
        return path
    target = path.resolve()
    if (repository := _cached_repository(path.parent)) is None or target.parent != repository / "blobs":
        raise _behind_link(tensor, parts[-1])
    return target


def _cached_repository(folder: Path) -> Path | None:
    """The repository of a Hugging Face cache of which `folder` is, or is below, a snapshot; None when it is not."""
    for revision in (folder, *folder.parents):
        if revision.parent.name == "snapshots":
            return revision.parent.parent
    return None


def _behind_link(tensor: str, part: str) -> ModelError:
    hint = "copy it into place; only links of a Hugging Face cache to its own blobs are followed"
    return ModelError(f"external data of `{tensor}` lies behind the link `{part}`", hint=hint)


def _typed_bytes(tensor: TensorProto) -> bytes:
    """Values kept in typed fields (float_data and so on) as little-endian bytes."""
    try:
        array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as exc:
        raise ModelError(f"values of `{tensor.name}` do not fit its shape {list(tensor.dims)}") from exc
    packed = TensorProto()
    packed.CopyFrom(numpy_helper.from_array(array))
    return bytes(packed.raw_data)


def _dtype_name(data_type: int) -> str:
    return TensorProto.DataType.Name(data_type) if data_type in TensorProto.DataType.values() else str(data_type)
