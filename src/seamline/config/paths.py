"""Where Seamline keeps what it can make again: models, profiles, optimised graphs."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """The base of all caches: SEAMLINE_CACHE from the environment, else the user's cache folder. May not exist yet."""
    chosen = os.environ.get("SEAMLINE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(platformdirs.user_cache_dir("seamline", appauthor=False))


def refused_words(path: Path) -> tuple[str, str]:
    """(fact, hint) where the system refuses `path` to this user: whose it is, and what either of them can do."""
    for where in (path, *path.absolute().parents):
        try:
            owner = where.stat().st_uid
        except OSError:
            continue  # may not even be looked at: whose is the folder around it?
        whose = _user(owner)
        fact = f"`{where}` belongs to `{whose}` and is closed to `{_user(os.geteuid())}`"
        return fact, f"set SEAMLINE_CACHE to a folder of your own, or have `{whose}` run `chmod -R a+rX` on it"
    return f"`{path}` is closed to this user", "set SEAMLINE_CACHE to a folder of your own"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
