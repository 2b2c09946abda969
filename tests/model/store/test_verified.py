"""Damaged files of a stored model are never served: they are found by their hash, once for each state of a file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import ModelProto

from seamline.core.vocabulary.errors import ModelError
from seamline.model import ModelStore, OrtEngine, StoredModel
from seamline.model.engine.verify import random_tensors
from seamline.model.store import verified
from seamline.model.store.stored import DamagedModel
from seamline.runtime.segments.private_weights import PrivateWeightsEngine

Save = Callable[..., Path]
Damage = Callable[[Path], None]


@pytest.fixture
def path(small_cnn: ModelProto, save: Save) -> Path:
    return save(small_cnn)


@pytest.fixture
def stored(path: Path, store: ModelStore) -> StoredModel:
    return store.add(path)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one whenever a file is read whole."""
    counts: list[int] = []
    read = verified._sha256
    monkeypatch.setattr(verified, "_sha256", lambda file: (counts.append(1), read(file))[1])
    return counts


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)


def flip_and_hide(path: Path) -> None:
    """The same size and times as before, as a tool that restores these leaves it."""
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_another(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(os.urandom(path.stat().st_size))
    shutil.copystat(path, other)
    os.replace(other, path)


def remove(path: Path) -> None:
    path.unlink()


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


ALL = (zero, flip, flip_and_hide, truncate, empty, replace_by_another, remove, make_pipe, make_link)


def answer(store: ModelStore, model: StoredModel) -> bytes:
    ready = OrtEngine(store, 1).prepare(model.model_id, model.whole)
    return b"".join(array.tobytes() for array in ready.run(random_tensors(ready.inputs, 0)).values())


@pytest.mark.parametrize("damage", ALL)
@pytest.mark.parametrize("reopened", [False, True], ids=["running", "restarted"])
def test_damaged_weights_are_refused_and_the_next_add_heals_them(
    stored: StoredModel, store: ModelStore, path: Path, damage: Damage, reopened: bool
) -> None:
    expected = answer(store, stored)
    damage(stored.folder / "weights.bin")
    if reopened:
        store = ModelStore(store.root)
    for engine in (OrtEngine(store, 1), PrivateWeightsEngine(store, 1)):
        with pytest.raises(ModelError):
            engine.prepare(stored.model_id, stored.whole)
    assert not store.has(stored.model_id), "what is damaged can be fetched again"
    assert answer(store, store.add(path)) == expected


@pytest.mark.parametrize("part", ["graph.onnx", "manifest.json"])
@pytest.mark.parametrize("damage", ALL)
def test_a_damaged_graph_or_manifest_is_refused_or_healed_when_the_model_is_added(
    stored: StoredModel, store: ModelStore, path: Path, damage: Damage, part: str
) -> None:
    expected = answer(store, stored)
    damage(stored.folder / part)
    again = ModelStore(store.root)
    assert answer(again, again.add(path)) == expected


@pytest.mark.parametrize("damage", [d for d in ALL if d not in (remove, truncate, empty)])
@pytest.mark.parametrize("reopened", [False, True], ids=["running", "restarted"])
def test_damaged_optimised_tensors_are_made_again(
    stored: StoredModel, store: ModelStore, damage: Damage, reopened: bool
) -> None:
    expected = answer(store, stored)
    engine = OrtEngine(store, 1)
    engine.keep(stored.model_id, stored.whole)
    tensors = sorted(stored.folder.glob("optimised/*/*.bin"))
    assert tensors, "this model has tensors that are kept"
    for tensor in tensors:
        damage(tensor)
    if reopened:
        store = ModelStore(store.root)
    assert answer(store, stored) == expected
    engine = OrtEngine(store, 1)
    assert not engine.is_kept(stored.model_id, stored.whole)
    engine.keep(stored.model_id, stored.whole)
    assert answer(store, stored) == expected
    assert engine.is_kept(stored.model_id, stored.whole), "it was taken, and not dropped again"


def test_keeping_a_form_does_not_trust_a_damaged_tensor_of_an_earlier_one(
    stored: StoredModel, store: ModelStore
) -> None:
    expected = answer(store, stored)
    engine = OrtEngine(store, 1)
    engine.keep(stored.model_id, stored.whole)
    for tensor in stored.folder.glob("optimised/*/*.bin"):
        zero(tensor)
    for form in stored.folder.glob("optimised/*/*.onnx"):
        form.unlink()
    engine.keep(stored.model_id, stored.whole)
    assert answer(store, stored) == expected
    assert engine.is_kept(stored.model_id, stored.whole)


def test_files_are_read_once_for_each_of_their_states(
    stored: StoredModel, store: ModelStore, hashed: list[int]
) -> None:
    for each in (store, ModelStore(store.root), ModelStore(store.root)):
        each.get_sound(stored.model_id)
    assert not hashed, "what was written here need not be read again"
    os.utime(stored.folder / "weights.bin")
    for each in (store, ModelStore(store.root), store):
        each.get_sound(stored.model_id)
    assert len(hashed) == 1


def test_after_a_boot_files_are_read_again(
    stored: StoredModel, store: ModelStore, hashed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified, "_boot", lambda: "another")
    ModelStore(store.root).get_sound(stored.model_id)
    assert len(hashed) == 1
    ModelStore(store.root).get_sound(stored.model_id)
    assert len(hashed) == 1


@pytest.mark.parametrize("kept", [b"", b"{", b"[" * 5000, b'{"boot": 1}', b"\xff\xfe", b"{}", b"null"])
def test_a_damaged_file_of_stamps_costs_a_reading(
    stored: StoredModel, store: ModelStore, hashed: list[int], kept: bytes
) -> None:
    (stored.folder / verified.FILE).write_bytes(kept)
    ModelStore(store.root).get_sound(stored.model_id)
    assert len(hashed) == 1


def test_where_no_stamp_can_be_kept_models_are_served_all_the_same(
    stored: StoredModel, store: ModelStore, hashed: list[int]
) -> None:
    (stored.folder / verified.FILE).unlink()
    (stored.folder / verified.FILE).mkdir()
    again = ModelStore(store.root)
    for _ in range(2):
        again.get_sound(stored.model_id)
    assert len(hashed) == 1
    assert not list(stored.folder.glob(".*.part"))


def test_a_disk_that_gives_no_bytes_is_named_and_removes_nothing(
    stored: StoredModel, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(file: object) -> str:
        raise OSError(5, "Input/output error")

    os.utime(stored.folder / "weights.bin")
    monkeypatch.setattr(verified, "_sha256", broken)
    with pytest.raises(ModelError, match=r"cannot be read: Input/output error; hint: is the disk damaged\?") as error:
        store.get_sound(stored.model_id)
    assert not isinstance(error.value, DamagedModel)
    assert store.has(stored.model_id)
