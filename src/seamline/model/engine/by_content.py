"""Files named by what is in them: written once, found by everything that has the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from seamline.config.durable import write_file
from seamline.model.store.verified import VerifiedFiles


def keep_by_content(contents: Callable[[], Iterator[bytes]], files: VerifiedFiles, folder: Path, beside: Path) -> Path:
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
