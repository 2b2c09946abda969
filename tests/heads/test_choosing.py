"""Claims about which head a model gets, and about the names of its classes."""

from __future__ import annotations

import json

import pytest

from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.heads.choosing import choose_head
from seamline.heads.facts import ModelFacts
from seamline.heads.names import ClassNames, names_in, read_names

COCO = ClassNames(names={index: f"c{index}" for index in range(80)})
NONE = ClassNames(names={})


def facts(*shapes, names=NONE, size=(640, 640), op="", dtype="float32", **metadata) -> ModelFacts:
    outputs = tuple(TensorSpec(name=f"out{at}", dtype=dtype, shape=shape) for at, shape in enumerate(shapes))
    ops = {spec.name: op for spec in outputs}
    return ModelFacts(outputs=outputs, height=size[0], width=size[1], names=names, metadata=metadata, last_ops=ops)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (facts((1, 84, 8400)), "detect (YOLOv8 layout)"),
        (facts((1, 8400, 84), names=COCO), "detect (YOLOv8 layout)"),
        (facts((1, 85, 8400), names=COCO), "detect (YOLOX layout)"),
        (facts((1, 25200, 85)), "detect (YOLOv5 layout)"),
        (facts((1, 8400, 85)), "detect (YOLOX layout)"),
        (facts((1, 116, 8400), (1, 32, 160, 160)), "detect (YOLOv8 layout with masks)"),
        (facts((1, 25200, 117), (1, 32, 160, 160)), "detect (YOLOv5 layout with masks)"),
        (facts((1, 300, 38), (1, 32, 160, 160)), "detect (boxes without overlaps)"),
        (facts((1, 300, 6)), "detect (boxes without overlaps)"),
        (facts((1, 300, 84), names=COCO), "detect (RT-DETR layout)"),
        (facts((1, 300, 84), task="detect"), "detect (RT-DETR layout)"),
        (facts((1, 300, 80), (1, 300, 4)), "detect (DETR layout)"),
        (facts((1, 8400, 4), (1, 8400, 80)), "detect (boxes and scores)"),
        (facts((1, 4, 8400), (1, 80, 8400)), "detect (boxes and scores)"),
        (facts((1, 80, 8400), (1, 4, 8400)), "detect (boxes and scores)"),
        (facts((1, 64, 8400), (1, 80, 8400)), "raw"),
        (facts((1, 8400, 4), (1, 8400, 1), (1, 8400, 80)), "raw"),
        (facts((1, 84, 8400), (1, 84, 8400)), "detect (YOLOv8 layout)"),
        (facts((1, 25200, 85), (1, 3, 80, 80, 85), (1, 3, 40, 40, 85), (1, 3, 20, 20, 85)), "detect (YOLOv5 layout)"),
        (facts((1, 84, 756), size=(192, 192)), "detect (YOLOv8 layout)"),
        (facts((1, 1000)), "classify"),
        (facts((1, 1000, 1, 1)), "classify"),
        (facts((1, 12), size=(0, 0)), "classify"),
        (facts((1, 80), (1, 512), names=COCO), "classify"),
        (facts((1, 80), (1, 512)), "raw"),
        (facts((1,), (1, 12), size=(0, 0)), "classify"),
        (facts((1, 300, 84)), "raw"),
        (facts((1, 197, 768)), "raw"),
        (facts((1, 300, 6), size=(0, 0)), "raw"),
        (facts((1, 1)), "raw"),
        (facts((1, 3, 640, 640), op="Conv"), "raw"),
        (facts((1, 2048, 20, 20), op="Relu"), "raw"),
        (facts((1, 1, 640, 640), op="Conv"), "raw"),
        (facts((1, 1, 640, 640), op="Sigmoid"), "segment"),
        (facts((1, 21, 640, 640), op="Resize"), "segment"),
        (facts((1, 80, 160, 160), names=COCO), "segment"),
        (facts((1, 640, 640), op="ArgMax", dtype="int64"), "segment"),
        (facts((1, 20, 8400), task="obb"), "raw"),
        (facts((1, 80), task="classify"), "classify"),
        (facts((1, 19, 160, 160), task="segment"), "segment"),
    ],
)
def test_the_head_follows_from_metadata_names_and_shapes(model, words):
    chosen = choose_head(model)
    assert chosen.head.words == words
    assert chosen.reason


