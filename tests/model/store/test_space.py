"""What peers send fits into a quota and onto the disk, and leaves nothing when it does not become a model."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import ModelProto

from seamline.config import durable
from seamline.core.vocabulary.errors import ModelError, SeamlineError, UsageError
from seamline.model import Incoming, ModelStore, StoredModel
from seamline.model.store.manifest import Manifest, PartInfo
from seamline.model.store.space import RECEIVED, STALE_S, Quota, parse_quota
from seamline.model.store.stored import GRAPH, WEIGHTS

Save = Callable[..., Path]
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def models(small_cnn: ModelProto, save: Save, store: ModelStore) -> list[StoredModel]:
    """Four models of the same size that differ in their metadata."""
    path = save(small_cnn)
    return [store.add(path), *(store.add(_renamed(small_cnn, save, number)) for number in range(3))]


def _renamed(model: ModelProto, save: Save, number: int) -> Path:
    other = ModelProto()
    other.CopyFrom(model)
    other.metadata_props.add(key="number", value=str(number))
    return save(other, f"other{number}.onnx")


@pytest.fixture
def other(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "other")


def send(source: StoredModel, target: ModelStore) -> StoredModel:
    incoming = target.receive(source.model_id, source.manifest())
    for part, n_bytes in incoming.parts.items():
        incoming.write(part, 0, source.read_part(part, 0, n_bytes))
    return incoming.finish()


def leftovers(store: ModelStore) -> list[str]:
    """Everything below the store that is no model."""
    return sorted(
        str(path.relative_to(store.root))
        for path in store.root.rglob("*")
        if path.is_file() and len(path.relative_to(store.root).parts[0]) != 64
    )


def size_of(model: StoredModel) -> int:
    return sum((model.folder / part).stat().st_size for part in (GRAPH, WEIGHTS))


def a_manifest(graph: bytes, weights_bytes: int) -> Manifest:
    part = PartInfo(n_bytes=len(graph), sha256=hashlib.sha256(graph).hexdigest())
    return Manifest(name="evil", graph=part, weights=PartInfo(n_bytes=weights_bytes, sha256="0" * 64))


def test_a_received_model_beyond_the_quota_makes_the_one_unused_for_longest_give_way(
    models: list[StoredModel], tmp_path: Path
) -> None:
    target = ModelStore(tmp_path / "other", Quota(max_bytes=int(2.7 * size_of(models[0]))))
    for number, model in enumerate(models[:2]):
        mark = send(model, target).folder / RECEIVED
        os.utime(mark, (number, number))
    target.get_sound(models[0].model_id)  # used now, so that the other is the older one
    send(models[2], target)
    assert set(target.ids()) == {models[0].model_id, models[2].model_id}


def test_models_added_here_neither_count_nor_give_way(
    models: list[StoredModel], store: ModelStore, tmp_path: Path
) -> None:
    shutil.copytree(models[0].folder, tmp_path / "other" / models[0].model_id)
    target = ModelStore(tmp_path / "other", Quota(max_bytes=int(1.5 * size_of(models[0]))))
    for model in models[1:]:
        send(model, target)
    assert set(target.ids()) == {models[0].model_id, models[-1].model_id}


def test_a_model_larger_than_the_quota_is_refused_before_a_byte_of_it_and_evicts_nothing(
    models: list[StoredModel], tmp_path: Path
) -> None:
    target = ModelStore(tmp_path / "other", Quota(max_bytes=2 * size_of(models[0])))
    send(models[0], target)
    manifest = a_manifest(b"graph", 1 << 34)
    with pytest.raises(
        ModelError, match=r"a model needs 17.2 GB more, models from peers may have .*; hint: .*--model-quota"
    ):
        target.receive(manifest.model_id, manifest.to_json())
    assert target.ids() == (models[0].model_id,)
    assert leftovers(target) == []


def test_a_disk_that_is_too_full_is_named_and_what_others_announced_counts(
    models: list[StoredModel], other: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 2 * size_of(models[0])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(free, 0, free))
    first = other.receive(models[0].model_id, models[0].manifest())
    with pytest.raises(ModelError, match=r"the disk of .* has .* for it"):
        other.receive(models[1].model_id, models[1].manifest())
    first.drop()
    assert send(models[1], other).model_id == models[1].model_id


@pytest.mark.parametrize(("n_free", "is_enough"), [(1.5, True), (0.9, False)])
def test_on_a_full_disk_a_received_model_gives_way_only_where_that_is_enough(
    models: list[StoredModel], other: ModelStore, monkeypatch: pytest.MonkeyPatch, n_free: float, is_enough: bool
) -> None:
    size = size_of(models[0])
    kept = send(models[0], other)
    monkeypatch.setattr(other, "quota", Quota(free_ratio=0.5))
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: Usage(0, 0, int(n_free * size) + (0 if kept.folder.is_dir() else size))
    )
    if is_enough:
        assert send(models[1], other).model_id == models[1].model_id
        return
    manifest = a_manifest(b"graph", 2 * size)
    with pytest.raises(ModelError, match=r"the disk of .* has .* for it"):
        other.receive(manifest.model_id, manifest.to_json())
    assert other.ids() == (kept.model_id,)


def test_a_graph_that_is_none_keeps_the_weights_out(other: ModelStore) -> None:
    manifest = a_manifest(b"no graph", 1000)
    incoming = other.receive(manifest.model_id, manifest.to_json())
    incoming.write("graph", 0, b"no graph")
    with pytest.raises(ModelError, match="is not ONNX"):
        incoming.write("weights", 0, bytes(1000))
    assert incoming.n_bytes_present("weights") == 0
    incoming.drop()
    assert leftovers(other) == []


def test_weights_that_the_graph_has_no_use_for_are_refused(models: list[StoredModel], other: ModelStore) -> None:
    graph = (models[0].folder / GRAPH).read_bytes()
    manifest = a_manifest(graph, (models[0].folder / WEIGHTS).stat().st_size + (1 << 30))
    incoming = other.receive(manifest.model_id, manifest.to_json())
    incoming.write("graph", 0, graph)
    with pytest.raises(ModelError, match="and its graph has a use for"):
        incoming.write("weights", 0, bytes(1000))


def test_a_dropped_transfer_leaves_nothing_and_takes_nothing_more(models: list[StoredModel], other: ModelStore) -> None:
    incoming = other.receive(models[0].model_id, models[0].manifest())
    incoming.write("graph", 0, models[0].read_part("graph", 0, 100))
    incoming.drop()
    assert leftovers(other) == []
    with pytest.raises(ModelError, match="no longer received"):
        incoming.write("graph", 0, models[0].read_part("graph", 0, 100))
    assert send(models[0], other).model_id == models[0].model_id
    incoming.drop()
    assert other.has(models[0].model_id), "what is dropped twice is nobody else's"


def test_what_a_dead_process_left_goes_when_it_is_old_and_unlocked(
    models: list[StoredModel], other: ModelStore
) -> None:
    def age(path: Path) -> None:
        for each in (path, *path.rglob("*")):
            os.utime(each, (1, 1))

    alive: Incoming = other.receive(models[0].model_id, models[0].manifest())
    dead = other.root / "incoming" / models[1].model_id
    fresh = other.root / "incoming" / models[2].model_id
    for folder in (dead, fresh, other.root / "adding-1", other.root / "adding-2"):
        folder.mkdir()
        (folder / "weights.bin").write_bytes(b"x")
    for folder in (dead, other.root / "adding-1", other.root / "incoming" / models[0].model_id):
        age(folder)
    ModelStore(other.root).tidy()
    assert not dead.exists()
    assert not (other.root / "adding-1").exists()
    assert fresh.exists()
    assert (other.root / "adding-2").exists()
    for part, n_bytes in alive.parts.items():
        alive.write(part, 0, models[0].read_part(part, 0, n_bytes))
    assert alive.finish().model_id == models[0].model_id, "a slow transfer is not taken for a dead one"
    assert time.time() - 1 > STALE_S


def refusal_of_a_transfer(source: StoredModel, target: ModelStore) -> str | None:
    incoming = None
    try:
        incoming = target.receive(source.model_id, source.manifest())
        for part, n_bytes in incoming.parts.items():
            incoming.write(part, 0, source.read_part(part, 0, n_bytes))
        incoming.finish()
    except SeamlineError as error:
        if incoming is not None:
            incoming.drop()
        return str(error)
    return None


@pytest.mark.parametrize("step", range(12))
def test_a_disk_that_is_full_at_any_step_of_a_transfer_is_named_and_leaves_nothing(
    models: list[StoredModel], other: ModelStore, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The disk takes `step` more writes, synchronisations and renames, and then none."""
    left = [step]
    full = OSError(errno.ENOSPC, "No space left on device")

    def limited(function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise full
            return function(*args, **kwargs)

        return call

    with monkeypatch.context() as patched:
        for name in ("rename", "replace", "fsync", "mkdir"):
            patched.setattr(os, name, limited(getattr(os, name)))
        patched.setattr(Path, "write_bytes", limited(Path.write_bytes))
        patched.setattr(os, "fdopen", limited(os.fdopen))
        said = refusal_of_a_transfer(models[0], other)
    assert said is None or "No space left" in said
    if not other.has(models[0].model_id):
        assert leftovers(other) == []
        assert send(models[0], other).model_id == models[0].model_id
    other.get_sound(models[0].model_id)


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("20GB", Quota(max_bytes=20 * 10**9)),
        ("50%", Quota(free_ratio=0.5)),
        ("1GiB, 5 %", Quota(max_bytes=1 << 30, free_ratio=0.05)),
    ],
)
def test_a_quota_is_a_size_a_share_or_both(text: str, quota: Quota) -> None:
    assert parse_quota(text) == quota


@pytest.mark.parametrize("text", ["", "0%", "101%", "1e308GB", "-1GB", "50", "much", "9" * 500 + "GB", "٣%x"])
def test_a_quota_that_is_none_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_quota(text)
    assert error.value.hint


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        durable.write_file(tmp_path / "file", (b"new",))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.parametrize(("is_durable", "synced"), [(True, ["contents", "folder"]), (False, [])])
def test_a_durable_file_is_on_the_disk_before_its_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_durable: bool, synced: list[str]
) -> None:
    found: list[str] = []

    def note(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        assert (tmp_path / "file").exists() is is_folder
        found.append("folder" if is_folder else "contents")

    monkeypatch.setattr(os, "fsync", note)
    durable.write_file(tmp_path / "file", (b"new",), is_durable=is_durable)
    assert (found, (tmp_path / "file").read_bytes()) == (synced, b"new")
