"""Plays cases for another process: one JSON line each in, one out, until the input ends. See `pool.py`."""

from __future__ import annotations

import json
import signal
import sys

from experiments.adaptive_2026.cases import Case
from experiments.adaptive_2026.simulated import play

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; whoever feeds this one ends it
    for line in sys.stdin:
        print(json.dumps(play(Case(**json.loads(line))).to_json()), flush=True)
