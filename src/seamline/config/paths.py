"""Paths: where Seamline keeps what it can make again, and keys; files that people name, read within limits."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import platformdirs

from seamline.config.plain_files import read_plain_text
from seamline.core.vocabulary.errors import ConfigError


def cache_dir() -> Path:
    """The base of all caches: SEAMLINE_CACHE from the environment, else the user's cache folder. May not exist yet."""
    chosen = os.environ.get("SEAMLINE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(platformdirs.user_cache_dir("seamline", appauthor=False))


def data_dir() -> Path:
    """The base of keys and certificates: SEAMLINE_DATA from the environment, else the user's data folder."""
    chosen = os.environ.get("SEAMLINE_DATA")
    if chosen:
        return Path(chosen).expanduser()
    return Path(platformdirs.user_data_dir("seamline", appauthor=False))


def read_text(path: Path, *, max_bytes: int, hint: str) -> str:
    """The text in the file at `path`. Raises `ConfigError` when it is no plain file, larger, or no text.

    hint: what to do about a file that is none of those meant.
    """
    try:
        return read_plain_text(path, max_bytes)
    except FileNotFoundError as exc:
        raise ConfigError(f"there is no file {path}", hint="check the path") from exc
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror or exc}", hint=hint) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path} is not text: {exc}", hint=hint) from exc


def refused_words(path: Path) -> tuple[str, str]:
    """(fact, hint) where the system refuses `path` to this user: whose it is, and what either of them can do."""
    elsewhere = "set SEAMLINE_CACHE to a folder of your own"
    for where in (path, *path.absolute().parents):
        try:
            owner = where.stat().st_uid
        except OSError:
            continue  # may not even be looked at: whose is the folder around it?
        whose = _user(owner)
        is_readable = os.access(
            where, os.R_OK | (os.X_OK if where.is_dir() else 0), effective_ids=os.access in os.supports_effective_ids
        )
        may, mode = ("write to it", "a+rwX") if is_readable else ("read it", "a+rX")
        fact = f"`{where}` belongs to `{whose}`, and `{_user(os.geteuid())}` may not {may}"
        hint = f"have `{whose}` run `chmod -R {mode}` on it"
        return fact, f"{elsewhere}, or {hint}" if _is_cached(where) else hint
    return f"`{path}` is closed to this user", elsewhere


def _is_cached(path: Path) -> bool:
    cache = cache_dir().absolute()
    return path.absolute().is_relative_to(cache) or cache.is_relative_to(path.absolute())


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
