"""Priority of a testbed's processes: other programs of this computer are no part of the machines that are imitated.

Imitated machines compute little and wait much, but what they compute has to be in time. Only root may say so; for
others nothing changes, and a busy computer shows.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

NICENESS = -10


def prefer(pid: int) -> None:
    """Let the process `pid`, the first of its session, go before others where we may; its threads to come as well.

    Linux compares niceness only within a session (autogroup), and sessions by one of their own.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
        Path(f"/proc/{pid}/autogroup").write_text(str(NICENESS), encoding="ascii")
