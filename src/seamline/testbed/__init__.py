"""Several machines on one: node processes, slowed computing, shaped links, and changes while a run goes on.

What a testbed *is* stands in `seamline.config.testbed`; this package brings one to life. It never imports the runtime:
nodes are started by their command line, as a user would.
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path


def demo_testbed_path() -> Path:
    """The testbed of `seamline demo`, which ships with the package."""
    return Path(str(importlib.resources.files("seamline.testbed") / "demo.toml"))
