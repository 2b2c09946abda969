"""What exporters write is read: each fixture has the form of the exporter's own files, shortened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import ModelProto, TensorProto, helper

from seamline.core.vocabulary.pictures import Fit
from seamline.model import ModelStore
from seamline.model.metadata.exported import exported_with
from seamline.model.metadata.recipe import PRESETS

ULTRALYTICS = {
    "description": "Ultralytics YOLO11n model trained on coco.yaml", "author": "Ultralytics", "stride": "32",
    "task": "detect", "batch": "1", "imgsz": "[480, 640]", "names": "{0: 'person', 1: \"bicyclist's bag\", 2: 'car'}",
    "args": "{'dynamic': True}", "channels": "3", "end2end": "False",
}  # fmt: skip
VIT = {
    "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "ViTImageProcessor", "image_std": [0.5, 0.5, 0.5], "resample": 2,
    "rescale_factor": 0.00392156862745098, "size": {"height": 224, "width": 224},
}  # fmt: skip
CONVNEXT = {
    "crop_pct": 0.875, "do_center_crop": True, "crop_size": {"height": 224, "width": 224}, "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 3,
    "size": {"shortest_edge": 256},
}  # fmt: skip
CONVNEXT_OWN = {
    "crop_pct": 0.875, "do_normalize": True, "do_rescale": True, "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "ConvNextImageProcessor", "image_std": [0.229, 0.224, 0.225],
    "size": {"shortest_edge": 224},
}  # fmt: skip
DETR = {
    "do_normalize": True, "do_pad": True, "do_resize": True, "feature_extractor_type": "DetrFeatureExtractor",
    "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
    "size": {"longest_edge": 1333, "shortest_edge": 800},
}  # fmt: skip


@pytest.fixture
def model(make_model: Callable[..., ModelProto]) -> ModelProto:
    """The mean of a picture of any size."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], keepdims=0, name="mean")]
    return make_model(nodes, [], inputs={"x": (TensorProto.FLOAT, ["n", 3, "h", "w"])}, outputs=["y"])


def with_metadata(model: ModelProto, said: dict[str, str]) -> ModelProto:
    for key, value in said.items():
        model.metadata_props.add(key=key, value=value)
    return model


def test_ultralytics_detectors_are_letterboxed_to_their_size(model, save, store: ModelStore):
    stored = store.add(save(with_metadata(model, ULTRALYTICS)))
    found = stored.preprocess
    assert found is not None
    assert (found.height, found.width, found.std, found.pad, found.fit, found.resample) == (
        480, 640, (255.0,) * 3, 114, Fit.LETTERBOX, "linear",
    )  # fmt: skip
    assert stored.labels() == ("person", "bicyclist's bag", "car")
    assert stored.task == "detect"
    again = ModelStore(store.root).get(stored.model_id)
    assert (again.labels(), again.task) == (stored.labels(), stored.task)


def test_ultralytics_classifiers_are_cropped_and_yolov5_says_less(model):
    said = exported_with(with_metadata(model, {**ULTRALYTICS, "task": "classify"}), Path("m.onnx"))
    assert (said.task, said.frame.fit, said.frame.mean) == ("classify", Fit.CROP, (0.0,) * 3)
    old = with_metadata(ModelProto(), {"stride": "32", "names": "['person', 'car']"})
    said = exported_with(old, Path("m.onnx"))
    assert (said.task, said.labels, said.frame.height, said.frame.fit) == (
        "detect", ("person", "car"), None, Fit.LETTERBOX,
    )  # fmt: skip


def test_a_size_from_the_first_frame_is_a_multiple_of_the_stride(model, save, store: ModelStore):
    said = {key: value for key, value in ULTRALYTICS.items() if key != "imgsz"}
    stored = store.add(save(with_metadata(model, said)), frame_size=(270, 480))
    assert stored.inputs[0].shape == (288, 480, 3)
    assert store.add(save(model), shapes={"x": (1, 3, 64, 96)}).inputs[0].shape == (64, 96, 3)


