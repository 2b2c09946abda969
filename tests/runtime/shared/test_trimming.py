"""Claims about the heap of the C library, in processes of their own: what is set there stays set."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, threading
from seamline.runtime.shared.trimming import bound_arenas
bound_arenas()
library, together = ctypes.CDLL("libc.so.6"), threading.Barrier(8)
library.malloc.restype = ctypes.c_void_p

def allocate():
    together.wait()
    library.malloc(1000)
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(8)]
for one in threads: one.start()
for one in threads: one.join()
library.malloc_stats()
"""


@pytest.mark.parametrize("environment", [{}, {"MALLOC_ARENA_MAX": "5"}])
def test_threads_share_a_few_arenas_unless_somebody_says_otherwise(environment):
    others = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**others, **environment}, capture_output=True, text=True, check=True
    )
    assert done.stderr.count("Arena ") == int(environment.get("MALLOC_ARENA_MAX", 2))
