"""Transfer of a model from a peer in pieces: resumable, bounded, and accepted only when the hashes fit.

Every part is one growing file, so that what is present is one number. Several threads may share one `Incoming` (the
store hands out one per model); a second process that receives the same model does so in a folder of its own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from seamline.config.durable import locked
from seamline.config.paths import refused_words
from seamline.core.vocabulary.errors import ModelError
from seamline.model.onnx.external import CHUNK_BYTES, open_beside
from seamline.model.store.manifest import Manifest, PartInfo
from seamline.model.store.stored import MANIFEST, PARTS, DamagedModel, StoredModel, load_graph

SPACE_HINT = "free some space, or give it another folder: --cache, SEAMLINE_CACHE"


class Incoming:
    """A model on its way in. Made by `ModelStore.receive`; a later one for the same id goes on where this one ended,
    unless that was dropped.

    The graph comes first, and is checked before a byte of the weights is taken. Raises `ModelError` when nothing can be
    written.
    """

    def __init__(self, folder: Path, manifest: Manifest, accept: Callable[[Path, str], StoredModel]) -> None:
        self.model_id = manifest.model_id
        self._folder = folder
        self._manifest = manifest
        self._accept = accept
        self._lock = threading.Lock()
        self._stored: StoredModel | None = None
        self._is_understood = False
        self._parts = {"graph": manifest.graph, "weights": manifest.weights}
        self._claim: BinaryIO | None = None
        self._holds_lock = False
        try:
            self._begin()
        except OSError as exc:
            self.drop()
            fact, hint = refused_words(folder) if isinstance(exc, PermissionError) else (exc.strerror, SPACE_HINT)
            raise ModelError(f"cannot receive model {self.model_id[:12]}: {fact}", hint=hint) from exc

    def _begin(self) -> None:
        folder = self._folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._claim = (folder.parent / f"{folder.name}.lock").open("wb")
        self._holds_lock = locked(self._claim)
        if not self._holds_lock:
            self._folder = folder.with_name(f"{folder.name}.{os.getpid()}")
        self._folder.mkdir(exist_ok=True)
        (self._folder / MANIFEST).write_bytes(self._manifest.to_json())

    @property
    def is_over(self) -> bool:
        """Whether it was finished or dropped."""
        return self._claim is None

    @property
    def parts(self) -> dict[str, int]:
        """Parts to fetch and their sizes in bytes."""
        return {part: info.n_bytes for part, info in self._parts.items()}

    def n_bytes_present(self, part: str) -> int:
        """Number of bytes of `part`, from its start, that are here already."""
        info, path = self._part(part)
        if self._stored is not None:
            return info.n_bytes
        try:
            return min(path.stat().st_size, info.n_bytes)
        except FileNotFoundError:  # not begun, or another thread has finished the model just now
            return 0

    def write(self, part: str, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Keep `data`; what is here already is ignored. Raises `ModelError` for a gap or bytes beyond the end."""
        info, path = self._part(part)
        with self._lock:
            if self._stored is not None:
                return
            if self.is_over:
                raise ModelError(f"model {self.model_id[:12]} is no longer received")
            present = self.n_bytes_present(part)
            view = memoryview(data).cast("B")
            if offset < 0 or offset > present or offset + len(view) > info.n_bytes:
                raise ModelError(f"{part} of model {self.model_id[:12]}: bytes at {offset} do not follow {present}")
            fresh = view[present - offset :]
            if not fresh:
                return
            if part != "graph":
                self._understand_graph()
            try:
                with os.fdopen(_open_own(path), "ab") as file:
                    file.write(fresh)
            except OSError as exc:
                words = f"cannot keep {part} of model {self.model_id[:12]}: {exc.strerror}"
                raise ModelError(words, hint=SPACE_HINT) from exc

    @property
    def n_bytes_missing(self) -> int:
        """Bytes that are still to come."""
        return sum(info.n_bytes - self.n_bytes_present(part) for part, info in self._parts.items())

    def drop(self) -> None:
        """Remove what has arrived, unless it is a finished model. Whoever else holds this is refused from now on."""
        with self._lock:
            if not self.is_over:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._let_go()

    def finish(self) -> StoredModel:
        """The model, checked and kept in the store. Raises `ModelError` when a part is incomplete or wrong.

        A wrong part is removed, so that the next attempt fetches it again.
        """
        with self._lock:
            if self._stored is None:
                self._understand_graph()
                self._check("weights")
                self._stored = self._accept(self._folder, self.model_id)
                self._let_go()
            return self._stored

    def _understand_graph(self) -> None:
        """Raises `ModelError` unless the graph is all here, what the manifest says, and one that can be used."""
        if not self._is_understood:
            self._check("graph")
            load_graph(self._folder, self._manifest)
            self._is_understood = True

    def _let_go(self) -> None:
        if self._claim is None:
            return
        if self._holds_lock:
            Path(self._claim.name).unlink(missing_ok=True)
        self._claim.close()
        self._claim = None

    def _part(self, part: str) -> tuple[PartInfo, Path]:
        if part not in self._parts:
            raise ModelError(f"{part[:40]!r} is no part of a model")
        return self._parts[part], self._folder / PARTS[part]

    def _check(self, part: str) -> None:
        info, path = self._part(part)
        present = self.n_bytes_present(part)
        if present != info.n_bytes:
            raise ModelError(f"{part} of model {self.model_id[:12]} has {present} of {info.n_bytes} bytes")
        os.close(_open_own(path))  # a part of 0 bytes was never written
        digest = hashlib.sha256()
        with open_beside(path) as file:
            while piece := file.read(CHUNK_BYTES):
                digest.update(piece)
        if digest.hexdigest() != info.sha256:
            os.unlink(path)
            raise DamagedModel(f"{part} of model {self.model_id[:12]} arrived damaged", hint="fetch it again")


def _open_own(path: Path) -> int:
    """Descriptor of a part, opened to be appended to, made when it is not there. Raises `OSError` for a link, and
    `ModelError` for anything that is no plain file."""
    if path.exists() and not path.is_file():
        raise ModelError(f"`{path.name}` of an unfinished model is no plain file", hint="remove its folder")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.open(path, flags, 0o666)
