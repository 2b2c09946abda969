"""Files kept beside a model, named by what is in them, and weights that refer to them.

Each appears complete, on the disk too: a power cut must not leave half of one. Two processes may write the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from onnx import TensorProto

from seamline.config.durable import write_file
from seamline.model.store.verified import VerifiedFiles


def keep(contents: Callable[[], Iterable[bytes]], files: VerifiedFiles, folder: Path, beside: Path) -> Path:
    """The file in `beside`, below the model's `folder`, that holds `contents`; written unless it is there and sound.

    Raises `OSError` when it cannot be written.
    """
    digest = hashlib.sha256()
    for piece in contents():
        digest.update(piece)
    target = beside / f"{digest.hexdigest()}.bin"
    name = target.relative_to(folder).as_posix()
    with suppress(OSError):  # unreadable: written anew
        if files.holds(name, digest.hexdigest()):
            return target
    write_file(target, contents())
    files.note(name, digest.hexdigest())
    return target


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
