"""`inspect`, `verify` and `zoo`: what they print, and what they say to bad input."""

from __future__ import annotations

import re
from dataclasses import asdict

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from seamline.cli.reference import undocumented_keys
from seamline.cli.shared.model_flags import parse_shapes, parse_values
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.quantities import bytes_text, macs_text
from seamline.model.engine import original, plain_run
from seamline.model.engine.providers import look

pytestmark = pytest.mark.usefixtures("file_in_this_process")
MACS_PER_CONV = {"conv1": 16 * 16 * 4 * 3 * 9, "conv2": 16 * 16 * 8 * 4 * 9}


@pytest.fixture
def file_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """`verify` runs the file here: in a process of its own it is run by tests/model/engine/test_original.py."""
    monkeypatch.setattr(original, "run_file", lambda request, tensors: plain_run._all_runs(asdict(request), tensors))


def test_inspect_lists_every_cut_with_what_crosses_it(seamline, model_path):
    outcome = seamline("inspect", str(model_path), "--json")
    data = outcome.json
    assert outcome.exit_code == 0
    assert undocumented_keys("inspect", data) == set()
    cuts = data["cuts"]
    assert [cut["index"] for cut in cuts] == list(range(6))
    assert cuts[0]["tensors"] == [{"name": "image", "dtype": "float32", "shape": [1, 3, 16, 16]}]
    assert cuts[0]["bytes"] == 3 * 16 * 16 * 4
    assert cuts[-1]["bytes"] == 8 * 4
    assert data["model"]["macs"] >= sum(MACS_PER_CONV.values())
    assert all(cut["macs_before"] + cut["macs_after"] == data["model"]["macs"] for cut in cuts)


def test_inspect_says_from_where_on_less_crosses_than_the_picture(seamline, model_path):
    said = " ".join(seamline("inspect", str(model_path), "--preprocess", "unit").stdout.split())
    assert re.search(r"less than the picture, 768 B, (first at cut \d+|at no cut)", said), said
    assert "less than its JPEG, about 128 B, " in said


def test_inspect_prints_a_table_that_names_the_layers(seamline, model_path):
    outcome = seamline("inspect", str(model_path))
    assert outcome.exit_code == 0
    assert "conv2" in outcome.stdout
    assert "image float32[1x3x16x16]" in outcome.stdout


def test_candidates_are_a_part_of_all_cuts_and_keep_both_ends(seamline, model_path):
    every = seamline("inspect", str(model_path), "--json").json["cuts"]
    some = seamline("inspect", str(model_path), "--candidates", "--json").json["cuts"]
    assert some == [cut for cut in every if cut["is_candidate"]]
    assert {0, every[-1]["index"]} <= {cut["index"] for cut in some}


def test_an_open_axis_is_named_and_can_be_fixed(seamline, open_model_path):
    refused = seamline("inspect", str(open_model_path))
    assert refused.exit_code in (1, 2)
    assert "height" in refused.stderr or "image" in refused.stderr
    fixed = seamline("inspect", str(open_model_path), "--shape", "image=1,3,8,8", "--json")
    assert fixed.json["cuts"][0]["bytes"] == 3 * 8 * 8 * 4


def test_verify_tries_every_cut_and_finds_no_deviation(seamline, model_path):
    outcome = seamline("verify", str(model_path), "--json", "--threads", "1")
    data = outcome.json
    assert outcome.exit_code == 0
    assert undocumented_keys("verify", data) == set()
    assert data["n_cuts"] == data["n_verified"] == 6
    assert [cut["cut"] for cut in data["cuts"]] == list(range(6))
    assert all(cut["prepare_s"] > 0.0 for cut in data["cuts"])
    assert (data["n_constant_weights"], data["uncut_deviation"]) == (0, None)
    assert data["failed"] == []
    assert data["max_relative_error"] <= data["tolerance"]


