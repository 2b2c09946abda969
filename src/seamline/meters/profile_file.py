"""Profiles as JSON (schema ``seamline.profile/1``) and a cache of them on disk.

The format is an interface: published measurements can be written in it by hand. So only what every use needs must be
there; what is left out stays None or empty, and what would need it is not offered. Unknown keys are ignored.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

import seamline
from seamline.config import convert
from seamline.config.durable import locked, write_file
from seamline.config.paths import read_text, refused_words
from seamline.core.vocabulary.errors import ConfigError, SeamlineError
from seamline.core.vocabulary.nodes import node_id
from seamline.core.vocabulary.plans import Codec
from seamline.core.vocabulary.profiles import (
    Block,
    Boundary,
    CodecCost,
    Cut,
    DeviceInfo,
    FrameInfo,
    ModelInfo,
    Profile,
    Quantiles,
    TensorSpec,
)

log = logging.getLogger(__name__)

SCHEMA = "seamline.profile/1"
METHOD = 4
"""Counts the ways of measuring, and of running a segment; a profile cached by an earlier one is measured again."""

MAX_FILE_BYTES = 64 << 20
MAX_NUMBER = 2**62


def to_json(profile: Profile) -> dict[str, Any]:
    """`profile` as a JSON object of schema ``seamline.profile/1``. What is None is left out."""
    device, frame = profile.device, profile.frame
    radio = {name: getattr(device, name) or None for name in ("tx_j_per_byte", "rx_j_per_byte")}
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "model": _present(asdict(profile.model)),
        "device": _present(asdict(device) | radio),
        "cuts": [_cut_to_json(cut) for cut in profile.cuts],
        "blocks": [asdict(block) for block in profile.blocks],
        "whole_s": asdict(profile.whole_s),
        "codecs": [_codec_to_json(cost) for cost in profile.codecs],
    }
    if profile.boundaries:
        document["boundaries"] = [asdict(each) for each in profile.boundaries]
    if frame is not None:
        document["frame"] = _present(asdict(frame))
    if profile.tails is not None:
        document["tails"] = list(profile.tails)
    return document


def from_json(document: Any, *, origin: str = "profile") -> Profile:
    """The profile in a decoded JSON object. origin: what errors call it, e.g. the file.

    Raises `ConfigError` naming the key that is missing or wrong. It may come from a peer, so all is checked.
    """
    if not isinstance(document, Mapping):
        raise ConfigError(f"{origin}: not a JSON object")
    schema = document.get("schema")
    if schema != SCHEMA:
        raise ConfigError(f"{origin}: `schema` is {schema!r}", hint=f'this version reads "{SCHEMA}"')
    file = convert(document, _File, origin=origin)
    _refuse_absurd(msgspec.to_builtins(file), origin, at="")
    cuts = tuple(_cut(raw, f"{origin}: `cuts[{i}]`") for i, raw in enumerate(file.cuts))
    _check_indices(file, origin)
    try:
        node_id(file.device.name)
        return Profile(
            model=file.model,
            device=file.device,
            cuts=cuts,
            blocks=tuple(
                Block(from_cut=raw.from_cut, to_cut=raw.to_cut, compute_s=_quantiles(raw.compute_s))
                for raw in file.blocks
            ),
            whole_s=_quantiles(file.whole_s),
            frame=file.frame,
            codecs=tuple(CodecCost(**structs.asdict(raw)) for raw in file.codecs),
            boundaries=file.boundaries,
            tails=file.tails,
        )
    except SeamlineError as exc:
        raise ConfigError(f"{origin}: {exc}") from exc


def read_profile(path: Path) -> Profile:
    """The profile in the file at `path`. Raises `ConfigError` naming file and key."""
    text = read_text(path, max_bytes=MAX_FILE_BYTES, hint="`seamline profile` makes one")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:  # no JSON, or nested beyond reason
        raise ConfigError(f"{path} is not JSON: {exc}", hint="`seamline profile` makes one") from exc
    return from_json(document, origin=str(path))


def write_profile(profile: Profile, path: Path) -> None:
    """Write `profile` to `path`, whole or not at all: readers never see half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, (json.dumps(to_json(profile), indent=1, allow_nan=False).encode(),))


