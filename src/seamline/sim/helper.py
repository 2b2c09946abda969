"""`python -m seamline.sim.helper`: makes runs for another process, a scene and plays in, a run out for each.

Ends with its input. Who feeds it is `pool.py`.
"""

from __future__ import annotations

import signal
import sys
from typing import IO

from seamline.core.adaptation.policy import PolicySettings
from seamline.sim.journey import Journeys
from seamline.sim.plays import Play, made
from seamline.sim.pool import receive, send
from seamline.sim.scene import Scene


def serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Read a scene and make every run asked for, until the input ends."""
    scene = receive(source, Scene)
    if scene is None:
        return
    journeys = Journeys(scene)
    while (wanted := receive(source, Play)) is not None:
        send(sink, made(scene, wanted, journeys, PolicySettings()))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; whoever feeds this one ends it
    serve(sys.stdin.buffer, sys.stdout.buffer)
