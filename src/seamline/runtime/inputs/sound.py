"""Raw audio from WAV files as frames: windows as long as the model's input, or the whole file where that is open.

Floats are -1 to 1, integers as they are. Channels are averaged where the input has one. What the rate must be only the
model's author knows: an integer input called ``sr``, ``sample_rate`` or ``sampling_rate`` is given the file's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seamline.config.plain_files import read_plain
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.ports import Array
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.runtime.inputs.source import FramesInFiles

SOUND_SUFFIXES = frozenset({".wav", ".wave"})
RATE_INPUTS = frozenset({"sr", "sample_rate", "sampling_rate"})
MAX_FILE_BYTES = 1 << 31
_EXTENSIBLE = 0xFFFE
"""Format tag of a WAV file whose real one (1 PCM, 3 floats) stands further behind."""

_SOUND_DTYPES = frozenset({"float32", "float16", "float64", "int16", "int32"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """What a WAV file holds. samples: float32[n, channels], -1 to 1. rate_hz: samples a second."""

    samples: Array
    rate_hz: int


class SoundFiles(FramesInFiles):
    """Windows of sound from WAV files; the last window of a file is filled up with silence."""

    def content(self, path: Path) -> Array:
        """The whole file, float32[n]: what an open axis of a model with one axis takes."""
        return _mono(read_wav(path))

    def frames_of(self, path: Path, inputs: tuple[TensorSpec, ...]) -> Iterator[Mapping[str, Array]]:
        spec = _sound_input(inputs)
        others = [each for each in inputs if each.name in RATE_INPUTS and each is not spec and each.dtype[:3] == "int"]
        n_samples = max(spec.shape, default=1)
        sound = read_wav(path)
        values = _typed(_mono(sound), spec)
        rate = {each.name: np.full(each.shape, sound.rate_hz, each.dtype) for each in others}
        for at in range(0, len(values), n_samples):
            window = np.zeros(n_samples, spec.dtype)
            piece = values[at : at + n_samples]
            window[: len(piece)] = piece
            yield {spec.name: window.reshape(spec.shape), **rate}


def read_wav(path: Path) -> Sound:
    """The WAV file `path`: PCM of 8, 16, 24 or 32 bits, or floats. Raises `UsageError` for anything else."""
    try:
        return _parsed(read_plain(path, MAX_FILE_BYTES))
    except OSError as exc:
        raise UsageError(f"cannot read `{path}`: {exc.strerror}", hint="check the path") from exc
    except (struct.error, ValueError, KeyError) as exc:
        raise UsageError(f"`{path}` cannot be read as WAV: {exc}", hint="convert it to 16-bit PCM") from exc


def _parsed(data: bytes) -> Sound:
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError("it does not begin with RIFF and WAVE")
    chunks: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(data):
        key, n_bytes = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        chunks.setdefault(key, data[at + 8 : at + 8 + n_bytes])  # a stream that was written live claims 4 GiB
        at += 8 + n_bytes + n_bytes % 2
    if b"fmt " not in chunks or b"data" not in chunks:
        raise ValueError("it has no format or no samples")
    kind, n_channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", chunks[b"fmt "])
    if kind == _EXTENSIBLE:
        kind = struct.unpack_from("<H", chunks[b"fmt "], 24)[0]
    if not n_channels or not rate_hz:
        raise ValueError("it claims no channel or no rate")
    body = chunks[b"data"]
    whole = len(body) // (n_channels * bits // 8) * (n_channels * bits // 8) if bits >= 8 else 0
    values = _values(body[:whole], kind, bits)
    return Sound(samples=values.reshape(-1, n_channels), rate_hz=rate_hz)


def _values(body: bytes, kind: int, bits: int) -> Array:
    match kind, bits:
        case 1, 8:
            return (np.frombuffer(body, np.uint8).astype(np.float32) - 128) / 128
        case 1, 16:
            return np.frombuffer(body, "<i2").astype(np.float32) / (1 << 15)
        case 1, 24:
            wide = np.zeros((len(body) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(body, np.uint8).reshape(-1, 3)
            return (wide.view("<i4").ravel() / (1 << 31)).astype(np.float32)
        case 1, 32:
            return (np.frombuffer(body, "<i4") / (1 << 31)).astype(np.float32)
        case 3, 32 | 64:
            return np.frombuffer(body, f"<f{bits // 8}").astype(np.float32)
    raise ValueError(f"format {kind} with {bits} bits is not known")


def _mono(sound: Sound) -> Array:
    return sound.samples[:, 0] if sound.samples.shape[1] == 1 else sound.samples.mean(1, dtype=np.float32)


def _typed(values: Array, spec: TensorSpec) -> Array:
    """Samples of -1 to 1 in the input's dtype: integers over their whole range."""
    if spec.dtype.startswith("float"):
        return values.astype(spec.dtype)
    limits = np.iinfo(spec.dtype)
    return np.clip(np.rint(values.astype(np.float64) * (limits.max + 1)), limits.min, limits.max).astype(spec.dtype)


def _sound_input(inputs: tuple[TensorSpec, ...]) -> TensorSpec:
    """The input that takes sound: numbers along one axis. Raises `UsageError` when there is none, or more than one."""
    found = [spec for spec in inputs if spec.dtype in _SOUND_DTYPES and sum(axis > 1 for axis in spec.shape) == 1]
    if len(found) != 1:
        names = ", ".join(f"`{spec.name}` {spec.dtype}{list(spec.shape)}" for spec in inputs)
        raise UsageError(f"{len(found)} inputs could take sound: {names}", hint="give arrays by name: .npz, .jsonl")
    return found[0]
