"""Whatever bytes a file holds, its reader answers, or raises our own error: nothing else leaves a reader."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from seamline.config import load_testbed, read_trace
from seamline.core.vocabulary.errors import SeamlineError
from seamline.heads.names import read_names
from seamline.meters.profile_file import read_profile
from seamline.meters.sampled import replay_reader
from seamline.model.metadata.sidecar import read_sidecar
from seamline.model.onnx.reading import read_model
from seamline.model.store.calibration import read_calibration
from seamline.model.store.manifest import Manifest
from seamline.model.zoo.torch_file import read_tensors
from seamline.runtime.inputs.arrays import ArrayFiles
from seamline.runtime.inputs.json_lines import open_json_lines
from seamline.runtime.inputs.sound import read_wav
from seamline.runtime.origin.recording import read_recording
from seamline.runtime.shared.clock import MONOTONIC

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.arange(20, dtype=np.float32))
    return buffer.getvalue()


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(20, dtype=np.float32))
    return buffer.getvalue()


NODES = b'[[node]]\nname = "edge"\ntier = "edge"\nslowdown = 8\n[[node]]\nname = "fog"\ntier = "fog"\nthreads = 2\n'
LINKS = b'[[link]]\nbetween = ["edge", "fog"]\nrate_mbps = 20\n[[change]]\nlink = "edge-fog"\nat_s = 1\nrate_mbps = 2\n'
PROFILE = {
    "schema": "seamline.profile/1",
    "model": {"name": "m"},
    "device": {"name": "edge", "threads": 1},
    "cuts": [{"index": 0, "bytes": 10}, {"index": 1, "bytes": 4}],
    "blocks": [{"from_cut": 0, "to_cut": 1, "compute_s": {"median": 0.1}}],
    "whole_s": {"median": 0.1},
}
WAV = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\4\0\0\0\1\0\2\0"

READERS: dict[str, tuple[Callable[[Path], object], bytes]] = {
    "testbed": (load_testbed, NODES + LINKS),
    "trace": (read_trace, b"time_s,mbps,delay_ms,loss_ratio\n0,4,2,0\n1,4.5,30,0.01\n"),
    "mahimahi": (read_trace, b"1\n20\n40\n"),
    "class names": (read_names, b"names:\n  0: person\n  1: car\n"),
    "class names as JSON": (read_names, b'{"0": "person", "1": ["n1", "car"]}'),
    "profile": (read_profile, json.dumps(PROFILE).encode()),
    "power": (lambda path: replay_reader(path, MONOTONIC), b"time_s,power_w\n0,3.2\n1,4\n"),
    "sidecar": (lambda path: read_sidecar(path.with_name("x.onnx")), b'[frame]\npreprocess = "imagenet"\nheight = 9\n'),
    "model": (read_model, b'\x08\x08:\x16\n\x0c\n\x01x\x12\x01y"\x04Relu\x12\x01gB\x04\n\x00\x10\x11'),
    "manifest": (lambda path: Manifest.from_json(path.read_bytes()), b'{"schema": "seamline.model/1", "name": "m"}'),
    "calibration": (lambda path: read_calibration(path.parent), b'{"schema": "seamline.calibration/1", "cuts": []}'),
    "checkpoint": (read_tensors, b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."),
    "arrays, npz": (lambda path: ArrayFiles(name="a", files=(path,), loop=False).first(), npz()),
    "arrays, npy": (lambda path: ArrayFiles(name="a", files=(path,), loop=False).first(), npy()),
    "lines of JSON": (lambda path: open_json_lines(path).first(), b'[[1, 2.5], [3, 4]]\n{"a": [1]}\n'),
    "sound": (read_wav, WAV),
    "recording": (lambda path: list(read_recording(path)), b'{"schema": "seamline.session/2", "session": {}}\n'),
}
NAMES = {"sidecar": "x.seamline.toml", "calibration": "calibration.json"}
TOKENS = st.sampled_from(
    [b"1e308", b"-1e308", b"1e-300", b"nan", b"inf", b"9" * 400, b"-1", b"0", b"[" * 3000, b"{" * 3000, b'"', b"\0",
     b"\xff", b"\xef\xbb\xbf", b"\r\n", b"\n", b",", b"../../../etc/passwd", b"9999-99-99", b"null", b"true"]
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, sound: bytes) -> bytes:
    """`sound` with a few pieces of it taken out, replaced or put in."""
    data = bytearray(sound)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(len(data), start + 12)))
        data[start:stop] = draw(st.one_of(TOKENS, st.binary(max_size=8)))
    return bytes(data)


def check(reader: str, folder: Path, data: bytes) -> None:
    read = READERS[reader][0]
    path = folder / NAMES.get(reader, "file")
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with suppress(SeamlineError):
            read(path)


@pytest.mark.parametrize("reader", READERS)
def test_only_our_own_error_leaves_a_reader_of_a_damaged_file(reader: str, tmp_path: Path) -> None:
    @FEW
    @given(damaged(READERS[reader][1]))
    def run(data: bytes) -> None:
        check(reader, tmp_path, data)

    run()


@pytest.mark.parametrize("reader", READERS)
def test_only_our_own_error_leaves_a_reader_of_any_bytes(reader: str, tmp_path: Path) -> None:
    @FEW
    @given(st.binary(max_size=200))
    @example(b"")
    @example(b"[" * 100_000)
    @example(b"\xef\xbb\xbf")
    @example(b"9" * 5000)
    def run(data: bytes) -> None:
        check(reader, tmp_path, data)

    run()
