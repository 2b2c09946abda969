"""Stored model: its graph, its cuts, its segments, and its bytes for a peer that lacks it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path

from onnx import ModelProto, TensorProto

from seamline.config.paths import refused_words
from seamline.config.plain_files import open_plain, read_plain
from seamline.core.graph.cuts import legal_cuts
from seamline.core.graph.model_graph import ModelGraph
from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.profiles import Cut, TensorSpec
from seamline.model.metadata.labels import read_labels, read_task
from seamline.model.metadata.preprocess import Preprocess, read_preprocess
from seamline.model.onnx.external import locate, open_beside, tensor_bytes
from seamline.model.onnx.operators import attribute_tensors, nested_graphs
from seamline.model.onnx.protobuf import parse_model, understood
from seamline.model.onnx.segments import Cutter, SegmentModel
from seamline.model.onnx.session import check_runs
from seamline.model.onnx.to_graph import graph_of
from seamline.model.store.manifest import MAX_GRAPH_BYTES, MAX_MANIFEST_BYTES, Manifest
from seamline.model.store.reseed import ConstantWeights, constant_weights
from seamline.model.store.verified import VerifiedFiles, is_damage

MANIFEST = "manifest.json"
GRAPH = "graph.onnx"
WEIGHTS = "weights.bin"
PARTS = {"manifest": MANIFEST, "graph": GRAPH, "weights": WEIGHTS}
"""File names of the parts that can be transferred."""

MAX_READ_BYTES = 1 << 24
ADD_AGAIN = "add it again, or have a node that has it send it: what is damaged is removed"


class DamagedModel(ModelError):
    """A model of the store whose files are not what its manifest says; the store has no use for it."""


class StoredModel:
    """A model of the store; immutable. Made by `ModelStore.add` and `ModelStore.get`.

    folder: holds its parts. files: what is known of those. preprocess: set when a segment from cut 0 takes ``frame:
    uint8[H, W, 3]`` instead of the model's own input; `graph` and `cuts` describe the model without it.
    task: what it was exported for, see `onnx.labels.TASKS`; None when nothing says.
    """

    def __init__(self, folder: Path, manifest: Manifest, model: ModelProto) -> None:
        self.folder = folder
        self.model_id = manifest.model_id
        self.name = manifest.name
        self.preprocess: Preprocess | None = manifest.preprocess
        self.graph: ModelGraph = graph_of(model.graph)
        self.cuts: tuple[Cut, ...] = legal_cuts(self.graph)
        self.files = VerifiedFiles(folder)
        self._manifest = manifest
        self._model = model
        self._labels, self.task = read_labels(model), read_task(model)
        self._cutter = Cutter(model, self.graph, self.cuts, self.preprocess)

    @property
    def whole(self) -> Segment:
        return Segment(0, len(self.cuts) - 1)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What one frame is made of: the model's inputs, the camera frame for the one that is made of it."""
        return self._cutter.inputs

    @property
    def weights_bytes(self) -> int:
        """Size of the shared weights file."""
        return self._manifest.weights.n_bytes

    @property
    def metadata(self) -> dict[str, str]:
        """What exporters wrote beside the graph, by key."""
        return {entry.key: entry.value for entry in self._model.metadata_props}

    def labels(self) -> tuple[str, ...] | None:
        """Names of the classes, if the model carries them."""
        return self._labels

    def constant_weights(self) -> ConstantWeights:
        """Matrices and filters whose values are all the same; where they are many, equal outputs prove nothing."""
        return constant_weights(self._model, lambda tensor: locate(tensor, self.folder))

    def segment(self, segment: Segment) -> SegmentModel:
        """The ONNX model of `segment`; its weights are references into `folder`. Raises `ModelError`: no such cut."""
        return self._cutter.segment(segment)

    def moved_to(self, folder: Path) -> StoredModel:
        """The same model after its folder was renamed to `folder`."""
        moved = copy(self)
        moved.folder, moved.files = folder, VerifiedFiles(folder)
        return moved

    def manifest(self) -> bytes:
        """Manifest for a peer that receives this model: JSON with sizes and SHA-256 of the parts."""
        return self._manifest.to_json()

    def read_part(self, part: str, offset: int, length: int) -> bytes:
        """Up to `length` bytes (at most 16 MiB) at `offset` of ``manifest``, ``graph`` or ``weights``; none at the end.

        Raises `ModelError` for any other part or a negative position: requests come from peers.
        """
        if part not in PARTS or offset < 0 or length < 0:
            raise ModelError(f"model {self.model_id[:12]} has no bytes {offset}+{length} of {part[:40]!r}")
        if part == "manifest":
            return self.manifest()[offset : offset + min(length, MAX_READ_BYTES)]
        with open_beside(self.folder / PARTS[part]) as file:
            return os.pread(file.fileno(), min(length, MAX_READ_BYTES), offset)

    def check_weights(self) -> None:
        """Compare the weights with the manifest, once for each state of their file. Raises `DamagedModel`, or
        `ModelError` when the disk does not give them."""
        what = f"weights of model {self.model_id[:12]}"
        with _translated(self.folder / WEIGHTS):
            is_sound = self.files.holds(WEIGHTS, self._manifest.weights.sha256)
        if not is_sound:
            raise DamagedModel(f"{what} are damaged in `{self.folder.parent}`", hint=ADD_AGAIN)

    def check_runs(self) -> None:
        """Let the engine look at the whole model. Raises `ModelError` naming what it does not support."""
        whole = self._cutter.segment(self.whole)
        if whole.model is not None:
            check_runs(whole.model, self.folder)


