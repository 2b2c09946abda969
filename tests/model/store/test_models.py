"""Claims about keeping models once, and about fetching them from a peer that is not trusted."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from seamline.core.vocabulary.errors import ModelError, UsageError
from seamline.core.vocabulary.plans import Segment
from seamline.model import Incoming, ModelStore, OrtEngine, Preprocess, StoredModel, zoo
from seamline.model.store.manifest import Manifest, PartInfo
from seamline.model.store.stored import GRAPH, WEIGHTS

Save = Callable[..., Path]


@pytest.fixture
def stored(small_cnn: ModelProto, save: Save, store: ModelStore) -> StoredModel:
    return store.add(save(small_cnn))


@pytest.fixture
def other(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "other")


def copy_part(source: StoredModel, target: Incoming, part: str, *, until: int | None = None) -> None:
    end = target.parts[part] if until is None else until
    while (at := target.n_bytes_present(part)) < end:
        target.write(part, at, source.read_part(part, at, min(1000, end - at)))


def test_the_same_file_gives_the_same_id_and_is_kept_once(
    stored: StoredModel, store: ModelStore, other: ModelStore, small_cnn: ModelProto, save: Save
) -> None:
    assert store.add(save(small_cnn)).model_id == stored.model_id
    assert other.add(save(small_cnn)).model_id == stored.model_id
    assert store.ids() == (stored.model_id,)
    assert [path.name for path in store.root.iterdir()] == [stored.model_id]
    assert (store.get(stored.model_id) is stored, stored.folder) == (True, store.root / stored.model_id)


def test_a_store_below_a_file_is_refused_and_a_home_in_its_name_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "models"):
        with pytest.raises(UsageError, match=r"file` is a file; hint: models are kept in a folder"):
            ModelStore(root)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SEAMLINE_CACHE", "~/caches")
    assert ModelStore().root == tmp_path / "caches" / "models"


def test_weights_are_aligned_and_the_graph_file_holds_none_of_them(stored: StoredModel) -> None:
    assert (stored.folder / WEIGHTS).stat().st_size >= 8 * 8 * 9 * 4 + 7040 * 4
    assert (stored.folder / GRAPH).stat().st_size < 5000
    model = stored.segment(stored.whole).model
    assert model is not None
    offsets = {
        tensor.name: int(entry.value)
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "offset"
    }
    assert offsets["w3"] % 4096 == 0
    assert all(offset % 64 == 0 for offset in offsets.values())


def test_preprocessing_belongs_to_the_identity(
    stored: StoredModel, store: ModelStore, small_cnn: ModelProto, save: Save
) -> None:
    framed = store.add(save(small_cnn), preprocess=Preprocess(height=8, width=8, mean=(1.0, 2.0, 3.0)))
    assert framed.model_id != stored.model_id
    assert ModelStore(store.root).get(framed.model_id).preprocess == framed.preprocess


def test_preprocessing_that_does_not_fit_the_model_is_refused(
    store: ModelStore, small_cnn: ModelProto, save: Save
) -> None:
    with pytest.raises(ModelError, match=r"makes float32\[1,3,9,8\], the model takes \[\?,3,8,8\]"):
        store.add(save(small_cnn), preprocess=Preprocess(height=9, width=8))


def test_a_reopened_store_finds_the_same_model(stored: StoredModel, store: ModelStore) -> None:
    again = ModelStore(store.root).get(stored.model_id)
    assert (again.graph, again.cuts, again.manifest()) == (stored.graph, stored.cuts, stored.manifest())


def test_several_threads_may_add_the_same_model_at_once(small_cnn: ModelProto, save: Save, store: ModelStore) -> None:
    path = save(small_cnn)
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(ModelStore(store.root).add(path).model_id)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert store.ids() == (found[0],)


@pytest.mark.parametrize("model_id", ["", "../../etc", "A" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n", "/" * 64])
def test_an_id_that_is_no_hash_never_becomes_a_path(store: ModelStore, model_id: str) -> None:
    for use in (store.get, store.has, store.remove, lambda bad: store.receive(bad, b"{}")):
        with pytest.raises(ModelError):
            use(model_id)


def test_a_model_that_is_not_here_is_named(store: ModelStore) -> None:
    with pytest.raises(ModelError, match="0000 is not in the store"):
        store.get("0" * 64)
    assert not store.has("0" * 64)


def test_a_removed_model_is_gone(stored: StoredModel, store: ModelStore) -> None:
    store.remove(stored.model_id)
    assert not store.has(stored.model_id)
    assert store.ids() == ()


def test_a_received_model_runs_like_the_original(stored: StoredModel, store: ModelStore, other: ModelStore) -> None:
    incoming = other.receive(stored.model_id, stored.manifest())
    for part in incoming.parts:
        copy_part(stored, incoming, part)
    received = incoming.finish()
    assert received.cuts == stored.cuts
    frame = {"x": np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)}
    outputs = [OrtEngine(there, 1).prepare(stored.model_id, Segment(0, 3)).run(frame) for there in (store, other)]
    assert all(np.array_equal(outputs[0][name], outputs[1][name]) for name in outputs[0])
    assert not list((other.root / "incoming").iterdir())


def test_a_transfer_goes_on_where_it_was_interrupted(stored: StoredModel, other: ModelStore) -> None:
    first = other.receive(stored.model_id, stored.manifest())
    with pytest.raises(ModelError, match=r"graph of model .* has 0 of"):
        copy_part(stored, first, "weights", until=5000)
    copy_part(stored, first, "graph")
    copy_part(stored, first, "weights", until=5000)
    with pytest.raises(ModelError, match="has 5000 of"):
        first.finish()
    del first
    gc.collect()  # the process that began is gone, and its lock with it
    second = ModelStore(other.root).receive(stored.model_id, stored.manifest())
    assert second.n_bytes_present("weights") == 5000
    second.write("weights", 4000, stored.read_part("weights", 4000, 2000))
    assert second.n_bytes_present("weights") == 6000
    for part in second.parts:
        copy_part(stored, second, part)
    assert second.finish().model_id == stored.model_id


def test_two_streams_may_fetch_the_same_model_at_once(stored: StoredModel, other: ModelStore) -> None:
    def fetch() -> None:
        incoming = other.receive(stored.model_id, stored.manifest())
        for part in incoming.parts:
            copy_part(stored, incoming, part)
        done.append(incoming.finish())

    done: list[StoredModel] = []
    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [model.model_id for model in done] == [stored.model_id] * 4


def test_another_process_receives_in_a_folder_of_its_own(stored: StoredModel, other: ModelStore) -> None:
    first = other.receive(stored.model_id, stored.manifest())
    first.write("graph", 0, stored.read_part("graph", 0, 100))
    second = ModelStore(other.root).receive(stored.model_id, stored.manifest())  # a lock of its own, as a process has
    assert second.n_bytes_present("graph") == 0
    for incoming in (first, second):
        for part in incoming.parts:
            copy_part(stored, incoming, part)
    assert first.finish().model_id == second.finish().model_id == stored.model_id


def test_a_damaged_part_is_refused_and_fetched_again(stored: StoredModel, other: ModelStore) -> None:
    incoming = other.receive(stored.model_id, stored.manifest())
    copy_part(stored, incoming, "graph")
    incoming.write("weights", 0, b"\xff" * 100)
    copy_part(stored, incoming, "weights")
    with pytest.raises(ModelError, match=r"weights of model .* arrived damaged"):
        incoming.finish()
    assert not other.has(stored.model_id)
    assert incoming.n_bytes_present("weights") == 0
    assert incoming.n_bytes_present("graph") == incoming.parts["graph"]
    copy_part(stored, incoming, "weights")
    assert incoming.finish().model_id == stored.model_id


def test_bytes_beyond_a_part_or_behind_a_gap_are_refused(stored: StoredModel, other: ModelStore) -> None:
    incoming = other.receive(stored.model_id, stored.manifest())
    for part, offset, data in (
        ("weights", 1, b"x"), ("weights", -1, b"x"), ("weights", 0, bytes(incoming.parts["weights"] + 1)),
        ("manifest", 0, b"x"), ("../graph", 0, b"x"),
    ):  # fmt: skip
        with pytest.raises(ModelError):
            incoming.write(part, offset, data)


def test_a_manifest_that_lies_is_refused(stored: StoredModel, other: ModelStore) -> None:
    def changed(**fields: object) -> bytes:
        return json.dumps({**json.loads(stored.manifest()), **fields}).encode()

    parts = json.loads(stored.manifest())["parts"]
    lies = [
        b"", b"[]", b"null", b"[" * 100_000, b"x" * (1 << 17), changed(schema="other"), changed(name="../../x"),
        changed(parts={}), changed(parts={**parts, "weights": {"bytes": 1 << 60, "sha256": "0" * 64}}),
        changed(parts={**parts, "weights": {"bytes": -1, "sha256": "0" * 64}}),
        changed(parts={**parts, "weights": {"bytes": 10, "sha256": "0" * 64}}),
        changed(preprocess={"height": 1e9}), changed(preprocess=7),
    ]  # fmt: skip
    for lie in lies:
        with pytest.raises(ModelError):
            other.receive(stored.model_id, lie)
    assert other.ids() == ()


def test_a_peer_may_read_the_parts_and_nothing_else(stored: StoredModel) -> None:
    assert stored.read_part("manifest", 0, 1 << 20) == stored.manifest()
    assert stored.read_part("weights", (stored.folder / WEIGHTS).stat().st_size, 10) == b""
    for part, offset, length in (("../manifest.json", 0, 1), ("graph", -1, 1), ("graph", 0, -1), ("", 0, 1)):
        with pytest.raises(ModelError):
            stored.read_part(part, offset, length)


def test_damage_in_the_store_is_noticed_before_use(stored: StoredModel, store: ModelStore) -> None:
    graph = stored.folder / "graph.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\x00")
    with pytest.raises(ModelError, match="damaged"):
        ModelStore(store.root).get(stored.model_id)


def test_a_graph_from_a_peer_may_not_refer_to_foreign_files(stored: StoredModel, other: ModelStore) -> None:
    for location in ("../../secret", "/etc/passwd", "manifest.json"):
        graph = (stored.folder / "graph.onnx").read_bytes()
        evil = ModelProto()
        evil.ParseFromString(graph)
        for entry in next(tensor for tensor in evil.graph.initializer if tensor.external_data).external_data:
            if entry.key == "location":
                entry.value = location
        data = evil.SerializeToString()
        weights = (stored.folder / "weights.bin").read_bytes()
        manifest = Manifest(
            name="evil",
            graph=PartInfo(n_bytes=len(data), sha256=hashlib.sha256(data).hexdigest()),
            weights=PartInfo(n_bytes=len(weights), sha256=hashlib.sha256(weights).hexdigest()),
        )
        incoming = other.receive(manifest.model_id, manifest.to_json())
        incoming.write("graph", 0, data)
        with pytest.raises(ModelError, match="do not lie in the model's weights file"):
            incoming.write("weights", 0, weights)
        assert incoming.n_bytes_present("weights") == 0
        assert not other.has(manifest.model_id)


@contextlib.contextmanager
def another_user() -> Iterator[None]:
    """The rights of `nobody`, for as long as it is open."""
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def test_a_kept_model_is_as_open_to_others_as_the_umask_says(small_cnn: ModelProto, save: Save, tmp_path: Path) -> None:
    path = save(small_cnn)
    for umask, folder_mode, file_mode in ((0o022, 0o755, 0o644), (0o077, 0o700, 0o600)):
        before = os.umask(umask)
        try:
            folder = ModelStore(tmp_path / oct(umask)).add(path).folder
        finally:
            os.umask(before)
        assert folder.stat().st_mode & 0o777 == folder_mode
        assert {file.stat().st_mode & 0o777 for file in folder.iterdir() if file.is_file()} == {file_mode}


@pytest.mark.root  # to be two users
def test_a_second_user_reads_what_is_open_and_is_told_whose_the_rest_is(small_cnn: ModelProto, save: Save) -> None:
    path = save(small_cnn)
    root = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    try:
        root.chmod(0o755)
        before = os.umask(0o022)
        stored = ModelStore(root / "models").add(path)
        os.umask(before)
        with another_user():
            assert ModelStore(root / "models").get(stored.model_id).model_id == stored.model_id
            with pytest.raises(UsageError, match=r"`.*models` belongs to `root`, and `.+` may not write") as refused:
                ModelStore(root / "models").remove(stored.model_id)
            assert "chmod -R a+rwX" in str(refused.value)
        with another_user(), pytest.raises(UsageError, match=r"belongs to `root`, and `.+` may not write to it"):
            zoo.build("mobilenetv2", root / "zoo.onnx")
        stored.folder.chmod(0o700)
        with another_user(), pytest.raises(UsageError, match=r"belongs to `root`.*chmod -R a\+rX"):
            ModelStore(root / "models").get(stored.model_id)
        stored.folder.chmod(0o755)
        (stored.folder / "graph.onnx").chmod(0o600)
        with another_user(), pytest.raises(ModelError, match=r"graph.onnx` belongs to `root`"):
            ModelStore(root / "models").get(stored.model_id)
    finally:
        shutil.rmtree(root)


def test_pipes_and_links_in_place_of_parts_are_refused_and_nothing_waits(
    stored: StoredModel, store: ModelStore, other: ModelStore, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"")
    for part, name in (("weights", "weights.bin"), ("graph", "graph.onnx")):
        incoming = other.receive(stored.model_id, stored.manifest())
        if part == "weights":
            copy_part(stored, incoming, "graph")
        path = other.root / "incoming" / stored.model_id / name
        path.unlink(missing_ok=True)
        path.symlink_to(outside)
        with pytest.raises(ModelError):
            incoming.write(part, 0, stored.read_part(part, 0, 100))
        assert outside.read_bytes() == b""
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(ModelError, match="no plain file"):
            incoming.write(part, 0, stored.read_part(part, 0, 100))
        path.unlink()
    for replace in (os.mkfifo, lambda path: path.symlink_to("/dev/zero"), os.mkdir):
        shutil.copytree(store.root, tmp_path / "copy")
        copy = ModelStore(tmp_path / "copy")
        weights = copy.root / stored.model_id / "weights.bin"
        weights.unlink()
        replace(weights)
        with pytest.raises(ModelError):
            copy.get(stored.model_id)
        shutil.rmtree(copy.root)


def test_a_model_is_on_the_disk_before_it_appears(
    small_cnn: ModelProto, save: Save, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, rename = os.fsync, os.rename

    def synced(descriptor: int) -> None:
        done.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        sync(descriptor)

    def renamed(source: Path, target: Path) -> None:
        done.append("renamed")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    store.add(save(small_cnn))
    at = done.index("renamed")
    assert {"weights.bin", "graph.onnx", "manifest.json"} <= set(done[:at])
    assert done[at - 1].startswith("adding-")
    assert done[at + 1] == store.root.name
