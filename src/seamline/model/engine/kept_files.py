"""Files kept beside a model, named by what is in them, and weights that refer to them.

Each appears complete, on the disk too: a power cut must not leave half of one. Two processes may write the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from onnx import TensorProto

from seamline.config.durable import sync_file, sync_folder


def keep(contents: Callable[[], Iterable[bytes]], work: Path, beside: Path) -> Path:
    """The file in `beside` that holds `contents`; written, in the folder `work` first, unless it is there."""
    digest = hashlib.sha256()
    for piece in contents():
        digest.update(piece)
    target = beside / f"{digest.hexdigest()}.bin"
    if target.is_symlink() or not target.is_file():
        publish(contents(), work, target)
    return target


def publish(contents: Iterable[bytes], work: Path, target: Path) -> None:
    """Write `contents` to a file in the folder `work` and rename it to `target`."""
    half = work / target.name
    with half.open("wb") as file:
        for piece in contents:
            file.write(piece)
        sync_file(file)
    os.replace(half, target)
    sync_folder(target.parent)


def refer(tensor: TensorProto, location: Path, n_bytes: int, more: Mapping[str, str] | None = None) -> None:
    """Have `tensor` refer to the first `n_bytes` of the file at `location` below the model's folder.

    more: entries that the runtime wants beside the usual ones.
    """
    tensor.ClearField("raw_data")
    tensor.ClearField("external_data")
    tensor.data_location = TensorProto.EXTERNAL
    said = {"location": location.as_posix(), "offset": "0", "length": str(n_bytes), **(more or {})}
    for key, value in said.items():
        tensor.external_data.add(key=key, value=value)