def test_verify_says_in_words_that_all_cuts_are_good(seamline, model_path):
    outcome = seamline("verify", str(model_path), "--threads", "1")
    assert outcome.exit_code == 0
    assert "6 cuts" in outcome.stdout
    assert "all within 1.0e-04" in outcome.stdout


@pytest.mark.needs("openvino")
def test_two_providers_are_compared_whole_and_at_every_cut(seamline, model_path):
    outcome = seamline("verify", str(model_path), "--provider", "openvino", "--against", "cpu", "--json")
    assert outcome.exit_code == 0
    data = outcome.json
    assert undocumented_keys("verify", data) == set()
    assert data["engine"].startswith("openvino ")
    assert data["against"].startswith("onnxruntime ")
    assert data["n_verified"] == data["n_cuts"]
    assert data["cuts"][0]["bit_equal"], "at the first cut all of it runs on the other one"
    assert data["max_relative_error"] < 1e-5


@pytest.mark.parametrize("command", ["verify", "profile"])
def test_figures_are_not_made_with_another_provider_than_was_asked_for(seamline, model_path, command, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    look.cache_clear()
    outcome = seamline(command, str(model_path), "--provider", "cuda")
    look.cache_clear()
    assert outcome.exit_code == 2
    error, hint = outcome.stderr.splitlines()
    assert error.startswith("error: `cuda` cannot be used: this ONNX Runtime ")
    assert "onnxruntime-gpu" in hint


def test_verify_fails_with_a_list_when_a_cut_deviates(seamline, model_path, monkeypatch):
    from seamline.model.engine import verify
    from seamline.model.engine.verify import CutCheck

    def deviating(*_args, **_kwargs):
        yield CutCheck(cut=0, max_relative_error=0.0, bit_equal=True, prepare_s=0.0, error=None)
        yield CutCheck(cut=3, max_relative_error=0.5, bit_equal=False, prepare_s=0.0, error=None)
        yield CutCheck(cut=4, max_relative_error=0.0, bit_equal=False, prepare_s=0.0, error="no kernel")

    monkeypatch.setattr(verify, "verify_cuts", deviating)
    outcome = seamline("verify", str(model_path), "--json")
    assert outcome.exit_code == 1
    assert undocumented_keys("verify", outcome.json) == set()
    assert [(cut["cut"], cut["max_relative_error"]) for cut in outcome.json["failed"]] == [(3, 0.5), (4, None)]
    assert outcome.json["worst_cut"] == 3
    table = seamline("verify", str(model_path))
    assert table.exit_code == 1
    assert "2 FAILED" in table.stdout
    assert "no kernel" in table.stdout


def test_verify_warns_of_constant_weights_and_reseeds_them(seamline, model_path):
    model = onnx.load(str(model_path))
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(np.full(tuple(tensor.dims), 0.5, np.float32), tensor.name))
    onnx.save(model, str(model_path))
    warned = seamline("verify", str(model_path), "--json")
    assert warned.json["n_constant_weights"] == 2
    assert "2 weights are constants" in warned.stderr
    assert "--reseed" in warned.stderr
    reseeded = seamline("verify", str(model_path), "--reseed", "--json")
    assert (reseeded.json["n_constant_weights"], reseeded.json["reseeded"]) == (0, True)
    assert reseeded.stderr == ""
    assert reseeded.json["model"]["id"] != warned.json["model"]["id"]
    again = seamline("verify", str(model_path), "--reseed", "--json")
    assert again.json["model"]["id"] == reseeded.json["model"]["id"]


