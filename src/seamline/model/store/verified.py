"""Verification of a model's files by SHA-256: once for each state of a file, so that a second start is cheap.

A file's stamp is its size, times, inode and device, and the machine's boot. While that is the same, so are its bytes,
as far as the system knows: whoever writes changes a time, and what a disk loses is read anew after a boot. Stamps are
kept beside the model in ``verified.json``, where they save the next process the hashing; they are no proof against
somebody who may write there, who could as well replace the model.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
import threading
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import msgspec

from seamline.config.durable import write_file
from seamline.config.plain_files import open_plain, read_plain
from seamline.model.onnx.external import CHUNK_BYTES

log = logging.getLogger(__name__)

FILE = "verified.json"
MAX_BYTES = 1 << 22

Stamp = tuple[int, int, int, int, int]
"""Size, times of change of contents and of entry in ns, inode, device."""


class _Entry(msgspec.Struct, frozen=True):
    sha256: str
    stamp: Stamp


class _File(msgspec.Struct, frozen=True):
    boot: str
    files: dict[str, _Entry]


class VerifiedFiles:
    """What is known of the files of one model in `folder`; names are relative to it. Safe from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._known = _read(folder)

    def knows(self, name: str) -> bool:
        """Whether `holds` would say without reading the file `name`."""
        return self._recorded(name) is not None

    def holds(self, name: str, sha256: str) -> bool:
        """Whether the file `name` has that SHA-256; read whole unless that is known of its stamp.

        Raises `OSError` when the system does not give its bytes: the disk is damaged, no more files may be open.
        """
        if (recorded := self._recorded(name)) is not None:
            return recorded == sha256
        try:
            return self._holds(name, sha256)
        except OSError as exc:
            if is_damage(exc):
                return False
            raise

    def _holds(self, name: str, sha256: str) -> bool:
        with self._lock, open_plain(self._folder / name, follows_links=False) as file:
            stamp = _stamp(os.fstat(file.fileno()))
            if (known := self._known.get(name)) is not None and known.stamp == stamp:
                return known.sha256 == sha256  # another thread has read it meanwhile
            found = _sha256(file)
            if _stamp(os.fstat(file.fileno())) == stamp:  # else it is being written to
                self._note(name, found, stamp)
            return found == sha256

    def note(self, name: str, sha256: str) -> None:
        """Take the file `name`, which was just written or hashed, for having that SHA-256."""
        with suppress(OSError), self._lock, open_plain(self._folder / name, follows_links=False) as file:
            self._note(name, sha256, _stamp(os.fstat(file.fileno())))

    def _recorded(self, name: str) -> str | None:
        """The SHA-256 of the file `name` if its stamp is known: without opening it, as every preparation asks."""
        if (known := self._known.get(name)) is None:
            return None
        try:
            found = os.lstat(self._folder / name)
        except OSError:
            return None
        return known.sha256 if stat.S_ISREG(found.st_mode) and known.stamp == _stamp(found) else None

    def _note(self, name: str, sha256: str, stamp: Stamp) -> None:
        self._known = {**_read(self._folder), **self._known, name: _Entry(sha256, stamp)}
        if (boot := _boot()) is None:
            return
        known = msgspec.json.encode(_File(boot, self._known))
        try:  # not durable: after a power cut it is of another boot
            write_file(self._folder / FILE, (known,), is_durable=False)
        except OSError as exc:  # read-only, or full: the next process hashes again
            log.debug("what was verified in `%s` is not kept: %s", self._folder, exc)


def is_damage(exc: OSError) -> bool:
    """Whether `exc` says that a file is missing or is something else, rather than that it cannot be looked at now."""
    return exc.errno in (errno.ENOENT, errno.EINVAL, errno.EFBIG, errno.ELOOP, errno.ENXIO)


def _read(folder: Path) -> dict[str, _Entry]:
    """What is kept beside the model; nothing where that is of another boot, or damaged."""
    try:
        found = msgspec.json.decode(read_plain(folder / FILE, MAX_BYTES, follows_links=False), type=_File)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return found.files if found.boot == _boot() else {}


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while piece := file.read(CHUNK_BYTES):
        digest.update(piece)
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _boot() -> str | None:
    """Id of this boot of the machine; None where the system has none, and nothing is kept for other processes."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
