"""Where Seamline keeps what it can make again: models, profiles, optimised graphs."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """The base of all caches: SEAMLINE_CACHE from the environment, else the user's cache folder. May not exist yet."""
    chosen = os.environ.get("SEAMLINE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(platformdirs.user_cache_dir("seamline", appauthor=False))