def test_a_deviation_that_the_uncut_model_shows_as_well_is_no_failure(seamline, tmp_path):
    """sin(50 x) of a sum: one rounding of the sum moves the result by 50 roundings, cut or not."""
    random = np.random.default_rng(3)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="sum"),
        helper.make_node("Mul", ["a", "big"], ["b"], name="scale"),
        helper.make_node("Sin", ["b"], ["y"], name="wave"),
    ]
    weights = [
        numpy_helper.from_array(random.normal(0, 1, (512, 8)).astype(np.float32), "w"),
        numpy_helper.from_array(np.float32(50.0).reshape(()), "big"),
    ]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name, shape in (("x", [1, 512]), ("y", [1, 8]))
    ]
    path = tmp_path / "steep.onnx"
    graph = helper.make_graph(nodes, "steep", *ends, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    from seamline.model import ModelStore
    from seamline.model.engine.verify import uncut_deviation

    stored = ModelStore(tmp_path / "store").add(path)
    assert 1e-5 < uncut_deviation(stored) < 1e-2
    outcome = seamline("verify", str(path), "--tolerance", "0", "--json")
    assert outcome.exit_code == 0
    assert outcome.json["failed"] == []


def test_verify_looks_at_the_file_itself_and_says_so(seamline, model_path):
    good = seamline("verify", str(model_path), "--json")
    assert (good.exit_code, good.json["differs"]) == (0, [])
    assert good.json["file"]["error"] is None
    assert good.json["file"]["whole_error"] <= good.json["tolerance"]
    assert "within" in seamline("verify", str(model_path)).stdout.splitlines()[-1]
    assert seamline("verify", str(model_path), "--reseed", "--json").json["file"] is None


def test_verify_fails_when_the_whole_differs_from_its_file(seamline, model_path, monkeypatch):
    from seamline.model.engine.original import FileCheck

    def told(**errors):
        monkeypatch.setattr(original, "check_file", lambda *_args, **_kwargs: FileCheck(n_compared=1, **errors))
        return seamline("verify", str(model_path), "--json"), seamline("verify", str(model_path))

    whole, words = told(optimised_error=1e-7, whole_error=0.5, unoptimised_whole_error=0.5)
    assert (whole.exit_code, whole.json["differs"]) == (1, ["whole"])
    assert "reads this file wrongly" in words.stdout
    theirs, words = told(optimised_error=0.5, whole_error=0.0, unoptimised_whole_error=0.5)
    assert (theirs.exit_code, theirs.json["differs"]) == (1, ["file", "whole"])
    assert "it does as the optimised file" in words.stdout
    file, words = told(optimised_error=0.5, whole_error=0.5, unoptimised_whole_error=1e-7)
    assert (file.exit_code, file.json["differs"]) == (0, ["file"])
    assert "ONNX Runtime's own optimisation" in words.stdout
    silent, words = told(error="no such operator")
    assert (silent.exit_code, silent.json["differs"]) == (0, [])
    assert "not compared with the file itself: no such operator" in words.stdout


def test_verify_names_outputs_that_are_random(seamline, tmp_path):
    nodes = [helper.make_node("RandomUniformLike", ["x"], ["n"]), helper.make_node("Add", ["x", "n"], ["y"])]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64])] for name in "xy"]
    path = tmp_path / "noise.onnx"
    graph = helper.make_graph(nodes, "noise", *ends)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    outcome = seamline("verify", str(path), "--json")
    assert (outcome.exit_code, outcome.json["random_outputs"], outcome.json["failed"]) == (0, ["y"], [])
    assert "random: the model draws `y` anew" in seamline("verify", str(path)).stdout