class ProfileCache:
    """Profiles measured on this machine, by model and by everything of the device that changes times.

    That is its processor, engine and threads, Seamline's version (which decides where cuts are) and the way
    of measuring. A device's name and power figures are the caller's: the same machine may be called otherwise today.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, model_id: str, device: DeviceInfo) -> Profile | None:
        """The profile for `device`, carrying its name and power figures; None when there is none or it is broken."""
        path = self._path(model_id, device)
        if not path.exists():
            return None
        try:
            return replace(read_profile(path), device=device)
        except ConfigError as exc:
            log.warning("ignoring a cached profile: %s", exc)
            return None

    def put(self, model_id: str, profile: Profile) -> None:
        """Keep `profile`. A cache that cannot be written only costs time, so that is logged and not raised."""
        path = self._path(model_id, profile.device)
        try:
            write_profile(profile, path)
        except PermissionError:
            log.warning("the profile of `%s` was not cached: %s; hint: %s", profile.model.name, *refused_words(path))
        except OSError as exc:
            log.warning("the profile of `%s` was not cached: %s", profile.model.name, exc)

    @contextmanager
    def claimed(self, model_id: str, device: DeviceInfo, patience_s: float) -> Iterator[None]:
        """Within it no other process is that has claimed the same, unless it took longer than `patience_s` to leave."""
        path = self._path(model_id, device).with_suffix(".lock")
        until_s = time.monotonic() + patience_s
        with ExitStack() as stack:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(path.open("wb"))
            except OSError as exc:
                log.info("%s cannot be locked: %s", path, exc)
            else:
                while not locked(file) and time.monotonic() < until_s:
                    time.sleep(0.05)
            yield

    def _path(self, model_id: str, device: DeviceInfo) -> Path:
        # Hashed: ids and names come from elsewhere and never become part of a path.
        key = [model_id, device.cpu, device.engine, device.threads, seamline.__version__, METHOD]
        return self._folder / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()}.json"


class _Tensor(msgspec.Struct, frozen=True):
    name: str
    dtype: str
    shape: tuple[int, ...]
    exact: bool = False


class _Cut(msgspec.Struct, frozen=True, rename={"payload_bytes": "bytes"}):
    index: int
    payload_bytes: int
    after: str = ""
    tensors: tuple[_Tensor, ...] = ()
    macs_before: int = 0
    is_candidate: bool = True
    carries_input: bool = False
    weights_before_bytes: int = 0


class _Quantiles(msgspec.Struct, frozen=True):
    median: float
    p90: float | None = None


class _Block(msgspec.Struct, frozen=True):
    from_cut: int
    to_cut: int
    compute_s: _Quantiles


class _CodecCost(msgspec.Struct, frozen=True):
    codec: Codec
    encode_s_per_byte: float
    decode_s_per_byte: float
    cut: int | None = None
    compression_ratio: float = msgspec.field(name="sent_ratio", default=1.0)


class _File(msgspec.Struct, frozen=True):
    model: ModelInfo
    device: DeviceInfo
    cuts: tuple[_Cut, ...]
    blocks: tuple[_Block, ...]
    whole_s: _Quantiles
    frame: FrameInfo | None = None
    codecs: tuple[_CodecCost, ...] = ()
    boundaries: tuple[Boundary, ...] = ()
    tails: tuple[int, ...] | None = None


def _cut(raw: _Cut, at: str) -> Cut:
    try:
        tensors = tuple(TensorSpec(**structs.asdict(spec)) for spec in raw.tensors)
    except SeamlineError as exc:
        raise ConfigError(f"{at}: {exc}") from exc
    return Cut(**structs.asdict(raw) | {"tensors": tensors})


def _quantiles(raw: _Quantiles) -> Quantiles:
    """A published figure without a spread is taken as one that does not vary."""
    return Quantiles(median=raw.median, p90=raw.median if raw.p90 is None else raw.p90)


def _check_indices(file: _File, origin: str) -> None:
    """Cuts are numbered 0, 1, 2, ...: plans name them by their place."""
    for place, cut in enumerate(file.cuts):
        if cut.index != place:
            raise ConfigError(f"{origin}: `cuts[{place}].index` is {cut.index}", hint="number the cuts 0, 1, 2, ...")


def _refuse_absurd(value: Any, origin: str, at: str) -> None:
    """No number of a profile is negative, endless or not a number; JSON as Python reads it allows all three."""
    for key, item in _items(value):
        path = f"{at}[{key}]" if isinstance(key, int) else f"{at}.{key}" if at else str(key)
        if isinstance(item, (int, float)) and not 0 <= item <= MAX_NUMBER:
            raise ConfigError(f"{origin}: `{path}` is {str(item)[:24]}, and must be a number from 0 up")
        _refuse_absurd(item, origin, path)


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, (list, tuple)):
        yield from enumerate(value)


def _cut_to_json(cut: Cut) -> dict[str, Any]:
    return {
        "index": cut.index,
        "after": cut.after,
        "tensors": [_tensor_to_json(spec) for spec in cut.tensors],
        "bytes": cut.payload_bytes,
        "macs_before": cut.macs_before,
        "is_candidate": cut.is_candidate,
        "carries_input": cut.carries_input,
        "weights_before_bytes": cut.weights_before_bytes,
    }


def _tensor_to_json(spec: TensorSpec) -> dict[str, Any]:
    plain = {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)}
    return {**plain, "exact": True} if spec.exact else plain


def _codec_to_json(cost: CodecCost) -> dict[str, Any]:
    plain = asdict(cost) | {"codec": str(cost.codec)}
    ratio = plain.pop("compression_ratio")
    return _present(plain | {"sent_ratio": None if ratio == 1.0 else ratio})


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
