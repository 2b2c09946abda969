"""Settings of all tests: which run first, and how much Hypothesis draws.

Hypothesis draws the same few examples every time; a slow machine is no fault of the code. With
``SEAMLINE_EXAMPLES=thorough`` it draws twenty times as many, others every time. A property that costs far more or far
less than others takes a share of them: ``settings(max_examples=settings.default.max_examples // 2)``.
"""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("suite", deadline=None, database=None, derandomize=True, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("SEAMLINE_EXAMPLES", "suite"))

HERE = Path(__file__).parent
FIRST = ("system", "examples", "runtime", "experiments", "session", "sim")
"""Folders with long files and tests that wait: begun last, one of them would keep a worker while others are idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of `FIRST`, in its order, then all others as they were found."""

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(HERE).parts[0]
        return FIRST.index(folder) if folder in FIRST else len(FIRST)

    items.sort(key=place)
