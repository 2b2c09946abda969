"""Claims about a stream's answers: what is saved is what the whole model says, wherever it was cut."""

from __future__ import annotations

import gc
import json
import math
import weakref
from dataclasses import replace

import cv2
import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import seamline
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.plans import Codec
from seamline.heads.answers import Boxes, Classes
from seamline.model import Preprocess
from seamline.runtime.api.answers import AnswerReader
from seamline.runtime.origin.results import Result

EXACT = (Codec.RAW,)
RELATIVE = 1e-5
"""Segments fuse other layers than the whole model does, so sums round differently."""

EXTENT, N_CLASSES = 64, 3
NAMES = ["cat", "dog", "bird"]


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    """A file as of YOLOv8: convolutions at strides 8, 16, 32, random weights, [1, 4 + 3, 84], Ultralytics' metadata."""
    rng = np.random.default_rng(21)
    nodes, weights, maps = [], [], []
    value, channels = "images", 3
    for level, stride in enumerate((8, 2, 2)):
        kernel = rng.normal(0, 1.5 / math.sqrt(channels * 9), (16, channels, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"w{level}"))
        nodes.append(helper.make_node("Conv", [value, f"w{level}"], [f"c{level}"], name=f"conv{level}", pads=[1] * 4,
                                      strides=[stride] * 2))  # fmt: skip
        nodes.append(helper.make_node("Relu", [f"c{level}"], [f"r{level}"], name=f"relu{level}"))
        value, channels = f"r{level}", 16
        head = rng.normal(0, 1, (4 + N_CLASSES, 16, 1, 1)).astype(np.float32)
        weights.append(numpy_helper.from_array(head, f"h{level}"))
        nodes.append(helper.make_node("Conv", [value, f"h{level}"], [f"o{level}"], name=f"head{level}"))
        nodes.append(helper.make_node("Reshape", [f"o{level}", "flat"], [f"f{level}"], name=f"flatten{level}"))
        maps.append(f"f{level}")
    weights.append(numpy_helper.from_array(np.array([1, 4 + N_CLASSES, -1]), "flat"))
    scale = np.array([EXTENT] * 2 + [EXTENT / 2] * 2 + [1] * N_CLASSES, np.float32).reshape(1, -1, 1)
    weights.append(numpy_helper.from_array(scale, "scale"))
    nodes += [
        helper.make_node("Concat", maps, ["all"], axis=2, name="concat"),
        helper.make_node("Sigmoid", ["all"], ["shares"], name="sigmoid"),
        helper.make_node("Mul", ["shares", "scale"], ["output0"], name="scaled"),
    ]
    graph = helper.make_graph(
        nodes, "yolo",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, EXTENT, EXTENT])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 4 + N_CLASSES, 84])],
        weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for key, text in {"task": "detect", "stride": "32", "names": str(dict(enumerate(NAMES)))}.items():
        model.metadata_props.add(key=key, value=text)
    path = tmp_path_factory.mktemp("detector") / "yolo.onnx"
    onnx.save(model, path)
    return path


