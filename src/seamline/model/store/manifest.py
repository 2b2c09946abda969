"""Manifest of a stored model: its parts, and the id that follows from them. Comes from peers, so all is checked."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from seamline.core.vocabulary.errors import ModelError
from seamline.model.metadata.preprocess import Preprocess

SCHEMA = "seamline.model/1"
MAX_MANIFEST_BYTES = 1 << 16
MAX_GRAPH_BYTES = 1 << 26
MAX_WEIGHTS_BYTES = 1 << 38

_ID = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[\w.-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartInfo:
    """Size and hash of one file."""

    n_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """name: for people, no part of the identity. preprocess: repeats what the graph file says, for display."""

    name: str
    graph: PartInfo
    weights: PartInfo
    preprocess: Preprocess | None = None

    @property
    def model_id(self) -> str:
        """SHA-256 over the hashes of both parts and the preprocessing, as 64 hex digits."""
        preprocess = self.preprocess.to_json() if self.preprocess else ""
        text = f"{SCHEMA}\n{self.graph.sha256}\n{self.weights.sha256}\n{preprocess}"
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> bytes:
        parts = {
            part: {"bytes": info.n_bytes, "sha256": info.sha256}
            for part, info in (("graph", self.graph), ("weights", self.weights))
        }
        preprocess = json.loads(self.preprocess.to_json()) if self.preprocess else None
        fields = {"schema": SCHEMA, "name": self.name, "parts": parts, "preprocess": preprocess}
        return json.dumps(fields, sort_keys=True, indent=1).encode()

    @staticmethod
    def from_json(data: bytes) -> Manifest:
        """Raises `ModelError` when `data` is not what `to_json` writes, or a size is beyond the limits."""
        if len(data) > MAX_MANIFEST_BYTES:
            raise ModelError(f"the model's manifest has {len(data)} bytes, more than {MAX_MANIFEST_BYTES}")
        try:
            fields = json.loads(bytes(data))
            if fields["schema"] != SCHEMA or not _NAME.fullmatch(fields["name"]):
                raise ModelError(f"the model's manifest is not of schema {SCHEMA}")
            preprocess = fields["preprocess"]
            return Manifest(
                name=fields["name"],
                graph=_part(fields["parts"]["graph"], MAX_GRAPH_BYTES),
                weights=_part(fields["parts"]["weights"], MAX_WEIGHTS_BYTES),
                preprocess=None if preprocess is None else Preprocess.from_json(json.dumps(preprocess)),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            raise ModelError("the model's manifest is malformed") from exc


def make_manifest(
    *, name: str, graph: tuple[int, str], weights: tuple[int, str], preprocess: Preprocess | None
) -> Manifest:
    """The manifest of parts given as (bytes, SHA-256)."""
    return Manifest(
        name=name,
        graph=PartInfo(n_bytes=graph[0], sha256=graph[1]),
        weights=PartInfo(n_bytes=weights[0], sha256=weights[1]),
        preprocess=preprocess,
    )


def check_model_id(model_id: str) -> str:
    """`model_id` itself. Raises `ModelError` unless it is 64 hex digits: ids come from peers and become paths."""
    if not _ID.fullmatch(model_id):
        raise ModelError(f"{model_id[:80]!r} is not a model id", hint="a model id is 64 hexadecimal digits")
    return model_id


def _part(fields: dict[str, object], limit: int) -> PartInfo:
    n_bytes, sha256 = fields["bytes"], fields["sha256"]
    if type(n_bytes) is not int or not 0 <= n_bytes <= limit:
        raise ModelError(f"a part of the model has {n_bytes!r} bytes, allowed are {limit}")
    if not isinstance(sha256, str) or not _ID.fullmatch(sha256):
        raise ModelError("a part of the model has no valid SHA-256")
    return PartInfo(n_bytes=n_bytes, sha256=sha256)
