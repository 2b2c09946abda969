"""Makes the runs of a comparison on all processors: here, and in one helping process per further processor.

Runs do not depend on each other, and each is decided by the scene and its seed, so it is the same wherever it is made.
Scene, plays and runs travel as MessagePack of their dataclasses, checked when read; nothing is pickled. A helper that
fails is given up, and what it had to make is made here. A helper is `main` in a process of its own.
"""

from __future__ import annotations

import queue
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import IO, Any, Self, TypeVar

import msgspec
import numpy as np

from seamline.config.cgroup import n_usable_cores
from seamline.sim.rates import Floats
from seamline.sim.run import Play, Run, made
from seamline.sim.scene import Scene
from seamline.sim.stage_work import StageWorkTable

LEAST_FRAMES = 5_000
"""Of all runs together: a second of work, about. Below, starting a helper takes longer than it saves."""

Message = TypeVar("Message", Scene, Play, Run)
_LENGTH = struct.Struct(">Q")


def n_helpers(scene: Scene, n_plays: int) -> int:
    """How many helpers pay for `n_plays` runs of `scene` on this machine."""
    n_processors = n_usable_cores()
    return min(n_processors, n_plays) - 1 if n_plays * scene.n_frames >= LEAST_FRAMES else 0


class Pool:
    """A `run.Player` with helpers, which end with the ``with`` block at the latest.

    told: hears the name of each run as it begins, on any thread.
    """

    def __init__(self, scene: Scene, helpers: int, told: Callable[[str], None] = lambda name: None) -> None:
        self._scene, self._told = scene, told
        self._begun: list[Play] = []
        self._runs: dict[int, Run] = {}
        self._waiting: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._processes = [_started() for _ in range(helpers)]
        self._feeders = [threading.Thread(target=self._feed, args=(one,), daemon=True) for one in self._processes]

    def __enter__(self) -> Self:
        for feeder in self._feeders:
            feeder.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            self._waiting.put(None)
            process.kill()
            process.communicate()

    def begin(self, wanted: Play) -> None:
        """To be made as soon as a helper is free, or `finish` is called."""
        self._begun.append(wanted)
        self._waiting.put(len(self._begun) - 1)

    def finish(self) -> Sequence[tuple[Play, Run]]:
        """All that were begun; makes what no helper has taken, and what one could not make."""
        for _ in range(len(self._feeders) + 1):
            self._waiting.put(None)
        work_table = StageWorkTable(self._scene)
        while (number := self._waiting.get()) is not None:
            self._make(number, work_table)
        for feeder in self._feeders:
            feeder.join()
        for number in range(len(self._begun)):
            if number not in self._runs:
                self._make(number, work_table)
        return [(wanted, self._runs[number]) for number, wanted in enumerate(self._begun)]

    def _make(self, number: int, work_table: StageWorkTable) -> None:
        self._told(self._begun[number].name)
        self._runs[number] = made(self._scene, self._begun[number], work_table)

    def _feed(self, process: subprocess.Popen[bytes]) -> None:
        """Give one helper plays until there are none, or it fails."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            send(process.stdin, self._scene)
            while (number := self._waiting.get()) is not None:
                self._told(self._begun[number].name)
                send(process.stdin, self._begun[number])
                run = receive(process.stdout, Run)
                if run is None:
                    return
                self._runs[number] = run
        except (OSError, ValueError, msgspec.MsgspecError):
            return  # `finish` makes what is missing


def serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Read a scene and make every run asked for, until the input ends."""
    scene = receive(source, Scene)
    if scene is None:
        return
    work_table = StageWorkTable(scene)
    while (wanted := receive(source, Play)) is not None:
        send(sink, made(scene, wanted, work_table))


def main() -> None:
    """A helping process: serves its standard input, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; whoever feeds this one ends it
    serve(sys.stdin.buffer, sys.stdout.buffer)


def send(stream: IO[bytes], message: Scene | Play | Run) -> None:
    """Raises `OSError` when nobody listens."""
    packed = msgspec.msgpack.encode(message, enc_hook=_packed_array)
    stream.write(_LENGTH.pack(len(packed)) + packed)
    stream.flush()


def receive(stream: IO[bytes], kind: type[Message]) -> Message | None:
    """The next message, None at the end. Raises `msgspec.MsgspecError` for anything that is no `kind`."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    body = stream.read(_LENGTH.unpack(head)[0])
    return msgspec.msgpack.decode(body, type=kind, dec_hook=_array)


def _started() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from seamline.sim.pool import main; main()"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _packed_array(value: Any) -> bytes:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{type(value).__name__} does not travel")
    return value.astype(np.float64).tobytes()


def _array(kind: Any, value: Any) -> Floats:
    return np.frombuffer(value, dtype=np.float64)
