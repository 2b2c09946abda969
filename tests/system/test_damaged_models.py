"""Models that a disk has damaged, in real processes: fetched or made again, and never computed with."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

VIDEO = Path(__file__).resolve().parents[2] / "src" / "seamline" / "data" / "bigbuckbunny.mp4"
PLAN = "edge[0:4]lossless > fog[4:15]"
N_FRAMES = 4


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flip_and_hide(path: Path) -> None:
    before, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def answers(system, tmp_path: Path) -> Callable[[int], np.ndarray]:
    """What a run over the edge and a node at the port answers."""

    def run(port: int) -> np.ndarray:
        saved = f"{len(system.processes)}.npz"
        run = system.start(
            "run", str(system.model), "--source", str(VIDEO), "--frames", str(N_FRAMES), "--every-frame",
            "--over", "edge,fog", "--connect", f"tcp/127.0.0.1:{port}", "--cluster", system.cluster, "--threads", "1",
            "--lease", "2", "--plan", PLAN, "--save", saved, SEAMLINE_CACHE=str(tmp_path / "edge"),
        )  # fmt: skip
        assert run.wait() == 0, run.stderr
        with np.load(system.folder / saved) as found:
            return np.stack([found[f"{at:06d}/scores"][0] for at in range(N_FRAMES)])

    return run


def test_a_node_and_an_origin_whose_files_are_damaged_while_they_run_answer_as_before_when_they_start_again(
    system, port, answers, tmp_path: Path
):
    fog = system.node("fog", port, cache=tmp_path / "fog")
    expected = answers(port)
    for cache, damage in (("edge", flip_and_hide), ("fog", zero)):
        files = list((tmp_path / cache).rglob("*.bin"))
        assert files, "each has weights of its own"
        for path in files:
            damage(path)
    fog.popen.send_signal(signal.SIGKILL)
    fog.wait()
    fog = system.node("fog", port, cache=tmp_path / "fog")
    np.testing.assert_array_equal(answers(port), expected)
    assert any("is fetched from edge" in line for line in fog.news), fog.news
    assert "are damaged" in fog.stderr
    assert fog.popen.poll() is None
