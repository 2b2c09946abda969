"""The store: every model once, as a small graph file and one weights file that all segments share.

    <root>/<model_id>/manifest.json   sizes and SHA-256 of the two parts, name
                      graph.onnx      normal form (see reading.py); weights are references into weights.bin
                      weights.bin     values, page-aligned, mapped by every session
                      verified.json   which states of its files were hashed, see verified.py
                      calibration.json  what codecs do to its answers, see calibration.py
                      optimised/      forms of segments that this machine has used, see optimised.py
    <root>/incoming/<model_id>/       parts on their way from a peer, see transfer.py

A folder appears by rename, when its parts are on the disk, and these never change after: two processes may add the same
model at once. The model id is a hash of the parts: who has the id can check them. Running models is `ort.py`'s work.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import secrets
import shutil
import stat
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from onnx import ModelProto

from seamline.config.durable import sync_folder
from seamline.config.paths import refused_words
from seamline.config.plain_files import read_plain
from seamline.core.vocabulary.errors import ModelError, OpenAxis, UsageError
from seamline.model.metadata.preprocess import Preprocess, read_preprocess
from seamline.model.metadata.recipe import FrameRecipe, recipe_of
from seamline.model.metadata.sidecar import read_sidecar
from seamline.model.onnx.reading import NormalModel, read_model
from seamline.model.store.calibration import default_root
from seamline.model.store.manifest import MAX_MANIFEST_BYTES, Manifest, check_model_id, make_manifest
from seamline.model.store.reseed import reseeded
from seamline.model.store.space import Quota, make_room, mark_received, mark_used, remove_leftovers
from seamline.model.store.stored import GRAPH, MANIFEST, WEIGHTS, DamagedModel, StoredModel, load_stored
from seamline.model.store.transfer import Incoming

__all__ = ["ModelStore", "StoredModel", "default_root"]

log = logging.getLogger(__name__)

PAGE_BYTES = 4096
LINE_BYTES = 64


class ModelStore:
    """Models by id below one folder. Safe to use from several threads and processes.

    root: the folder, made when needed; `default_root()` when None. quota: of what peers
    send. Raises `UsageError` when it is, or lies in, a file.
    """

    def __init__(self, root: Path | None = None, quota: Quota | None = None) -> None:
        self.quota = quota or Quota()
        self.root = root if root is not None else default_root()
        for folder in (self.root, *self.root.parents):
            if folder.exists() and not folder.is_dir():
                hint = "models are kept in a folder: --cache DIR, or SEAMLINE_CACHE"
                raise UsageError(f"`{folder}` is a file", hint=hint)
        self._lock = threading.Lock()
        self._loaded: dict[str, StoredModel] = {}
        self._incoming: weakref.WeakValueDictionary[str, Incoming] = weakref.WeakValueDictionary()

    def add(
        self,
        path: Path,
        *,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
        values: Mapping[str, float] | None = None,
        preprocess: Preprocess | FrameRecipe | None = None,
        frame_size: tuple[int, int] | None = None,
        gives_pictures: bool = False,
        reseed: int | None = None,
    ) -> StoredModel:
        """Read the ONNX file `path` and keep it; the same contents give the same id, and are kept once.

        shapes: fixes inputs by name. values: makes inputs constants, e.g. a sampling rate.
        preprocess: how a camera frame becomes the input; what it leaves open the model's sidecar says, then its file,
        see `metadata.recipe`. frame_size: height and width of the frames, where the size is open still. gives_pictures:
        frames will be pictures, so that it must be known how one becomes the input.
        reseed: seed of random values for matrices and filters that are constant; another model, for checking only.
        Raises `UsageError` when the file is missing, `OpenAxis` naming an axis to fix, `ModelError` when it cannot be
        used, naming why.
        """
        path = Path(path)
        said = read_sidecar(path)

        def read(*, folds: bool) -> NormalModel:
            return read_model(
                path,
                shapes={**said.shapes, **(shapes or {})},
                values={**said.values, **(values or {})},
                frame=_first(preprocess, said.frame),
                frame_size=frame_size,
                gives_pictures=gives_pictures,
                folds=folds,
            )

        try:
            return self._stored(read(folds=True), reseed)
        except ModelError as exc:
            if isinstance(exc, OpenAxis):
                raise
            try:  # the runtime refuses some constants whose like it accepts when they are computed (`Range`)
                return self._stored(read(folds=False), reseed)
            except ModelError:
                raise exc from None

    def _stored(self, normal: NormalModel, reseed: int | None) -> StoredModel:
        """`normal` in the store, written unless it is there. Raises `ModelError` when the runtime refuses it."""
        if reseed is not None:
            normal = reseeded(normal, reseed)
        weights_bytes = _lay_out(normal)
        data = _graph_bytes(normal.model)
        manifest = make_manifest(
            name=normal.model.graph.name,
            graph=(len(data), hashlib.sha256(data).hexdigest()),
            weights=(weights_bytes, _hash_weights(normal)),
            preprocess=read_preprocess(normal.model),
        )
        if self.has(manifest.model_id):  # then nothing is written: memory cards wear out
            with suppress(DamagedModel):
                return self.get_sound(manifest.model_id)
        return self._keep(normal, manifest, data)

    def get(self, model_id: str) -> StoredModel:
        """Raises `ModelError` when the model is not here or its files are damaged."""
        folder = self.root / check_model_id(model_id)
        with self._lock:
            found = self._loaded.get(model_id)
        if found is not None:
            return found
        if not self.has(model_id):
            raise ModelError(f"model {model_id[:12]} is not in the store `{self.root}`")
        with self._dropped_when_damaged(model_id):
            loaded = load_stored(folder, model_id)
        with self._lock:
            return self._loaded.setdefault(model_id, loaded)

    def get_sound(self, model_id: str) -> StoredModel:
        """The same, its weights compared with its manifest once for each state of their file; 0.4 s for 575 MB.

        Raises `ModelError` besides when they are damaged. A damaged model is removed, so that it can be fetched, or
        added, again.
        """
        found = self.get(model_id)
        with self._dropped_when_damaged(model_id):
            found.check_weights()
        mark_used(found.folder)
        return found

    def tidy(self) -> None:
        """Remove what processes that died have left unfinished."""
        remove_leftovers(self.root)

    @contextmanager
    def _dropped_when_damaged(self, model_id: str) -> Iterator[None]:
        try:
            yield
        except DamagedModel as error:
            log.warning("%s", error)
            with suppress(ModelError, UsageError):  # a store of others: then it stays, and is refused each time
                self.remove(model_id)
            raise

    def has(self, model_id: str) -> bool:
        """Whether the model is here. Raises `UsageError` when it is, and another user keeps it to himself."""
        path = self.root / check_model_id(model_id) / MANIFEST
        try:
            return stat.S_ISREG(path.stat().st_mode)
        except PermissionError as exc:
            raise self._refused(path) from exc
        except OSError:
            return False

    def ids(self) -> tuple[str, ...]:
        """All models here, sorted."""
        if not self.root.is_dir():
            return ()
        return tuple(sorted(path.parent.name for path in self.root.glob(f"{'[0-9a-f]' * 64}/{MANIFEST}")))

    def name_of(self, model_id: str) -> str:
        """The name of a model that is here; empty where its manifest is damaged."""
        try:
            said = read_plain(self.root / check_model_id(model_id) / MANIFEST, MAX_MANIFEST_BYTES)
            return Manifest.from_json(said).name
        except (OSError, ModelError):
            return ""

    def remove(self, model_id: str) -> None:
        """Forget a model; sessions that run it keep their mapped pages. Nothing happens when it is not here."""
        with self._lock:
            self._loaded.pop(model_id, None)
        folder = self.root / check_model_id(model_id)
        if folder.is_dir():
            with self._workplace() as work:
                os.replace(folder, work / "removed")

    def receive(self, model_id: str, manifest: bytes) -> Incoming:
        """Begin or resume to receive a model from a peer.

        Received models that were unused for longest give way to it. Raises `ModelError` when `manifest` is malformed,
        does not belong to `model_id`, or asks for more than the quota or the disk has.
        """
        checked = Manifest.from_json(manifest)
        if checked.model_id != check_model_id(model_id):
            raise ModelError(f"the manifest belongs to model {checked.model_id[:12]}, not to {model_id[:12]}")
        with self._lock:
            incoming = self._incoming.get(model_id)
            if incoming is not None and not incoming.is_over:
                return incoming
            remove_leftovers(self.root)
            incoming = Incoming(self.root / "incoming" / model_id, checked, self._accept)
            expected_bytes = sum(other.n_bytes_missing for other in self._incoming.values() if not other.is_over)
            self._incoming[model_id] = incoming
        try:
            make_room(self.root, self.quota, incoming.n_bytes_missing, expected_bytes, self.remove)
        except BaseException:
            incoming.drop()
            raise
        return incoming

    @staticmethod
    def _refused(path: Path) -> UsageError:
        fact, hint = refused_words(path)
        return UsageError(fact, hint=hint)

    def _keep(self, normal: NormalModel, manifest: Manifest, graph: bytes) -> StoredModel:
        with self._workplace() as folder:
            with (folder / WEIGHTS).open("wb") as file:
                if _hash_weights(normal, file) != manifest.weights.sha256:
                    raise ModelError("the model's file changed while it was read", hint="try again")
            (folder / GRAPH).write_bytes(graph)
            (folder / MANIFEST).write_bytes(manifest.to_json())
            stored = load_stored(folder, manifest.model_id)
            stored.files.note(WEIGHTS, manifest.weights.sha256)
            stored.check_runs()
            return self._published(stored)

    def _accept(self, folder: Path, model_id: str) -> StoredModel:
        """Keep what was received."""
        stored = load_stored(folder, model_id)
        stored.check_weights()
        stored.check_runs()
        mark_received(folder)
        return self._published(stored)

    def _published(self, stored: StoredModel) -> StoredModel:
        """Rename the folder of `stored` into place; whoever comes second with the same contents throws his away."""
        folder, model_id = stored.folder, stored.model_id
        target = self.root / model_id
        try:
            sync_folder(folder, (WEIGHTS, GRAPH, MANIFEST))
            os.rename(folder, target)
            sync_folder(self.root)
        except OSError as exc:
            if not (target / MANIFEST).is_file():
                raise ModelError(f"cannot keep model {model_id[:12]} in `{self.root}`: {exc.strerror}") from exc
            shutil.rmtree(folder, ignore_errors=True)
            return self.get(model_id)
        with self._lock:
            return self._loaded.setdefault(model_id, stored.moved_to(target))

    @contextmanager
    def _workplace(self) -> Iterator[Path]:
        """A fresh folder below the root, on the same disk; removed in the end unless it was renamed."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            folder = self.root / f"adding-{secrets.token_hex(8)}"  # open to others as any folder: caches are shared
            folder.mkdir()
        except PermissionError as exc:
            raise self._refused(self.root) from exc
        except OSError as exc:
            raise UsageError(f"cannot write to `{self.root}`: {exc.strerror}", hint="set SEAMLINE_CACHE") from exc
        try:
            yield folder
        except OSError as exc:
            raise ModelError(f"cannot write to `{self.root}`: {exc.strerror}") from exc
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _first(given: Preprocess | FrameRecipe | None, said: FrameRecipe | None) -> FrameRecipe | None:
    """What was given, and what the sidecar says where that says nothing."""
    recipe = recipe_of(given) if isinstance(given, Preprocess) else given
    return said if recipe is None else recipe.over(said)