@pytest.mark.parametrize(
    "names",
    ["{0: 'a', 2: 'b'}", "__import__('os').getcwd()", "[" * 5000, "{}", "7", "{0: 'a'", "{'a': 0}", "-" * 99_999 + "1"],
)
def test_names_that_cannot_be_meant_are_left_out(model, names):
    said = exported_with(with_metadata(model, {**ULTRALYTICS, "names": names}), Path("m.onnx"))
    assert said.labels is None
    assert said.frame is not None


def test_an_input_of_fixed_size_goes_before_the_size_that_was_trained_at(make_model, save, store: ModelStore):
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], keepdims=0)]
    model = make_model(nodes, [], inputs={"x": (TensorProto.FLOAT, [1, 3, 320, 320])}, outputs=["y"])
    stored = store.add(save(with_metadata(model, ULTRALYTICS)))
    assert stored.preprocess is not None
    assert (stored.preprocess.height, stored.preprocess.width) == (320, 320)


@pytest.mark.parametrize("folder", ["", "onnx"])
@pytest.mark.parametrize(
    ("config", "fit", "size", "crop_ratio"),
    [
        (VIT, Fit.STRETCH, (224, 224), 1.0),
        (CONVNEXT, Fit.CROP, (224, 224), 0.875),
        (CONVNEXT_OWN, Fit.CROP, (224, 224), 0.875),
        ({**CONVNEXT_OWN, "size": {"shortest_edge": 384}}, Fit.STRETCH, (384, 384), 1.0),
    ],
)
def test_hugging_face_files_beside_or_above_say_it(model, save, tmp_path, store, folder, config, fit, size, crop_ratio):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    labels = {"0": "tench", "1": "goldfish"}
    (tmp_path / "config.json").write_text(
        json.dumps({"architectures": ["ViTForImageClassification"], "id2label": labels})
    )
    (tmp_path / "onnx").mkdir()
    path = save(model).rename(tmp_path / folder / "model.onnx")
    stored = store.add(path)
    found = stored.preprocess
    assert found is not None
    assert ((found.height, found.width), found.fit, found.crop_ratio) == (size, fit, crop_ratio)
    assert found.mean == pytest.approx([255 * number for number in config["image_mean"]])
    assert found.std == pytest.approx([255 * number for number in config["image_std"]])
    assert (stored.labels(), stored.task) == (("tench", "goldfish"), "classify")


def test_hugging_face_detectors_keep_the_aspect_and_are_padded_with_the_mean(model, tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(DETR))
    found = exported_with(model, tmp_path / "m.onnx").frame
    assert found is not None
    assert (found.fit, found.is_centred, found.height, found.pad) == (Fit.LETTERBOX, False, None, 114)


def test_timm_says_all_in_one_file(model, tmp_path):
    cfg = {"input_size": [3, 288, 288], "mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 0.95, "crop_mode": "center"}
    config = {"architecture": "resnet50", "num_classes": 2, "label_names": ["a", "b"], "pretrained_cfg": cfg}
    (tmp_path / "config.json").write_text(json.dumps(config))
    said = exported_with(model, tmp_path / "m.onnx")
    assert said.frame is not None
    assert (said.frame.height, said.frame.crop_ratio, said.frame.mean) == (288, 0.95, (127.5,) * 3)
    assert (said.labels, said.task) == (("a", "b"), "classify")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"image_mean": "red", "do_normalize": true, "image_std": [0, 0, 0]}',
        '{"sampling_rate": 16000, "do_normalize": true}',
    ],
)
def test_files_that_say_nothing_of_pictures_are_left_out(model, tmp_path, text):
    (tmp_path / "preprocessor_config.json").write_text(text)
    assert exported_with(model, tmp_path / "m.onnx").frame is None


