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

from seamline.config.durable import locked
from seamline.config.paths import refused_words
from seamline.core.vocabulary.errors import ModelError
from seamline.model.onnx.external import CHUNK_BYTES, open_beside
from seamline.model.store.manifest import Manifest, PartInfo
from seamline.model.store.stored import MANIFEST, PARTS, StoredModel


class Incoming:
    """A model on its way in. Made by `ModelStore.receive`; a later one for the same id goes on where this one ended.

    Raises `ModelError` when the model does not fit on the disk.
    """

    def __init__(self, folder: Path, manifest: Manifest, accept: Callable[[Path, str], StoredModel]) -> None:
        self.model_id = manifest.model_id
        self._folder = folder
        self._manifest = manifest
        self._accept = accept
        self._lock = threading.Lock()
        self._stored: StoredModel | None = None
        self._parts = {"graph": manifest.graph, "weights": manifest.weights}
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._claim = (folder.parent / f"{folder.name}.lock").open("wb")
            if not locked(self._claim):
                folder = self._folder = folder.with_name(f"{folder.name}.{os.getpid()}")
            folder.mkdir(exist_ok=True)
            missing = sum(info.n_bytes - self.n_bytes_present(part) for part, info in self._parts.items())
            free = shutil.disk_usage(folder).free
            if missing > free:
                raise ModelError(f"model {self.model_id[:12]} needs {missing} bytes more, the disk has {free}")
            (folder / MANIFEST).write_bytes(manifest.to_json())
        except PermissionError as exc:
            fact, hint = refused_words(folder)
            raise ModelError(f"cannot receive model {self.model_id[:12]}: {fact}", hint=hint) from exc
        except OSError as exc:
            raise ModelError(f"cannot receive model {self.model_id[:12]}: {exc.strerror}") from exc

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
            present = self.n_bytes_present(part)
            view = memoryview(data).cast("B")
            if offset < 0 or offset > present or offset + len(view) > info.n_bytes:
                raise ModelError(f"{part} of model {self.model_id[:12]}: bytes at {offset} do not follow {present}")
            fresh = view[present - offset :]
            if not fresh:
                return
            try:
                with os.fdopen(_open_own(path), "ab") as file:
                    file.write(fresh)
            except OSError as exc:
                raise ModelError(f"cannot keep {part} of model {self.model_id[:12]}: {exc.strerror}") from exc

    def finish(self) -> StoredModel:
        """The model, checked and kept in the store. Raises `ModelError` when a part is incomplete or wrong.

        A wrong part is removed, so that the next attempt fetches it again.
        """
        with self._lock:
            if self._stored is None:
                for part, info in self._parts.items():
                    self._check(part, info)
                self._stored = self._accept(self._folder, self.model_id)
                Path(self._claim.name).unlink(missing_ok=True)
                self._claim.close()
            return self._stored

    def _part(self, part: str) -> tuple[PartInfo, Path]:
        if part not in self._parts:
            raise ModelError(f"{part[:40]!r} is no part of a model")
        return self._parts[part], self._folder / PARTS[part]

    def _check(self, part: str, info: PartInfo) -> None:
        path = self._folder / PARTS[part]
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
            raise ModelError(f"{part} of model {self.model_id[:12]} arrived damaged", hint="fetch it again")


def _open_own(path: Path) -> int:
    """Descriptor of a part, opened to be appended to, made when it is not there. Raises `OSError` for a link, and
    `ModelError` for anything that is no plain file."""
    if path.exists() and not path.is_file():
        raise ModelError(f"`{path.name}` of an unfinished model is no plain file", hint="remove its folder")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.open(path, flags, 0o666)
