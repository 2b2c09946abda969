"""Testbed, several machines on one: node processes, slowed computing, shaped links, and changes during a run.

A testbed is specified in `seamline.config.testbed`; this package runs it. It never imports the runtime:
nodes are started by their command line, as a user would.
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path


def demo_testbed_path() -> Path:
    """The testbed of `seamline demo`, which ships with the package."""
    return Path(str(importlib.resources.files("seamline.testbed") / "demo.toml"))