@pytest.mark.parametrize(
    ("classes", "preset", "task"),
    [
        ("['torchvision.models.resnet.ResNet', 'aten.conv2d.default']", "imagenet", "classify"),
        ("['torchvision.models.segmentation.fcn.FCN', 'aten.conv2d.default']", "imagenet", "segment"),
        ("['torchvision.models.detection.ssd.SSD', 'aten.conv2d.default']", "unit", "detect"),
        ("['torchvision.models.video.resnet.VideoResNet', 'aten.conv3d.default']", None, None),
        ("['__main__.Net', 'torchvision.models.resnet.ResNet', 'aten.conv2d.default']", None, None),
        ("['torchvision.models.resnetty.Fake']", None, None),
    ],
)  # fmt: skip
def test_torchvision_models_are_known_by_their_outermost_class(model, classes, preset, task):
    model.graph.node[0].metadata_props.add(key="pkg.torch.onnx.class_hierarchy", value=classes)
    said = exported_with(model, Path("m.onnx"))
    assert (said.frame, said.task) == (None if preset is None else PRESETS[preset], task)


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("mobilenetv2_1.00_224", "symmetric"), ("resnet50", "caffe"), ("resnet50v2", "symmetric"), ("vgg16", "caffe"),
        ("densenet121", "imagenet"), ("efficientnetb0", "raw"), ("efficientnetv2-s", "raw"),
        ("model/resnet50/conv1", "caffe"),
        ("MobilenetV3large", "raw"), ("my_resnet50_head", None), ("resnet5000", None), ("model", None),
    ],
)  # fmt: skip
def test_keras_applications_are_known_by_their_name(model, name, preset):
    model.producer_name = "tf2onnx"
    model.graph.name = name
    frame = exported_with(model, Path("m.onnx")).frame
    assert (None if frame is None else (frame.mean, frame.std)) == (
        None if preset is None else (PRESETS[preset].mean, PRESETS[preset].std)
    )
    model.graph.node[0].name = f"{name}/batch_normalization_1/mul"
    assert (exported_with(model, Path("m.onnx")).frame is None) == (preset is None)
    model.graph.node[0].name = "model/rescaling_1/mul"  # a user's own, before the network
    assert (exported_with(model, Path("m.onnx")).frame is None) == (preset != "raw")
    model.producer_name = "pytorch"
    assert exported_with(model, Path("m.onnx")).frame is None


@pytest.mark.parametrize(
    ("said", "channels", "std"),
    [
        ({"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "NominalRange_0_255"}, "bgr", 1.0),
        ({"Image.BitmapPixelFormat": "Rgb8", "Image.NominalPixelRange": "Normalized_0_1"}, "rgb", 255.0),
        ({"image.nominalpixelrange": "normalized_1_1"}, "rgb", 127.5),
    ],
)  # fmt: skip
def test_the_standards_own_image_metadata_is_read(model, said, channels, std):
    frame = exported_with(with_metadata(model, said), Path("m.onnx")).frame
    assert frame is not None
    assert (frame.channels, frame.std) == (channels, (std,) * 3)
    model.metadata_props[0].value = "Rgba8"
    assert exported_with(model, Path("m.onnx")).frame is None


def test_a_model_that_takes_no_picture_is_left_as_it_is(make_model, save, store: ModelStore):
    """A text model in the folder of a vision model must not become one."""
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    inputs = {"a": (TensorProto.FLOAT, [1, 5]), "b": (TensorProto.FLOAT, [1, 5])}
    path = save(make_model(nodes, [], inputs=inputs, outputs=["y"]))
    path.with_name("preprocessor_config.json").write_text(json.dumps(VIT))
    assert store.add(path).preprocess is None
    relu = helper.make_node("Relu", ["a"], ["y"])
    one = make_model([relu], [], inputs={"a": (TensorProto.FLOAT, [1, 5])}, outputs=["y"])
    assert store.add(save(one, "one")).preprocess is None