def load_stored(folder: Path, model_id: str) -> StoredModel:
    """The model in `folder`. Raises `ModelError` when a part is missing, has another size, or is not `model_id`.

    The graph is hashed here, the weights by `StoredModel.check_weights`.
    """
    said = _read_small(folder / MANIFEST, MAX_MANIFEST_BYTES)
    try:
        manifest = Manifest.from_json(said)
    except ModelError as exc:
        raise DamagedModel(f"{exc} in `{folder.parent}`", hint=ADD_AGAIN) from exc
    if manifest.model_id != model_id:
        raise DamagedModel(f"model {model_id[:12]} is damaged in `{folder.parent}`", hint=ADD_AGAIN)
    with _translated(folder / WEIGHTS), open_plain(folder / WEIGHTS, follows_links=False) as file:
        n_bytes = os.fstat(file.fileno()).st_size
    if n_bytes != manifest.weights.n_bytes:
        words = f"weights of model {model_id[:12]} have {n_bytes} bytes instead of {manifest.weights.n_bytes}"
        raise DamagedModel(words, hint=ADD_AGAIN)
    return load_graph(folder, manifest)


def load_graph(folder: Path, manifest: Manifest) -> StoredModel:
    """The same without a look at the weights, which may be still to come."""
    data = _read_small(folder / GRAPH, MAX_GRAPH_BYTES)
    if hashlib.sha256(data).hexdigest() != manifest.graph.sha256:
        words = f"the graph of model {manifest.model_id[:12]} is damaged in `{folder.parent}`"
        raise DamagedModel(words, hint=ADD_AGAIN)
    what = f"graph of model {manifest.model_id[:12]}"
    with understood(what):
        model = parse_model(data, what)
        _check_references(model, manifest.weights.n_bytes)
        if read_preprocess(model) != manifest.preprocess:
            raise ModelError(f"manifest and {what} disagree about preprocessing")
        return StoredModel(folder, manifest, model)


def _check_references(model: ModelProto, n_bytes: int) -> None:
    """Weights may lie in our own weights file only, whoever sent the graph, and only at the top of the graph; and that
    file holds nothing else, so that its size is known before it is sent."""
    for graph in nested_graphs(model.graph):
        inner = () if graph is model.graph else tuple(graph.initializer)
        for tensor in (*attribute_tensors(graph), *inner):
            if tensor.data_location == TensorProto.EXTERNAL:
                raise ModelError(f"`{tensor.name}` refers to data outside the model")
    end = 0
    for tensor in model.graph.initializer:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        fields = {entry.key: entry.value for entry in tensor.external_data}
        start, length = fields.get("offset", ""), fields.get("length", "")
        plain = start.isdecimal() and length.isdecimal() and set(fields) == {"location", "offset", "length"}
        if not plain or fields["location"] != WEIGHTS:
            raise ModelError(f"weights `{tensor.name}` do not lie in the model's weights file")
        if int(length) != tensor_bytes(tensor) or int(start) + int(length) > n_bytes:
            raise ModelError(f"weights `{tensor.name}` lie beyond the model's weights file")
        end = max(end, int(start) + int(length))
    if end != n_bytes:
        raise ModelError(f"the model's weights file has {n_bytes} bytes, and its graph has a use for {end}")


def _read_small(path: Path, limit: int) -> bytes:
    with _translated(path):
        return read_plain(path, limit, follows_links=False)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn what is wrong with a file of the store into `ModelError`: `DamagedModel` where it will not get better."""
    try:
        yield
    except PermissionError as exc:
        fact, hint = refused_words(path)
        raise ModelError(fact, hint=hint) from exc
    except OSError as exc:
        what = f"`{path.name}` of model {path.parent.name[:12]}"
        if is_damage(exc):
            raise DamagedModel(f"{what} is damaged: {exc.strerror}", hint=ADD_AGAIN) from exc
        raise ModelError(f"{what} cannot be read: {exc.strerror}", hint="is the disk damaged?") from exc