@pytest.mark.parametrize(
    ("model", "n_classes"),
    [
        (facts((1, 1000), names=COCO), 1000),
        (facts((1, 95, 8400), names=COCO), 91),
        (facts((1, 300, 91), (1, 300, 4), names=COCO), 91),
        (facts((1, 21, 640, 640), names=COCO, op="Resize"), 21),
    ],
)
def test_names_that_are_not_as_many_as_classes_raise_a_doubt(model, n_classes):
    assert choose_head(model).doubt == f"there are 80 class names for {n_classes} classes: names may be shifted"


def test_rows_whose_count_the_frame_decides_are_no_vector():
    spec = TensorSpec(name="rows", dtype="float32", shape=(1, 7), is_open=True)
    assert choose_head(ModelFacts(outputs=(spec,), height=64, width=64)).head.words == "raw"
    known = ModelFacts(outputs=(spec,), height=64, width=64, metadata={"task": "detect"})
    assert choose_head(known).head.words == "detect (boxes without overlaps)"


def test_what_the_user_names_goes_before_the_file():
    assert choose_head(facts((1, 84, 8400), task="detect"), "raw").head.words == "raw"


@pytest.mark.parametrize(
    ("wanted", "words"), [("classify", "cannot be read as `classify`"), ("boxes", "`boxes` is not a head")]
)
def test_a_head_that_does_not_fit_is_refused_with_what_is_there(wanted, words):
    with pytest.raises(UsageError, match=words):
        choose_head(facts((1, 84, 8400)), wanted)


@pytest.mark.parametrize("wanted", ["detect", "segment"])
def test_a_vector_is_neither_boxes_nor_a_map(wanted):
    with pytest.raises(UsageError, match=r"out0 float32\[1, 1000\]"):
        choose_head(facts((1, 1000)), wanted)


@pytest.mark.parametrize(
    ("key", "text", "names"),
    [
        ("names", "{0: 'person', 1: 'car'}", {0: "person", 1: "car"}),
        ("names", "['person', 'car']", {0: "person", 1: "car"}),
        ("seamline.labels", '["person", "car"]', {0: "person", 1: "car"}),
        ("id2label", '{"0": "person", "17": "car"}', {0: "person", 17: "car"}),
        ("classes", "person, car", {0: "person", 1: "car"}),
        ("names", "__import__('os').system('true')", {}),
        ("names", "{'a': 'b'}", {}),
        ("author", "['person']", {}),
    ],
)
def test_names_in_metadata_are_read_and_never_run(key, text, names):
    assert names_in({key: text}).names == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("person\nsports ball\ncar\n\n", {0: "person", 1: "sports ball", 2: "car"}),
        ("\ufeffperson\r\ncar\r\n", {0: "person", 1: "car"}),
        ("0 person\n2: car\n", {0: "person", 2: "car"}),
        ("100 metres\n50 metres\n", {0: "100 metres", 1: "50 metres"}),
        ('["a", "b"]', {0: "a", 1: "b"}),
        ('{"id2label": {"0": "a", "1": "b"}, "model_type": "detr"}', {0: "a", 1: "b"}),
        ('{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}', {0: "tench", 1: "goldfish"}),
        ("path: coco\nnames:\n  0: person\n  1: traffic light\nnc: 2\n", {0: "person", 1: "traffic light"}),
        ("names:\n- person\n- 'traffic light'\n", {0: "person", 1: "traffic light"}),
        ("nc: 2\nnames: ['person', 'car']  # two\n", {0: "person", 1: "car"}),
        ("names: [person, car]\n", {0: "person", 1: "car"}),
    ],
)
def test_a_labels_file_may_be_lines_json_or_yolo_data(tmp_path, text, names):
    path = tmp_path / "labels"
    path.write_bytes(text.encode())
    assert read_names(path).names == names
    assert read_names(path).name(99) == "class 99"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", json.dumps({"a": 1}).encode()])
def test_a_labels_file_without_names_is_refused(tmp_path, content):
    path = tmp_path / "labels"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="class names"):
        read_names(path)
    with pytest.raises(UsageError, match="there is no file"):
        read_names(tmp_path / "missing")
