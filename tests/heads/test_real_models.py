"""Claims about trained models that packages ship; each is skipped aloud where its package is not installed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

from seamline.core.vocabulary.pictures import Fit, picture_transform
from seamline.heads.answers import Boxes, Classes, Regions
from seamline.heads.choosing import choose_head, facts_of
from seamline.model import ModelStore, Preprocess

VIDEO = Path(__file__).resolve().parents[2] / "src" / "seamline" / "data" / "bigbuckbunny.mp4"


@pytest.fixture
def picture() -> np.ndarray:
    """The 17th frame of the shipped video, 720 x 1280: a rabbit that looks out of its burrow."""
    capture = cv2.VideoCapture(str(VIDEO))
    for _ in range(17):
        ok, frame = capture.read()
        assert ok
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def plain(path: Path, tensor: np.ndarray) -> dict[str, np.ndarray]:
    """Outputs of the file itself in plain ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(None, {session.get_inputs()[0].name: tensor}), strict=True))


def overlap(one, other) -> float:
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    if min(width, height) <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


def test_a_trained_yolov8_finds_the_rabbits_face_where_plain_loops_find_it(picture, tmp_path, package_file):
    path = package_file("nudenet", "320n.onnx")
    recipe = Preprocess(height=320, width=320, std=(255.0,) * 3)
    model = ModelStore(tmp_path).add(path, preprocess=recipe)
    transform = picture_transform(Fit.CROP, picture.shape[:2], (320, 320))
    left = transform.source.left
    square = cv2.resize(picture[:, left : left + 720], (320, 320), interpolation=cv2.INTER_AREA)
    outputs = plain(path, square.transpose(2, 0, 1)[np.newaxis].astype(np.float32) / 255)
    chosen = choose_head(facts_of(model.graph, model.metadata, size=(320, 320)), score_ratio=0.05)
    assert chosen.reason == "the file's task is `detect`"
    found = chosen.head.read(outputs, transform)
    assert isinstance(found, Boxes)
    kept = []
    for column in sorted(outputs["output0"][0].T.astype(float).tolist(), key=lambda each: -max(each[4:])):
        x, y, width, height, *scores = column
        best = max(range(len(scores)), key=scores.__getitem__)
        edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        if scores[best] >= 0.05 and all(best != index or overlap(edges, other) <= 0.7 for index, _, other in kept):
            kept.append((best, scores[best], edges))
    assert len(found.boxes) == len(kept) >= 1
    for box, (index, score, edges) in zip(found.boxes, kept, strict=True):
        assert (box.label.index, box.label.score_ratio) == (index, pytest.approx(score))
        there = (edges[0] * 2.25 + left, edges[1] * 2.25, edges[2] * 2.25 + left, edges[3] * 2.25)
        assert (box.left, box.top, box.right, box.bottom) == pytest.approx(there, abs=1e-2)
    assert found.boxes[0].label.name.startswith("FACE_")
    assert 350 < (found.boxes[0].left + found.boxes[0].right) / 2 < 500


def test_a_trained_text_detector_is_a_map_and_its_classifier_says_which_way_up(tmp_path, package_file):
    path = package_file("rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx")
    page = np.full((192, 320, 3), 255, np.uint8)
    cv2.putText(page, "SEAMLINE", (20, 110), cv2.FONT_HERSHEY_SIMPLEX, 2, (0, 0, 0), 5)
    tensor = ((page.transpose(2, 0, 1)[np.newaxis] / 255 - 0.5) / 0.5).astype(np.float32)
    model = ModelStore(tmp_path).add(path, shapes={"x": (1, 3, 192, 320)})
    chosen = choose_head(facts_of(model.graph, model.metadata), score_ratio=0.3)
    outputs = plain(path, tensor)
    found = chosen.head.read(outputs, None)
    assert isinstance(found, Regions)
    np.testing.assert_array_equal(found.class_map, next(iter(outputs.values()))[0, 0] >= np.float32(0.3))
    rows, columns = np.nonzero(found.class_map)
    assert 60 < rows.mean() < 120
    assert columns.min() < 60
    assert columns.max() > 260

    path = path.with_name("ch_ppocr_mobile_v2.0_cls_infer.onnx")
    model = ModelStore(tmp_path).add(path, shapes={"x": (1, 3, 48, 192)})
    line = cv2.resize(page[60:130], (192, 48))
    tensor = ((line.transpose(2, 0, 1)[np.newaxis] / 255 - 0.5) / 0.5).astype(np.float32)
    outputs = plain(path, tensor)
    upright = choose_head(facts_of(model.graph, model.metadata)).head.read(outputs, None)
    assert isinstance(upright, Classes)
    np.testing.assert_allclose(
        sorted((label.score_ratio for label in upright.labels), reverse=True),
        sorted(next(iter(outputs.values()))[0].tolist(), reverse=True),
        rtol=1e-6,
    )
    assert upright.labels[0].index == 0