def test_a_float16_model_may_deviate_by_as_much_as_it_does_uncut(seamline, tmp_path):
    random, nodes, weights, last = np.random.default_rng(0), [], [], "x"
    for i in range(6):
        weights.append(numpy_helper.from_array((random.normal(0, 0.12, (16, 16, 3, 3))).astype(np.float16), f"w{i}"))
        nodes.append(helper.make_node("Conv", [last, f"w{i}"], [f"c{i}"], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
        last = f"r{i}"
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT16, [1, 16, 16, 16])] for name in ("x", last)]
    path = tmp_path / "half.onnx"
    graph = helper.make_graph(nodes, "half", *ends, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    outcome = seamline("verify", str(path), "--json")
    assert (outcome.exit_code, outcome.json["differs"], outcome.json["failed"]) == (0, [], [])
    assert outcome.json["uncut_deviation"] is None or outcome.json["uncut_deviation"] < 0.02


def test_verify_tries_the_cuts_that_were_asked_for(seamline, model_path):
    some = seamline("verify", str(model_path), "--cuts", "1,4", "--json").json
    assert [cut["cut"] for cut in some["cuts"]] == [1, 4]
    candidates = seamline("inspect", str(model_path), "--candidates", "--json").json["cuts"]
    tried = seamline("verify", str(model_path), "--cuts", "candidates", "--json").json["cuts"]
    assert [cut["cut"] for cut in tried] == [cut["index"] for cut in candidates]
    for wrong in ("9", "some"):
        refused = seamline("verify", str(model_path), "--cuts", wrong)
        assert refused.exit_code == 2
        assert wrong in refused.stderr


def test_a_file_that_is_not_onnx_is_refused_in_two_lines(seamline, tmp_path):
    path = tmp_path / "notes.onnx"
    path.write_text("dear diary", encoding="utf-8")
    outcome = seamline("inspect", str(path))
    assert outcome.exit_code in (1, 2)
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("error: ")
    assert "notes.onnx" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert len(outcome.stderr.splitlines()) <= 2


def test_an_operator_that_no_engine_knows_is_named(seamline, tmp_path, model_path):
    model = onnx.shape_inference.infer_shapes(onnx.load(str(model_path)))
    model.graph.node[1].op_type = "Frobnicate"
    path = tmp_path / "odd.onnx"
    onnx.save(model, str(path))
    outcome = seamline("inspect", str(path))
    assert outcome.exit_code == 1
    assert "Frobnicate" in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize(
    ("typed", "advice"),
    [("vgg91", "did you mean `vgg19`?"), ("missing.onnx", "zoo list"), ("mobilnetv2", "did you mean `mobilenetv2`?")],
)
def test_a_model_that_is_nowhere_gets_the_nearest_name(seamline, typed, advice):
    outcome = seamline("inspect", typed, "--json")
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    assert advice in outcome.stderr


def test_a_misspelt_file_gets_the_one_beside_it(seamline, model_path):
    outcome = seamline("inspect", str(model_path.with_name("tinny.onnx")))
    assert outcome.exit_code == 2
    assert str(model_path) in outcome.stderr


def test_a_folder_is_not_a_model(seamline, tmp_path):
    outcome = seamline("inspect", str(tmp_path))
    assert outcome.exit_code == 2
    assert "is a folder" in outcome.stderr


def test_zoo_list_names_all_six_models(seamline):
    data = seamline("zoo", "list", "--json").json
    assert undocumented_keys("zoo list", data) == set()
    names = {model["name"] for model in data["models"]}
    assert {"alexnet", "vgg16", "vgg19", "mobilenetv2", "resnet50", "efficientnet-lite0"} <= names
    assert not any(model["is_cached"] for model in data["models"])
    assert "mobilenetv2" in seamline("zoo", "list").stdout


def test_zoo_build_writes_a_model_that_onnx_accepts(seamline, tmp_path):
    path = tmp_path / "out" / "m.onnx"
    outcome = seamline("zoo", "build", "mobilenetv2", "-o", str(path), "--json")
    assert outcome.exit_code == 0
    assert undocumented_keys("zoo build", outcome.json) == set()
    assert outcome.json["bytes"] == path.stat().st_size
    onnx.checker.check_model(str(path))
    assert [file.name for file in path.parent.iterdir()] == ["m.onnx"]


def test_building_never_replaces_what_is_not_a_file(seamline, tmp_path):
    outcome = seamline("zoo", "build", "mobilenetv2", "-o", str(tmp_path))
    assert outcome.exit_code == 2
    assert "is not a file" in outcome.stderr
    assert tmp_path.is_dir()


def test_the_cut_table_stays_readable_in_forty_columns(seamline, model_path, monkeypatch):
    cuts = seamline("inspect", str(model_path), "--json").json["cuts"]
    monkeypatch.setenv("COLUMNS", "40")
    lines = seamline("inspect", str(model_path)).stdout.splitlines()
    assert max(map(len, lines)) <= 40
    (row,) = [line for line in lines if " conv2 " in line]
    (cut,) = [cut for cut in cuts if cut["after"] == "conv2"]
    assert row.endswith(macs_text(cut["macs_before"]))
    assert bytes_text(cut["bytes"]) in row


def test_an_unknown_zoo_name_leaves_no_file(seamline, tmp_path):
    path = tmp_path / "m.onnx"
    outcome = seamline("zoo", "build", "resnet51", "-o", str(path))
    assert outcome.exit_code == 2
    assert "did you mean `resnet50`?" in outcome.stderr
    assert not path.exists()


@pytest.mark.parametrize("text", ["1,3", "image=", "image=1,x", "=1,2", "image=-1,3", "image=-1"])
def test_a_malformed_shape_is_wrong_use(text):
    with pytest.raises(UsageError, match="is not a shape"):
        parse_shapes([text])


def test_shapes_are_read_with_commas_or_crosses():
    assert parse_shapes(["a=1,2", "b=3x4", "past=1,8,0,64"]) == {"a": (1, 2), "b": (3, 4), "past": (1, 8, 0, 64)}


def test_flags_say_how_a_frame_becomes_the_input(seamline, open_model_path):
    flags = ("--size", "8x12", "--mean", "124,116,104", "--std", "58")
    data = seamline("inspect", str(open_model_path), *flags, "--json").json
    assert undocumented_keys("inspect", data) == set()
    assert data["model"]["frame"] == {
        "height": 8, "width": 12, "layout": "nchw", "mean": [124.0, 116.0, 104.0], "std": [58.0, 58.0, 58.0],
        "dtype": "float32", "channels": "rgb", "fit": "crop", "pad": 0, "resample": "area", "crop_ratio": 1.0,
        "is_centred": True, "input": "",
    }  # fmt: skip
    assert data["cuts"][0]["tensors"][0]["shape"] == [1, 3, 8, 12]
    assert seamline("verify", str(open_model_path), *flags, "--json").json["failed"] == []


@pytest.mark.parametrize(
    "flags",
    [
        ("--size", "8"), ("--size", "0x4"), ("--layout", "cwh"), ("--mean", "1,2"), ("--std", "red"),
        ("--preprocess", "imagnet"), ("--fit", "squeeze"), ("--channels", "rbg"),
    ],
)  # fmt: skip
def test_malformed_frame_flags_are_wrong_use(seamline, open_model_path, flags):
    outcome = seamline("inspect", str(open_model_path), *flags)
    assert outcome.exit_code == 2
    assert flags[1] in outcome.stderr


def test_a_preset_a_fit_and_colours_are_flags_of_every_command_that_takes_a_picture(seamline, open_model_path):
    flags = ("--size", "8x12", "--preprocess", "yolo", "--fit", "stretch", "--channels", "bgr")
    frame = seamline("inspect", str(open_model_path), *flags, "--json").json["model"]["frame"]
    assert (frame["std"], frame["fit"], frame["pad"], frame["channels"]) == ([255.0] * 3, "stretch", 114, "bgr")
    assert seamline("verify", str(open_model_path), *flags, "--json").json["failed"] == []
    said = seamline("inspect", str(open_model_path), *flags).stdout
    assert "pictures: stretch to 12x8, bgr, (pixel - 0) / 255, float32 nchw" in said
    assert seamline("inspect", str(open_model_path), "--preprocess", "none", "--shape", "image=1,3,4,4").exit_code == 0


def test_values_are_read_as_numbers():
    assert parse_values(["sr=16000", "a=b=0.5"]) == {"sr": 16000.0, "a=b": 0.5}
    for text in ("sr", "=1", "sr=fast"):
        with pytest.raises(UsageError, match="is not a value"):
            parse_values([text])
