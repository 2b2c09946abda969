"""Folders of keys and certificates below the user's data folder, and files in them that only their owner may read."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seamline.config.durable import move_into_place
from seamline.config.paths import data_dir
from seamline.core.vocabulary.nodes import node_id


def authority_folder(cluster: str) -> Path:
    """Where the authority of `cluster` is, on the machine that has it."""
    return data_dir() / "authority" / node_id(cluster)


def members_folder(cluster: str) -> Path:
    """Where the members of `cluster` are that this user is, a folder each."""
    return data_dir() / "members" / node_id(cluster)


def make_private(folder: Path) -> None:
    """Make `folder` and what leads to it, closed to everybody else."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


def write_private(path: Path, content: bytes) -> None:
    """Put `content` at `path`, whole or not at all, readable by the owner only."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        move_into_place(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Within it, no other process or thread is within the same `folder`'s."""
    with (folder / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
