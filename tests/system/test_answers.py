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
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from seamline.model import Preprocess

PAD = Preprocess(height=1, width=1).pad
RELATIVE = 1e-4
"""Segments fuse other layers than the whole model does, so sums round differently."""


def own_scores(path: Path, video: Path, n_frames: int) -> list[np.ndarray]:
    """What plain ONNX Runtime says to the first frames of the video, letterboxed as documented."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    _, _, height, width = session.get_inputs()[0].shape
    capture, found = cv2.VideoCapture(str(video)), []
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
        "run", str(system.model), "--source", str(system.video), "--frames", "8", "--every-frame", "--over", "edge,fog",
        "--connect", f"tcp/127.0.0.1:{port}", "--cluster", system.cluster, "--threads", "1", "--lease", "2",
        "--plan", "edge[0:4]lossless > fog[4:15]",
        "--save", "r.jsonl", "--save", "r.csv", "--save", "r.npz", "--save", "out.mp4", "--top", "10",
    )  # fmt: skip
    assert run.wait() == 0, run.stderr
    lines = [json.loads(line) for line in (system.folder / "r.jsonl").read_text().splitlines()]
    archive = np.load(system.folder / "r.npz")
    for at, scores in enumerate(own_scores(system.model, system.video, 8)):
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
    command = [sys.executable, "-m", "seamline", "run", str(system.model), "--source", str(system.video), "--loop"]
    run = subprocess.Popen(
        [*command, "--threads", "1", "--cluster", system.cluster, "--save", "r.npz"],
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


def save_detector(path: Path) -> None:
    """A network in the layout and with the metadata of an Ultralytics export: 32x32, two classes, boxes of 7 pixels."""
    rng = np.random.default_rng(5)
    nodes, weights, flats, places, value, channels = [], [], [], [], "images", 3
    shape = numpy_helper.from_array(np.asarray([1, 6, -1]), "shape")
    for level, stride in enumerate((2, 4, 8, 16, 32)):
        kernel = rng.standard_normal((8, channels, 3, 3)) * np.sqrt(2 / (9 * channels))
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), f"w{level}"))
        nodes.append(helper.make_node("Conv", [value, f"w{level}"], [f"c{level}"], strides=[2, 2], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{level}"], [f"r{level}"]))
        value, channels = f"r{level}", 8
        if stride >= 8:
            head = rng.standard_normal((6, 8, 1, 1)) * np.asarray([0, 0, 0, 0, 2, 2]).reshape(6, 1, 1, 1)
            weights.append(numpy_helper.from_array(head.astype(np.float32), f"h{stride}"))
            nodes.append(helper.make_node("Conv", [value, f"h{stride}"], [f"m{stride}"]))
            nodes.append(helper.make_node("Reshape", [f"m{stride}", "shape"], [f"f{stride}"]))
            flats.append(f"f{stride}")
            y, x = np.mgrid[: 32 // stride, : 32 // stride]
            sides = np.full(x.size, 7.0)
            places.append(np.stack([(x.ravel() + 0.5) * stride, (y.ravel() + 0.5) * stride, sides, sides]))
    weights += [
        shape,
        numpy_helper.from_array(np.asarray([4, 2]), "parts"),
        numpy_helper.from_array(np.concatenate(places, axis=1)[np.newaxis].astype(np.float32), "places"),
    ]
    nodes += [
        helper.make_node("Concat", flats, ["all"], axis=2),
        helper.make_node("Split", ["all", "parts"], ["offsets", "logits"], axis=1),
        helper.make_node("Add", ["offsets", "places"], ["boxes"]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["output0"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 6, 21])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    metadata = {"task": "detect", "stride": "32", "imgsz": "[32, 32]", "names": "{0: 'hare', 1: 'squirrel'}"}
    for key, text in metadata.items():
        model.metadata_props.add(key=key, value=text)
    onnx.save(model, path)


def own_boxes(path: Path, video: Path, n_frames: int) -> list[list[tuple[float, ...]]]:
    """Score, class and edges in the picture of what plain ONNX Runtime finds, letterboxed as Ultralytics does."""
    session, capture, found = onnxruntime.InferenceSession(str(path)), cv2.VideoCapture(str(video)), []
    for _ in range(n_frames):
        picture = cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB)
        n_rows, n_columns = picture.shape[:2]
        rows = round(32 * n_rows / n_columns)
        square = np.full((32, 32, 3), 114, np.uint8)
        top = (32 - rows) // 2
        square[top : top + rows] = cv2.resize(picture, (32, rows), interpolation=cv2.INTER_LINEAR)
        tensor = (square.astype(np.float32) / 255).transpose(2, 0, 1)[np.newaxis]
        boxes = []
        for x, y, width, height, *scores in session.run(None, {"images": tensor})[0][0].T:
            if max(scores) >= 0.25:
                edges = (x - width / 2, y - height / 2 - top, x + width / 2, y + height / 2 - top)
                limits = (n_columns, n_rows) * 2
                pixels = [min(max(0.0, e * n_columns / 32), most) for e, most in zip(edges, limits, strict=True)]
                boxes.append((max(scores), int(np.argmax(scores)), *pixels))
        found.append(sorted(boxes, reverse=True))
    return found


def test_boxes_of_a_detector_over_three_nodes_are_those_of_plain_onnx_runtime(system, free_port):
    ports = [free_port(), free_port()]
    save_detector(system.folder / "detector.onnx")
    system.node("cloud", ports[0])
    system.node("fog", ports[1], "--connect", f"tcp/127.0.0.1:{ports[0]}")
    plan = "edge[0:3]lossless > fog[3:9]lossless > cloud[9:21]"
    run = system.start(
        "run", "detector.onnx", "--source", str(system.video), "--frames", "3", "--every-frame",
        "--over", "edge,fog,cloud",
        "--connect", f"tcp/127.0.0.1:{ports[1]}", "--cluster", system.cluster, "--threads", "1", "--lease", "2",
        "--plan", plan, "--save", "r.jsonl", "--save", "r.csv", "--save", "out.mp4",
    )  # fmt: skip
    assert run.wait() == 0, run.stderr
    lines = [json.loads(line) for line in (system.folder / "r.jsonl").read_text().splitlines()]
    wanted = own_boxes(system.folder / "detector.onnx", system.video, 3)
    assert sum(map(len, wanted)) >= 3
    for line, boxes in zip(lines, wanted, strict=True):
        assert line["plan"] == plan
        got = sorted(((box["score"], box["class"], *box["box"]) for box in line["boxes"]), reverse=True)
        np.testing.assert_allclose(got, boxes, rtol=1e-3, atol=0.1)
        assert {box["label"] for box in line["boxes"]} <= {"hare", "squirrel"}
    assert len((system.folder / "r.csv").read_text().splitlines()) == 1 + sum(max(1, len(boxes)) for boxes in wanted)
    assert cv2.VideoCapture(str(system.folder / "out.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 3
