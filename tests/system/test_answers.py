"""Claims about answers of `seamline run` in real processes: saved whole however it ends, equal to the model's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from seamline.model import Preprocess

VIDEO = Path(__file__).resolve().parents[2] / "src" / "seamline" / "data" / "bigbuckbunny.mp4"
PAD = Preprocess(height=1, width=1).pad
RELATIVE = 1e-4
"""Segments fuse other layers than the whole model does, so sums round differently."""


def own_scores(path: Path, n_frames: int) -> list[np.ndarray]:
    """What plain ONNX Runtime says to the first frames of the video, letterboxed as documented."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    _, _, height, width = session.get_inputs()[0].shape
    capture, found = cv2.VideoCapture(str(VIDEO)), []
    for _ in range(n_frames):
        picture = cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB)
        rows = round(height * picture.shape[0] / picture.shape[1])
        square = np.full((height, width, 3), PAD, np.uint8)
        top = (height - rows) // 2
        square[top : top + rows] = cv2.resize(picture, (width, rows), interpolation=cv2.INTER_AREA)
        tensor = ((square.astype(np.float32) - 127) / 64).transpose(2, 0, 1)[np.newaxis]
        found.append(session.run(None, {session.get_inputs()[0].name: tensor})[0][0])
    return found


def test_what_two_nodes_saved_is_what_plain_onnx_runtime_says(system, port):
    system.node("fog", port)
    run = system.start(
        "run", str(system.model), "--source", str(VIDEO), "--frames", "8", "--every-frame", "--over", "edge,fog",
        "--connect", f"tcp/127.0.0.1:{port}", "--cluster", system.cluster, "--threads", "1", "--lease", "2",
        "--plan", "edge[0:4]lossless > fog[4:15]",
        "--save", "r.jsonl", "--save", "r.csv", "--save", "r.npz", "--save", "out.mp4", "--top", "10",
    )  # fmt: skip
    assert run.wait() == 0, run.stderr
    lines = [json.loads(line) for line in (system.folder / "r.jsonl").read_text().splitlines()]
    archive = np.load(system.folder / "r.npz")
    for at, scores in enumerate(own_scores(system.model, 8)):
        assert lines[at]["plan"] == "edge[0:4]lossless > fog[4:15]"
        np.testing.assert_allclose(archive[f"{at:06d}/scores"][0], scores, rtol=RELATIVE, atol=RELATIVE)
        shares = np.exp(scores.astype(float) - scores.max())
        shares /= shares.sum()
        order = np.argsort(-scores)
        assert [label["class"] for label in lines[at]["labels"]] == order.tolist()
        np.testing.assert_allclose([label["score"] for label in lines[at]["labels"]], shares[order], rtol=1e-3)
    assert [line.split("  ")[0] for line in run.stdout.splitlines()[:8]] == [f"frame {at}" for at in range(8)]
    assert len((system.folder / "r.csv").read_text().splitlines()) == 1 + 80
    assert cv2.VideoCapture(str(system.folder / "out.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 8


def test_every_place_is_whole_after_ctrl_c(system):
    run = system.run("--save", "r.jsonl", "--save", "r.npz", "--save", "out.avi", "--save", "out/")
    lines = system.folder / "r.jsonl"
    run.wait_until(lambda _: lines.exists() and lines.read_text().count("\n") >= 5)
    os.kill(run.popen.pid, signal.SIGINT)
    assert run.wait() == 128 + signal.SIGINT
    figures = run.json["sinks"]
    n_answered = run.json["frames"]["answered"]
    assert [each["written"] for each in figures] == [n_answered] * 4
    assert [each["error"] for each in figures] == [None] * 4
    assert len(lines.read_text().splitlines()) == n_answered
    assert len(np.load(system.folder / "r.npz")["answers"]) == n_answered
    assert len(list((system.folder / "out").iterdir())) == n_answered
    assert cv2.VideoCapture(str(system.folder / "out.avi")).get(cv2.CAP_PROP_FRAME_COUNT) >= n_answered - 1


def test_a_reader_that_has_seen_enough_ends_the_run(system):
    command = [
        sys.executable,
        "-m",
        "seamline",
        "run",
        str(system.model),
        "--source",
        str(VIDEO),
        "--loop",
        "--threads",
        "1",
    ]
    run = subprocess.Popen(
        [*command, "--cluster", system.cluster, "--save", "r.npz"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=system.folder,
        env={**os.environ, "SEAMLINE_CACHE": str(system.caches / "edge")},
    )  # fmt: skip
    assert run.stdout is not None
    assert run.stdout.readline().startswith(b"frame ")
    run.stdout.close()
    try:
        assert run.wait(timeout=60) == 0
    finally:
        run.kill()
    assert run.stderr is not None
    assert b"Traceback" not in run.stderr.read()
    run.stderr.close()
    assert len(np.load(system.folder / "r.npz")["answers"]) >= 1
