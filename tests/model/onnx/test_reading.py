"""Claims about what can be read, what becomes of it, and what is refused."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from seamline.core.vocabulary.errors import ModelError, SeamlineError, UsageError
from seamline.model import ModelStore
from seamline.model.onnx.reading import read_model

Save = Callable[..., Path]
FLOAT = TensorProto.FLOAT


def test_constants_and_what_only_they_feed_are_weights(small_cnn: ModelProto, save: Save, store: ModelStore) -> None:
    graph = store.add(save(small_cnn)).graph
    assert [layer.name for layer in graph.layers] == ["conv1", "relu1", "conv2", "add", "join", "flat", "fc"]
    by_name = {layer.name: layer for layer in graph.layers}
    assert by_name["conv2"].weight_bytes == 8 * 8 * 9 * 4
    assert by_name["conv1"].macs == 8 * 8 * 8 * 3 * 9
    assert by_name["fc"].macs == 11 * 64 * 10
    assert graph.macs == 8 * 64 * (27 + 72) + 11 * 64 * 10


def test_an_open_batch_axis_becomes_one_and_a_given_shape_wins(
    small_cnn: ModelProto, save: Save, store: ModelStore
) -> None:
    path = save(small_cnn)
    assert store.add(path).graph.input_specs[0].shape == (1, 3, 8, 8)
    assert store.add(path, shapes={"x": (2, 3, 8, 8)}).graph.output_specs[0].shape == (2, 10)


def test_any_other_open_axis_is_named(make_model: Callable[..., ModelProto], save: Save) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    path = save(make_model(nodes, [], inputs={"x": (FLOAT, [1, 3, "height", 8])}, outputs=["y"]))
    with pytest.raises(ModelError, match=r"axis 2 \(height\) of input `x` is open"):
        read_model(path)
    assert len(read_model(path, shapes={"x": (1, 3, 5, 8)}).model.graph.node) == 1
    with pytest.raises(UsageError, match="axis 3 of input `x` is 8, it cannot become 9"):
        read_model(path, shapes={"x": (1, 3, 5, 9)})
    with pytest.raises(UsageError, match="no input `z`"):
        read_model(path, shapes={"z": (1,)})


def test_layers_that_lead_nowhere_are_forgotten(make_model: Callable[..., ModelProto], save: Save) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Sigmoid", ["x"], ["unused"])]
    model = read_model(save(make_model(nodes, [], inputs={"x": (FLOAT, [1, 4])}, outputs=["y"]))).model
    assert [node.op_type for node in model.graph.node] == ["Relu"]


def test_nodes_with_subgraphs_stay_whole_and_need_what_is_inside(
    make_model: Callable[..., ModelProto], save: Save, store: ModelStore
) -> None:
    def branch(op: str) -> onnx.GraphProto:
        inner = helper.make_node(op, ["h"], ["inner"])
        return helper.make_graph([inner], op, [], [helper.make_tensor_value_info("inner", FLOAT, [1, 4])])

    nodes = [
        helper.make_node("Relu", ["x"], ["h"], name="relu"),
        helper.make_node("If", ["flag"], ["y"], name="choice", then_branch=branch("Exp"), else_branch=branch("Neg")),
    ]
    inputs = {"x": (FLOAT, [1, 4]), "flag": (TensorProto.BOOL, [])}
    graph = store.add(save(make_model(nodes, [], inputs=inputs, outputs=["y"]))).graph
    assert [(layer.name, set(layer.inputs)) for layer in graph.layers] == [
        ("relu", {"x"}), ("choice", {"flag", "h"}),
    ]  # fmt: skip


@pytest.mark.parametrize("content", [b"", b"this is not a model", b"\x08\x08", random.Random(1).randbytes(4096)])
def test_a_file_that_is_not_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "photo.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"not (an )?ONNX"):
        read_model(path)


def test_a_missing_file_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_model(tmp_path / "nowhere.onnx")


def test_an_unknown_operator_is_named(make_model: Callable[..., ModelProto], save: Save, store: ModelStore) -> None:
    nodes = [helper.make_node("Frobnicate", ["x"], ["y"])]
    with pytest.raises(ModelError, match="Frobnicate"):
        store.add(save(make_model(nodes, [], inputs={"x": (FLOAT, [1])}, outputs=["y"])))
    unheard = [helper.make_node("Frobnicate", ["x"], ["y"], domain="com.microsoft")]
    model = make_model(unheard, [], inputs={"x": (FLOAT, [1])}, outputs=["y"])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", FLOAT, [1]))
    with pytest.raises(ModelError, match="Frobnicate"):  # only the runtime can know
        store.add(save(model))
    foreign = [helper.make_node("Relu", ["x"], ["y"], domain="evil.example")]
    with pytest.raises(ModelError, match=r"evil\.example\.Relu"):
        store.add(save(make_model(foreign, [], inputs={"x": (FLOAT, [1])}, outputs=["y"])))
    assert store.ids() == ()


def test_a_cycle_is_refused(make_model: Callable[..., ModelProto], save: Save) -> None:
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    with pytest.raises(ModelError, match="circle"):
        read_model(save(make_model(nodes, [], inputs={"x": (FLOAT, [1])}, outputs=["b"])))


def test_values_that_do_not_fit_their_shape_are_refused(make_model: Callable[..., ModelProto], save: Save) -> None:
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[1000], raw_data=bytes(8))
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    with pytest.raises(ModelError, match="holds 8 bytes, its shape needs 4000"):
        read_model(save(make_model(nodes, [tensor], inputs={"x": (FLOAT, [1000])}, outputs=["y"])))


@pytest.fixture
def with_external(make_model: Callable[..., ModelProto], tmp_path: Path) -> Callable[[str], Path]:
    """A model in its own folder whose weights are said to be at a location; beside the folder lies a secret."""
    (tmp_path / "secret").write_bytes(b"s" * 4096)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "plain.bin").write_bytes(np.arange(1024, dtype=np.float32).tobytes())

    def write(location: str, **fields: int) -> Path:
        tensor = TensorProto(name="w", data_type=FLOAT, dims=[1024], data_location=TensorProto.EXTERNAL)
        for key, value in {"location": location, **fields}.items():
            tensor.external_data.add(key=key, value=str(value))
        nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
        model = make_model(nodes, [tensor], inputs={"x": (FLOAT, [1024])}, outputs=["y"])
        (folder / "m.onnx").write_bytes(model.SerializeToString())
        return folder / "m.onnx"

    return write


def test_external_data_in_the_models_folder_is_read(with_external: Callable[..., Path]) -> None:
    found = read_model(with_external("plain.bin", offset=0, length=4096)).weights["w"]
    assert b"".join(found.chunks()) == np.arange(1024, dtype=np.float32).tobytes()


def test_external_data_outside_the_models_folder_is_refused(with_external: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "model" / "symbolic.bin").symlink_to(tmp_path / "secret")
    (tmp_path / "model" / "up").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "model" / "pipe")
    for location in (
        "../secret", str(tmp_path / "secret"), "symbolic.bin", "up/secret", "", "missing", "..\\secret",
        "model/../../secret", ".",
    ):  # fmt: skip
        with pytest.raises(ModelError):
            read_model(with_external(location))


def test_external_data_with_a_second_hard_link_is_a_file_like_any_other(
    with_external: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "backup").hardlink_to(tmp_path / "model" / "plain.bin")
    assert read_model(with_external("plain.bin")).weights["w"].n_bytes == 4096


class HuggingFaceCache:
    """A repository as `huggingface_hub` keeps it: a snapshot of links into the blobs beside it."""

    def __init__(self, folder: Path, model: Path, below: str = "") -> None:
        self.repository = folder / "models--a--b"
        self.blobs, self.snapshot = self.repository / "blobs", self.repository / "snapshots" / "4711" / below
        self.blobs.mkdir(parents=True)
        self.snapshot.mkdir(parents=True)
        self._up = Path(*[".."] * (2 + len(Path(below).parts)))
        for source, blob in ((model, "a"), (model.with_name("plain.bin"), "b")):
            (self.blobs / blob).write_bytes(source.read_bytes())
            self.link(source.name, "blobs/" + blob)

    def link(self, name: str, target: str | Path) -> None:
        """Make `name` in the snapshot a link to `target`, seen from the repository."""
        (self.snapshot / name).unlink(missing_ok=True)
        (self.snapshot / name).symlink_to(self._up / target)


@pytest.mark.parametrize("below", ["", "onnx", "onnx/fp16"])
def test_links_of_a_hugging_face_cache_to_its_own_blobs_are_followed(
    with_external: Callable[..., Path], tmp_path: Path, below: str
) -> None:
    cache = HuggingFaceCache(tmp_path / "hub", with_external("plain.bin"), below)
    found = read_model(cache.snapshot / "m.onnx").weights["w"]
    assert b"".join(found.chunks()) == np.arange(1024, dtype=np.float32).tobytes()
    (tmp_path / "here").symlink_to(cache.snapshot)
    assert read_model(tmp_path / "here" / "m.onnx").weights["w"].n_bytes == 4096


def test_links_of_a_cache_to_anything_else_are_refused(with_external: Callable[..., Path], tmp_path: Path) -> None:
    cache = HuggingFaceCache(tmp_path / "hub", with_external("plain.bin"))
    other = HuggingFaceCache(tmp_path / "other", with_external("plain.bin"))
    (cache.blobs / "onwards").symlink_to(tmp_path / "secret")
    (cache.blobs / "folder").mkdir()
    (cache.blobs / "folder" / "b").write_bytes(bytes(4096))
    for target in (tmp_path / "secret", other.blobs / "b", "blobs/onwards", "blobs/folder/b", "blobs/../../../secret"):
        cache.link("plain.bin", target)
        with pytest.raises(ModelError, match=r"behind the link `plain\.bin`"):
            read_model(cache.snapshot / "m.onnx")
    cache.link("plain.bin", "blobs/b")
    cache.blobs.rename(tmp_path / "moved")
    (tmp_path / "hub" / "models--a--b" / "blobs").symlink_to(tmp_path / "moved")
    (tmp_path / "model" / "m.onnx").rename(cache.snapshot / "n.onnx")
    with pytest.raises(ModelError, match=r"behind the link `plain\.bin`"):
        read_model(cache.snapshot / "n.onnx")


def test_external_data_beyond_the_end_of_its_file_is_refused(with_external: Callable[..., Path]) -> None:
    for fields in ({"offset": 1}, {"offset": -4}, {"length": 1 << 62}, {"offset": 1 << 62}):
        with pytest.raises(ModelError, match="does not fit"):
            read_model(with_external("plain.bin", **fields))


def test_values_in_typed_fields_become_the_same_bytes(
    make_model: Callable[..., ModelProto], save: Save, store: ModelStore
) -> None:
    values = np.linspace(-1, 1, 600, dtype=np.float32)
    typed = helper.make_tensor("w", FLOAT, [600], values.tolist())
    raw = numpy_helper.from_array(values, "w")
    nodes = [helper.make_node("Add", ["x", "w"], ["y"], name="add")]
    ids = {
        store.add(save(make_model(nodes, [tensor], inputs={"x": (FLOAT, [600])}, outputs=["y"]))).model_id
        for tensor in (typed, raw)
    }
    assert len(ids) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_gives_a_clear_error_or_a_model_and_nothing_else(
    small_cnn: ModelProto, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(small_cnn.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1) | st.integers(0, 200) | st.integers(1, 900).map(lambda n: -n))
        content[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.just(len(content)) | st.integers(1, len(content)))
    path = tmp_path / "damaged.onnx"
    path.write_bytes(content[:end])
    with contextlib.suppress(SeamlineError):
        ModelStore(tmp_path / "store").add(path)


def test_large_values_are_left_in_the_file_and_read_from_there(small_cnn: ModelProto, save: Save) -> None:
    path = save(small_cnn)
    link = path.with_name("link.onnx")
    link.symlink_to(path)
    found = read_model(link).weights["w3"]
    assert found.tensor.raw_data == b""
    expected = next(tensor for tensor in small_cnn.graph.initializer if tensor.name == "w3")
    assert b"".join(found.chunks()) == expected.raw_data