def _lay_out(normal: NormalModel) -> int:
    """Give all weights a place in the weights file, one after the other; the size of that file."""
    at = 0
    for tensor in normal.model.graph.initializer:
        data = normal.weights.get(tensor.name)
        if data is None:
            continue
        at += _padding_bytes(at, data.n_bytes)
        for key, value in (("location", WEIGHTS), ("offset", at), ("length", data.n_bytes)):
            tensor.external_data.add(key=key, value=str(value))
        at += data.n_bytes
    return at


def _hash_weights(normal: NormalModel, file: BinaryIO | None = None) -> str:
    """SHA-256 of the weights file as laid out; its bytes are written to `file` on the way."""
    digest = hashlib.sha256()
    at = 0
    for tensor in normal.model.graph.initializer:
        data = normal.weights.get(tensor.name)
        if data is None:
            continue
        padding = bytes(_padding_bytes(at, data.n_bytes))
        for piece in itertools.chain((padding,), data.chunks()):
            digest.update(piece)
            if file is not None:
                file.write(piece)
        at += len(padding) + data.n_bytes
    return digest.hexdigest()


def _padding_bytes(at: int, n_bytes: int) -> int:
    """Bytes from `at` to where a tensor may start: large ones on a page of their own, small ones on a cache line."""
    return -at % (PAGE_BYTES if n_bytes >= PAGE_BYTES else LINE_BYTES)


def _graph_bytes(model: ModelProto) -> bytes:
    """The graph file: nothing but what running and describing needs, in a fixed order."""
    kept = ModelProto(ir_version=model.ir_version, producer_name="seamline")
    kept.opset_import.extend(sorted(model.opset_import, key=lambda opset: opset.domain))
    kept.graph.CopyFrom(model.graph)
    kept.graph.ClearField("doc_string")
    kept.metadata_props.extend(sorted(model.metadata_props, key=lambda entry: entry.key))
    data: bytes = kept.SerializeToString(deterministic=True)
    return data
