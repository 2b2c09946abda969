"""Room for models on a node's disk: how much peers may fill, what gives way to a new model, and what is left over.

Models that a peer sent carry a file ``received``, whose time is that of their last use. They share a quota; where that
is full, those unused for longest give way, as they can be fetched again. Models that were added here count for nothing
and are never removed.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seamline.config.durable import locked
from seamline.core.vocabulary.errors import ModelError, UsageError
from seamline.core.vocabulary.quantities import bytes_text, parse_size

log = logging.getLogger(__name__)

RECEIVED = "received"
STALE_S = 3600.0
"""What nobody has written to for so long belongs to a process that died."""

_LEFTOVERS = ("adding-*", "*/optimised/*/making-*", "*/optimised/*/.*.part", "*/.*.part")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What peers may send. max_bytes: all their models together. free_ratio: one model, of what is free on the disk."""

    max_bytes: int = 64 * 10**9
    free_ratio: float = 0.8


def parse_quota(text: str) -> Quota:
    """``20GB``, ``50%`` (of what is free) or both, ``20GB,50%``. Raises `UsageError`."""
    given: dict[str, float] = {}
    for part in (part.strip() for part in text.split(",")):
        if part.endswith("%"):
            number = part[:-1].strip()
            if not (number.isdecimal() and 0 < int(number) <= 100):
                raise UsageError(f"`{part[:40]}` is no share of a disk", hint="1% to 100%")
            given["free_ratio"] = int(number) / 100
        else:
            given["max_bytes"] = parse_size(part)
    return Quota(**given)  # type: ignore[arg-type] # a size is a whole number


def make_room(root: Path, quota: Quota, n_bytes: int, expected_bytes: int, remove: Callable[[str], None]) -> None:
    """Let `n_bytes` more fit below `root`, where `expected_bytes` of other models are still to come.

    remove: forgets the model of an id; used for received ones, until there is room. Raises `ModelError` when there is
    none, and none would be without all of them: then they stay.
    """
    received = sorted(_received(root))
    used_bytes = sum(size for _, size, _ in received)
    while True:
        left_bytes = quota.max_bytes - used_bytes - expected_bytes
        disk_bytes = shutil.disk_usage(root).free
        free_bytes = int(disk_bytes * quota.free_ratio) - expected_bytes
        if n_bytes <= min(left_bytes, free_bytes):
            return
        without_any_bytes = min(quota.max_bytes, int((disk_bytes + used_bytes) * quota.free_ratio))
        if not received or n_bytes + expected_bytes > without_any_bytes:
            break
        _, size, model_id = received.pop(0)
        log.info("model %s was unused for longest and gives way", model_id[:12])
        remove(model_id)
        used_bytes -= size
    if n_bytes > free_bytes:
        fact = f"the disk of `{root}` has {bytes_text(max(0, free_bytes))} for it"
    else:
        fact = f"models from peers may have {bytes_text(max(0, left_bytes))} more here"
    raise ModelError(
        f"a model needs {bytes_text(n_bytes)} more, {fact}", hint="free some space, or give the node --model-quota"
    )


def mark_received(folder: Path) -> None:
    """Count the model in `folder`, which a peer sent, as used now."""
    (folder / RECEIVED).touch()


def mark_used(folder: Path) -> None:
    """Count the model in `folder` as used now if a peer sent it."""
    with suppress(OSError):
        os.utime(folder / RECEIVED)


def remove_leftovers(root: Path) -> None:
    """Remove what processes that died left unfinished below `root`: models being received or added, forms."""
    try:
        with tempfile.NamedTemporaryFile(dir=root, prefix=".clock-") as file:
            now_s = os.fstat(file.fileno()).st_mtime  # the disk's own clock, which its times are of
    except OSError:
        return  # there is no store, or none of ours
    for path in (path for pattern in _LEFTOVERS for path in root.glob(pattern)):
        if now_s - _last_written_s(path) > STALE_S:
            _remove(path)
    for path in (root / "incoming").glob("*"):
        if path.is_dir() and now_s - _last_written_s(path) > STALE_S:
            _remove_incoming(path)


def _remove_incoming(folder: Path) -> None:
    """Unless a process holds its lock: it may wait for a slow peer."""
    lock = folder.with_name(f"{folder.name.partition('.')[0]}.lock")
    try:
        with lock.open("ab") as file:
            if not locked(file):
                return
            _remove(folder)
            lock.unlink(missing_ok=True)
    except OSError as exc:
        log.debug("`%s` stays: %s", folder, exc)


def _remove(path: Path) -> None:
    log.info("removing `%s`, which was left unfinished", path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _received(root: Path) -> Iterator[tuple[float, int, str]]:
    """(when it was last used, bytes, model id) of every model that a peer sent."""
    for mark in root.glob(f"{'[0-9a-f]' * 64}/{RECEIVED}"):
        with suppress(OSError):
            yield mark.stat().st_mtime, folder_bytes(mark.parent), mark.parent.name


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below `folder`; those that go meanwhile count for nothing."""
    n_bytes = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                n_bytes += os.lstat(os.path.join(where, name)).st_size
    return n_bytes


def _last_written_s(path: Path) -> float:
    with suppress(OSError):
        entries = list(path.iterdir()) if path.is_dir() and not path.is_symlink() else []
        return max(each.lstat().st_mtime for each in (path, *entries))
    return float("inf")  # it has gone meanwhile