def whole_model(path, picture) -> np.ndarray:
    """What plain ONNX Runtime says to a picture of the network's size."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": picture.transpose(2, 0, 1)[np.newaxis].astype(np.float32) / 255})[0]


def boxes_of(output, factor: float):
    """(class, score, left, top, right, bottom) in a picture `factor` times as large, one by one, without a library."""
    kept = []
    for column in sorted(output[0].T.astype(float).tolist(), key=lambda each: -max(each[4:])):
        x, y, width, height, *scores = column
        best = max(range(N_CLASSES), key=scores.__getitem__)
        edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        if scores[best] >= 0.6 and all(best != index or shared(edges, other) <= 0.7 for index, _, other in kept):
            kept.append((best, scores[best], edges))
    return [(index, score, *(min(max(edge, 0), EXTENT) * factor for edge in edges)) for index, score, edges in kept]


def shared(one, other) -> float:
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    if min(width, height) <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


@pytest.fixture
def detecting(bench, detector):
    """The bench with the detector in place of its classifier, at the edge and the fog."""
    bench.model = bench.origin_store.add(detector, preprocess=Preprocess(height=EXTENT, width=EXTENT, std=(255.0,) * 3))
    bench.start("edge")
    bench.start("fog")
    return bench


def test_boxes_saved_of_a_split_stream_are_those_of_the_users_own_file(detecting, detector, tmp_path):
    rng = np.random.default_rng(22)
    small = [rng.integers(0, 256, (EXTENT, EXTENT, 3), np.uint8) for _ in range(6)]
    pictures = [each.repeat(3, axis=0).repeat(3, axis=1) for each in small]  # which shrink to exactly the small ones
    stream = detecting.stream(private=1, codecs=EXACT)
    places = [str(tmp_path / name) for name in ("r.jsonl", "r.csv", "r.npz", "out.avi", "out/")]
    places[-1] += "/"
    with seamline.answers(stream, pictures, save=places, score=0.6) as answers:
        found = list(answers)
    assert answers.head == "detect (YOLOv8 layout): the file's task is `detect`"
    assert [figures.written for figures in answers.figures()] == [6] * 5
    assert all("fog" in answered.plan for answered in found)
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    archive = np.load(tmp_path / "r.npz")
    for at, (answered, line) in enumerate(zip(found, lines, strict=True)):
        output = whole_model(detector, small[at])
        wanted = boxes_of(output, 3.0)
        assert len(wanted) > 3
        assert isinstance(answered.answer, Boxes)
        assert [NAMES.index(box["label"]) for box in line["boxes"]] == [index for index, *_ in wanted]
        rows = [[box["score"], *box["box"]] for box in line["boxes"]]
        np.testing.assert_allclose(rows, [each[1:] for each in wanted], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(archive[f"{at:06d}/output0"], output, rtol=RELATIVE, atol=RELATIVE * EXTENT)
        assert line["plan"] == answered.plan
        assert line["frame"] == at
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 1 + sum(len(line["boxes"]) for line in lines)
    assert len(list((tmp_path / "out").iterdir())) == 6
    capture = cv2.VideoCapture(str(tmp_path / "out.avi"))
    assert (capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FRAME_WIDTH)) == (6, 3 * EXTENT)


def test_boxes_of_a_letterboxed_picture_are_where_they_are_in_it(bench, detector):
    """The file's own metadata says that pictures are letterboxed; 96 x 192 becomes 32 x 64 with 16 grey rows around."""
    bench.model = bench.origin_store.add(detector)
    bench.start("edge")
    rng = np.random.default_rng(24)
    small = [rng.integers(0, 256, (EXTENT // 2, EXTENT, 3), np.uint8) for _ in range(3)]
    pictures = [each.repeat(3, axis=0).repeat(3, axis=1) for each in small]
    with seamline.answers(bench.stream(codecs=EXACT), pictures, score=0.6) as answers:
        found = [answered.answer.boxes for answered in answers]
    for each, boxes in zip(small, found, strict=True):
        whole = np.full((EXTENT, EXTENT, 3), 114, np.uint8)
        whole[EXTENT // 4 : 3 * EXTENT // 4] = each
        wanted = []
        for index, score, left, top, right, bottom in boxes_of(whole_model(detector, whole), 1.0):
            top, bottom = (min(max(3 * (y - EXTENT // 4), 0), 96) for y in (top, bottom))
            if bottom > top:
                wanted.append((index, score, 3 * left, top, 3 * right, bottom))
        assert len(wanted) > 3
        assert [box.label.index for box in boxes] == [index for index, *_ in wanted]
        edges = [(box.label.score_ratio, box.left, box.top, box.right, box.bottom) for box in boxes]
        np.testing.assert_allclose(edges, [each[1:] for each in wanted], rtol=1e-4, atol=1e-2)


def finder(path):
    """A file that lists what it finds, as torchvision's do: boxes [n, 4], scores [n], labels [n], n by the frame."""
    rng = np.random.default_rng(31)
    kernel = rng.normal(0, 0.01, (20 * 6, 3, EXTENT, EXTENT)).astype(np.float32)
    constants = {
        "kernel": kernel, "rows": np.array([20, 6]), "parts": np.array([4, 1, 1]), "flat": np.array([20]),
        "sides": np.full((1, 4), EXTENT / 2, np.float32), "half": np.array(0.5, np.float32),
        "classes": np.array(2.9, np.float32), "pair": np.array([2, 2]),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["c"]),
        helper.make_node("Reshape", ["c", "rows"], ["r"]),
        helper.make_node("Sigmoid", ["r"], ["s"]),
        helper.make_node("Split", ["s", "parts"], ["edges", "sure", "kind"], axis=1),
        helper.make_node("Mul", ["edges", "sides"], ["near"]),
        helper.make_node("Split", ["near", "pair"], ["corner", "size"], axis=1),
        helper.make_node("Add", ["corner", "size"], ["end"]),
        helper.make_node("Concat", ["corner", "end"], ["all_boxes"], axis=1),
        helper.make_node("Reshape", ["sure", "flat"], ["all_scores"]),
        helper.make_node("Reshape", ["kind", "flat"], ["kinds"]),
        helper.make_node("Mul", ["kinds", "classes"], ["spread"]),
        helper.make_node("Cast", ["spread"], ["all_labels"], to=TensorProto.INT64),
        helper.make_node("Greater", ["all_scores", "half"], ["found"]),
        *(helper.make_node("Compress", [f"all_{name}", "found"], [name], axis=0)
          for name in ("boxes", "scores", "labels")),
    ]  # fmt: skip
    outputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n"]),
        helper.make_tensor_value_info("labels", TensorProto.INT64, ["n"]),
    ]
    graph = helper.make_graph(
        nodes, "finder", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, EXTENT, EXTENT])], outputs,
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def test_outputs_are_read_where_the_last_stage_runs_and_answers_are_the_same_to_the_bit(detecting):
    rng = np.random.default_rng(25)
    pictures = [rng.integers(0, 256, (90, 120, 3), np.uint8) for _ in range(3)]
    reader = AnswerReader(detecting.model, score=0.6)
    last = len(detecting.model.cuts) - 1
    plan = f"edge[0:{last // 2}]raw > fog[{last // 2}:{last}]"
    said = []
    for reading in (None, reader.reading):
        stream = detecting.stream(policy=plan, codecs=EXACT, reading=reading)
        results = list(stream.run(pictures, live=False))
        assert [str(result.plan) for result in results] == [plan] * 3
        assert [result.reduced is None for result in results] == [reading is None] * 3
        assert all(bool(result.outputs) == (reading is None) for result in results)
        said.append([reader.read(result).answer for result in results])
        stream.close()
    assert said[0] == said[1]
    assert all(len(answer.boxes) > 3 for answer in said[0])


def test_the_origins_own_outputs_are_read_as_ever_where_a_node_falls_back(detecting):
    """What runs here alone has its outputs, whatever was asked of others."""
    reader = AnswerReader(detecting.model, score=0.6)
    last = len(detecting.model.cuts) - 1
    stream = detecting.stream(policy=f"edge[0:{last}]", codecs=EXACT, reading=reader.reading)
    (result,) = stream.run([np.zeros((EXTENT, EXTENT, 3), np.uint8)], live=False)
    assert result.reduced is None
    assert result.outputs.keys() == {"output0"}


def test_a_node_that_would_read_otherwise_sends_the_outputs(detecting):
    reader = AnswerReader(detecting.model, score=0.6)
    reading = reader.reading
    other = replace(reading, ask=msgspec.structs.replace(reading.ask, fingerprint="of another version"))
    last = len(detecting.model.cuts) - 1
    stream = detecting.stream(policy=f"edge[0:1]raw > fog[1:{last}]", codecs=EXACT, reading=other)
    (result,) = stream.run([np.zeros((EXTENT, EXTENT, 3), np.uint8)], live=False)
    assert "fog" in str(result.plan)
    assert result.outputs.keys() == {"output0"}


def test_a_list_whose_length_the_frame_decides_is_read_as_long_as_it_is(bench, tmp_path):
    path = finder(tmp_path / "finder.onnx")
    bench.model = bench.origin_store.add(path, preprocess=Preprocess(height=EXTENT, width=EXTENT, std=(255.0,) * 3))
    bench.start("edge")
    rng = np.random.default_rng(32)
    pictures = [rng.integers(0, 256, (EXTENT, EXTENT, 3), np.uint8) for _ in range(4)]
    pictures.append(np.zeros((EXTENT, EXTENT, 3), np.uint8))  # sigmoid(0) is one half, which is not above it
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with seamline.answers(
        bench.stream(codecs=EXACT), pictures, labels=NAMES, save=[str(tmp_path / "r.npz")]
    ) as answers:
        found = list(answers)
    assert answers.head.startswith("detect (boxes without overlaps)")
    lengths = []
    for picture, answered in zip(pictures, found, strict=True):
        tensor = picture.transpose(2, 0, 1)[np.newaxis].astype(np.float32) / 255
        boxes, scores, labels = session.run(None, {"image": tensor})
        order = np.argsort(-scores, kind="stable")
        assert [box.label.name for box in answered.answer.boxes] == [NAMES[labels[at]] for at in order]
        np.testing.assert_allclose(
            np.reshape([(box.left, box.top, box.right, box.bottom) for box in answered.answer.boxes], (-1, 4)),
            boxes[order].clip(0, EXTENT), rtol=1e-4, atol=1e-3,
        )  # fmt: skip
        lengths.append(len(scores))
    assert lengths[-1] == 0
    assert len(set(lengths)) > 1


def test_the_same_frames_give_the_same_answers_wherever_the_model_is_cut(detecting):
    rng = np.random.default_rng(23)
    pictures = [rng.integers(0, 256, (90, 120, 3), np.uint8) for _ in range(3)]
    stream = detecting.stream(codecs=EXACT)
    last = len(stream.model.cuts) - 1
    said = []
    for cut in (0, last // 2, last):
        plan = (
            f"edge[0:{last}]"
            if cut == last
            else f"edge[0:{cut}]raw > fog[{cut}:{last}]"
            if cut
            else f"edge[0:0]raw > fog[0:{last}]"
        )
        stream.switch(plan).result(20)
        with seamline.answers(stream, pictures, score=0.6) as answers:
            said.append([[(box.label.index, round(box.left, 2), round(box.bottom, 2)) for box in answered.answer.boxes]
                         for answered in answers])  # fmt: skip
    assert said[0] == said[1] == said[2]
    assert all(said[0])


def test_a_stream_of_labels_takes_the_users_names_and_keeps_no_pictures_unasked(bench, photos, expected, tmp_path):
    bench.start("edge")
    stream = bench.stream(codecs=EXACT)
    (tmp_path / "names.txt").write_text("\n".join(f"name {index}" for index in range(10)))
    with seamline.answers(stream, photos[:5], labels=tmp_path / "names.txt", top=2) as answers:
        found = list(answers)
    assert answers.head.startswith("classify")
    for answered, scores in zip(found, expected, strict=False):
        assert isinstance(answered.answer, Classes)
        raised = np.exp(scores[0].astype(float) - scores.max())
        order = np.argsort(-scores[0])[:2]
        assert [label.name for label in answered.answer.labels] == [f"name {index}" for index in order]
        np.testing.assert_allclose(
            [label.score_ratio for label in answered.answer.labels], (raised / raised.sum())[order], rtol=1e-4
        )
        assert answered.picture is None


def test_no_picture_is_kept_once_its_answer_was_let_go(bench, photos):
    bench.start("edge")
    stream = bench.stream()
    pictures: list[weakref.ref] = []

    def frames():
        for photo in photos[:12]:
            picture = photo.copy()
            pictures.append(weakref.ref(picture))
            yield picture
            del picture

    for result in stream.run(frames(), keep_pictures=True):
        assert result.picture is not None
        assert result.picture is pictures[result.frame]()
    del result
    gc.collect()
    assert [picture() for picture in pictures] == [None] * 12


def test_leaving_early_closes_every_place_with_what_was_answered(bench, photos, tmp_path):
    bench.start("edge")
    stream = bench.stream()
    with seamline.answers(stream, photos, save=[str(tmp_path / "r.npz"), str(tmp_path / "r.jsonl")]) as answers:
        for answered in answers:
            if answered.number == 3:
                break
    assert list(np.load(tmp_path / "r.npz")["answers"]) == [0, 1, 2, 3]
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 4


def test_a_head_that_does_not_fit_is_refused_before_any_frame(bench, photos):
    bench.start("edge")
    stream = bench.stream()
    with pytest.raises(UsageError, match="cannot be read as `detect`"):
        seamline.answers(stream, photos, head="detect")


def test_outputs_that_cannot_be_read_are_that_frames_error(bench, caplog):
    reader = AnswerReader(bench.model, head="classify")
    plan = seamline.Plan.parse("edge[0:2]")
    odd = Result(frame=3, outputs={}, latency_s=0.1, accepted_s=0.0, plan=plan, generation=0, reports=(), n_attempts=1)
    for _ in range(2):
        answered = reader.read(odd)
        assert answered.answer is None
        assert answered.error == "the outputs cannot be read as classify: KeyError: 'scores'"
    assert caplog.text.count("cannot be read as classify") == 1
