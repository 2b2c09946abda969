"""Optimised forms of segments, kept on disk: a segment that was used before is ready in milliseconds.

ONNX Runtime spends most of a segment's preparation on optimising its graph, and keeps re-ordered copies of the weights
of convolutions in its own memory. Here both are kept from the first time on, beside the model's weights:

    <model folder>/optimised/<machine>/<digest>.onnx   the optimised graph of one segment, after 32 bytes of checksum
                                       <sha256>.bin    one re-ordered tensor, mapped by every segment that has it;
                                                       or a weight and its packed copy, see packed.py

An optimised graph fits one kind of processor and one release of the runtime (`machine_key`), so none is ever sent to
another node. The digest is of the segment's own graph: whatever changes in how segments are cut finds nothing here.
Measured on AMD EPYC, processor time: VGG-19 up to its fourth pooling 3 ms instead of 145, MobileNetV2 from cut 59 on 6
instead of 33, the same answers bit for bit. When forms are kept, and by which process:
`runtime.segments.compile_cache`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import tempfile
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath

import onnxruntime as ort
from onnx import ModelProto

from seamline.config.durable import write_file
from seamline.config.plain_files import read_plain
from seamline.core.vocabulary.errors import ModelError
from seamline.model.engine.kept_files import keep as keep_file
from seamline.model.engine.kept_files import refer
from seamline.model.engine.packed import keep_packed
from seamline.model.onnx.external import pieces
from seamline.model.onnx.prepacking import keep_mapped
from seamline.model.onnx.protobuf import parse_model, parse_outline
from seamline.model.onnx.session import open_bytes
from seamline.model.store.stored import WEIGHTS
from seamline.model.store.verified import VerifiedFiles

log = logging.getLogger(__name__)

OPTIMISED = "optimised"
"""Name of the folder below a model's."""

MAX_FORM_BYTES = 1 << 30

LARGE_BYTES = 1024
"""Tensors above this size get a file of their own; the rest stays in the graph."""

_CHECKSUM_BYTES = 32
_FORMAT = "3"
_CPU_FACTS = ("model name", "flags", "Features", "CPU part")


def find(graph: bytes, folder: Path, files: VerifiedFiles) -> bytes | None:
    """The optimised form of the segment whose serialised graph is `graph`; None when it is not kept, or damaged.

    folder: the model's, whose `files` are verified; what is damaged is dropped, so that it is made again. Load it with
    optimisation off, prepacking on, and `folder` as the place of external weights.
    """
    path = _graph_path(graph, folder)
    if not os.path.lexists(path):
        return None
    try:
        data = read_plain(path, MAX_FORM_BYTES, follows_links=False)
        checksum, form = data[:_CHECKSUM_BYTES], data[_CHECKSUM_BYTES:]
        if hashlib.sha256(form).digest() == checksum and _are_sound(form, folder, files):
            return form
    except OSError as exc:
        log.debug("`%s`: %s", path, exc)
    log.warning("an optimised form of model %s is damaged on the disk; it is made again", folder.name[:12])
    forget(graph, folder)
    return None


def _are_sound(form: bytes, folder: Path, files: VerifiedFiles) -> bool:
    """Whether all kept tensors that `form` refers to are what their names say: the runtime opens them by name, and
    would follow links, wait for pipes, and compute with any bytes. Those that are not are removed."""
    is_sound = True
    for name in _kept_names(form):
        if not files.holds(name, PurePosixPath(name).stem):
            is_sound = False
            (folder / name).unlink(missing_ok=True)
    return is_sound


def _kept_names(form: bytes) -> set[str]:
    model = parse_model(form, "an optimised segment")
    external = (entry for tensor in model.graph.initializer for entry in tensor.external_data)
    return {entry.value for entry in external if entry.key == "location" and entry.value != WEIGHTS}


def is_kept(graph: bytes, folder: Path) -> bool:
    """Whether there is something that `find` would look at."""
    return _graph_path(graph, folder).is_file()


def forget(graph: bytes, folder: Path) -> None:
    """Drop the optimised form of a segment: the runtime has refused it."""
    with suppress(OSError):
        _graph_path(graph, folder).unlink()


def keep(graph: bytes, folder: Path, files: VerifiedFiles) -> None:
    """Optimise the segment whose serialised graph is `graph` and keep the outcome; takes longer than preparing it.

    Raises `ModelError` when the runtime refuses it or `folder` cannot be written to. Two processes may do the same.
    """
    target = _graph_path(graph, folder)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="making-", dir=target.parent) as work:
            saved = Path(work) / "saved.onnx"
            open_bytes(graph, folder, what="the segment", n_threads=1, save_to=saved)
            model = _without_weights(saved, files, folder, target.parent)
            try:
                keep_packed(model, files, folder, target.parent, Path(work))
            except ModelError as error:  # then every session packs for itself
                log.debug("no packed weights are kept: %s", error)
            keep_mapped(model)
            form: bytes = model.SerializeToString(deterministic=True)
            write_file(target, (hashlib.sha256(form).digest(), form))
    except OSError as exc:
        raise ModelError(f"cannot keep an optimised segment in `{target.parent}`: {exc.strerror}") from exc


@lru_cache(maxsize=1)
def machine_key() -> str:
    """Names what an optimised graph depends on besides its model: processor, runtime and the form of these files."""
    facts = [_FORMAT, ort.__version__, platform.machine(), platform.processor(), *_cpu_facts()]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _cpu_facts() -> list[str]:
    """Processor facts from Linux that decide which instructions the runtime uses."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return sorted({line for line in lines if line.partition(":")[0].strip() in _CPU_FACTS})


def _graph_path(graph: bytes, folder: Path) -> Path:
    return folder / OPTIMISED / machine_key() / f"{hashlib.sha256(graph).hexdigest()}.onnx"


def _without_weights(saved: Path, files: VerifiedFiles, folder: Path, beside: Path) -> ModelProto:
    """The graph that the runtime saved, its large values moved to files in `beside`, a folder below `folder`.

    What the optimiser left alone still refers to the model's weights file.
    """
    outline = parse_outline(saved, LARGE_BYTES)
    with saved.open("rb") as source:
        for number, (offset, n_bytes) in outline.places.items():
            values = partial(pieces, source, offset, n_bytes, "an optimised segment")
            kept = keep_file(values, files, folder, beside)
            refer(outline.model.graph.initializer[number], kept.relative_to(folder), n_bytes)
    return outline.model
