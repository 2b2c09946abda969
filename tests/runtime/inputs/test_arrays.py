"""Files of arrays, lines of JSON and sound become exactly the tensors that a model takes, or words about why not."""

from __future__ import annotations

import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.runtime.inputs import json_lines
from seamline.runtime.inputs.arrays import ArrayFiles
from seamline.runtime.inputs.json_lines import JsonLines, json_lines_on
from seamline.runtime.inputs.opening import open_arrays
from seamline.runtime.inputs.sound import SoundFiles, read_wav
from seamline.runtime.inputs.source import ArraySource

RNG = np.random.default_rng(9)
X = TensorSpec(name="x", dtype="float32", shape=(1, 2, 3))
IDS = TensorSpec(name="ids", dtype="int64", shape=(1, 4))


def opened(path: Path, *, loop: bool = False) -> ArraySource:
    source = open_arrays(str(path), loop=loop)
    assert source is not None
    return source


@pytest.mark.parametrize("shape", [(1, 2, 3), (5, 2, 3), (5, 1, 2, 3)])
def test_a_file_holds_one_frame_or_many(tmp_path, shape):
    values = RNG.standard_normal(shape).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    frames = list(opened(tmp_path / "a.npy").of((X,)))
    assert len(frames) == (1 if shape == X.shape else 5)
    np.testing.assert_array_equal(np.concatenate([frame["x"] for frame in frames]), values.reshape(-1, 2, 3))
    assert {frame["x"].shape for frame in frames} == {X.shape}


def test_several_inputs_come_by_name_one_frame_a_file_or_many(tmp_path):
    x, ids = RNG.standard_normal((3, 2, 3)).astype(np.float32), RNG.integers(0, 9, (3, 1, 4))
    np.savez(tmp_path / "a.npz", x=x, ids=ids)
    np.savez(tmp_path / "b.npz", x=x[:1], ids=ids[0])
    frames = list(opened(tmp_path).of((X, IDS)))
    assert len(frames) == 4
    assert len(list(opened(tmp_path / "*.npz").of((X, IDS)))) == 4
    for at, frame in enumerate(frames):
        np.testing.assert_array_equal(frame["x"], x[at % 3][None])
        np.testing.assert_array_equal(frame["ids"], ids[at % 3])
    np.savez(tmp_path / "b.npz", x=x, ids=ids[:2])
    with pytest.raises(UsageError, match="as many frames of each input, it has x 3, ids 2"):
        list(opened(tmp_path).of((X, IDS)))


def test_an_array_without_a_name_is_the_only_inputs(tmp_path):
    values = RNG.standard_normal((1, 2, 3)).astype(np.float32)
    np.savez(tmp_path / "a.npz", values)
    (frame,) = opened(tmp_path / "a.npz").of((X,))
    np.testing.assert_array_equal(frame["x"], values)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\x01\0", np.array([object()], object)])
def test_what_is_no_array_is_refused_and_nothing_is_unpickled(tmp_path, content):
    path = tmp_path / "a.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(UsageError, match=r"`.*a.npy` cannot be read as arrays"):
        list(opened(path).of((X,)))


def test_a_folder_of_several_kinds_is_refused_and_one_of_none_is_not_ours(tmp_path):
    assert open_arrays(str(tmp_path)) is None
    (tmp_path / "a.png").write_bytes(b"-")
    assert open_arrays(str(tmp_path)) is None
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(UsageError, match="holds pictures and arrays"):
        open_arrays(str(tmp_path))


def test_a_source_begins_again_when_it_loops(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 2, 3), np.float32))
    (tmp_path / "a.jsonl").write_text("[[[1,2,3],[4,5,6]]]\n")
    for name in ("a.npy", "a.jsonl"):
        frames = opened(tmp_path / name, loop=True).of((X,))
        assert len([next(frames) for _ in range(5)]) == 5


def test_lines_of_json_become_the_dtypes_of_the_inputs(tmp_path):
    path = tmp_path / "a.jsonl"
    first = '{"x": [[[1, 2, 3], [4, 5, 6.5]]], "ids": [[1, 2, 3, 4]]}'
    path.write_text(first + '\n\n{"ids": [[9, 9, 9, 9]], "x": [[[0,0,0],[0,0,0]]]}')
    source = opened(path)
    assert {name: array.shape for name, array in source.first().items()} == {"x": (1, 2, 3), "ids": (1, 4)}
    frames = list(source.of((X, IDS)))
    assert [(frame["x"].dtype, frame["ids"].dtype) for frame in frames] == [(np.float32, np.int64)] * 2
    assert frames[0]["x"][0, 1, 2] == 6.5
    assert frames[1]["ids"].tolist() == [[9, 9, 9, 9]]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2 of `a.jsonl` is not JSON"), ("[[1, 2, 3]]", "takes 2 inputs; hint: write an object"),
        ('{"ids": [[1.5, 2, 3, 4]]}', "int64 cannot hold, for input `ids`"),
        ('{"ids": [[1], [2, 3]]}', "differ in length"),
        ('{"ids": "red"}', "holds no numbers"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_meant_is_named_by_its_number(tmp_path, line, words):
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"ids": [[1, 2, 3, 4]]}}\n{line}\n')
    frames = opened(path).of((X, IDS))
    next(frames)
    with pytest.raises(UsageError, match=words):
        next(frames)


@pytest.mark.parametrize("chunk_bytes", [1, 4, 1 << 20])
def test_lines_are_the_same_wherever_what_was_read_at_once_ends(tmp_path, monkeypatch, chunk_bytes):
    monkeypatch.setattr(json_lines, "CHUNK_BYTES", chunk_bytes)
    (tmp_path / "a.jsonl").write_text("[1]\n\n[23, 4]\n[5]")
    lines = json_lines.open_json_lines(tmp_path / "a.jsonl")
    assert lines.first() == [1]
    assert list(lines.frames()) == [[1], [23, 4], [5]]


def test_a_line_that_is_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(json_lines, "MAX_LINE_BYTES", 1 << 20)
    (tmp_path / "a.jsonl").write_text("[1]" + " " * (1 << 20))
    with pytest.raises(UsageError, match=r"a line of `a.jsonl` is longer than 1 MiB"):
        json_lines.open_json_lines(tmp_path / "a.jsonl").first()


def test_a_pipe_of_json_is_read_as_it_comes():
    reading, writing = os.pipe()
    os.write(writing, b"\n [1, 2]\n")
    lines = json_lines_on(reading, "pipe")
    assert isinstance(lines, JsonLines)
    frames = lines.of((TensorSpec(name="x", dtype="float32", shape=(2,)),))
    assert next(frames)["x"].tolist() == [1, 2]  # before the second line is written
    assert next(frames) is None  # so that the reader may leave
    os.write(writing, b"[3, 4]")
    os.close(writing)
    assert [frame["x"].tolist() for frame in frames if frame is not None] == [[3, 4]]
    os.close(reading)


def test_a_pipe_of_something_else_can_be_read_by_whoever_knows_it():
    reading, writing = os.pipe()
    content = b"\0\0\1\xba" + RNG.bytes(300_000)

    def fill() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(content)

    thread = threading.Thread(target=fill)
    thread.start()
    assert json_lines_on(reading, "pipe") is None
    with os.fdopen(reading, "rb") as again:
        assert again.read() == content
    thread.join()


def wav(path: Path, body: bytes, *, kind: int = 1, channels: int = 1, bits: int = 16, rate_hz: int = 16000) -> Path:
    block = channels * bits // 8
    extensible = struct.pack("<HHIH", 22, bits, 0, kind) + bytes(14) if kind > 3 or bits == 24 else b""
    head = struct.pack("<HHIIHH", 0xFFFE if extensible else kind, channels, rate_hz, rate_hz * block, block, bits)
    chunks = b"LIST\x03\0\0\0abc\0" + b"fmt " + struct.pack("<I", len(head + extensible)) + head + extensible
    chunks += b"data" + struct.pack("<I", len(body)) + body
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    return path


@pytest.mark.parametrize(("bits", "kind"), [(8, 1), (16, 1), (24, 1), (32, 1), (32, 3), (64, 3)])
def test_wav_files_of_every_width_are_read(tmp_path, bits, kind):
    wanted = np.array([0, 0.5, -0.5, -1, 0.25], np.float64)
    if kind == 3:
        body = wanted.astype(f"<f{bits // 8}").tobytes()
    elif bits == 8:
        body = (wanted * 128 + 128).astype(np.uint8).tobytes()
    else:
        body = b"".join(int(value * (1 << bits - 1)).to_bytes(bits // 8, "little", signed=True) for value in wanted)
    found = read_wav(wav(tmp_path / "a.wav", body, kind=kind, bits=bits, rate_hz=8000))
    np.testing.assert_allclose(found.samples.ravel(), wanted)
    assert found.rate_hz == 8000


def test_sound_comes_in_windows_of_the_input_with_its_rate(tmp_path):
    left, right = RNG.integers(-1000, 1000, (2, 1300)).astype(np.int16)
    wav(tmp_path / "a.wav", np.stack([left, right], 1).tobytes(), channels=2)
    source = opened(tmp_path / "a.wav")
    assert isinstance(source, SoundFiles)
    mono = (left.astype(np.float32) + right) / 2 / 32768
    np.testing.assert_allclose(source.first(), mono, atol=1e-7)
    specs = (
        TensorSpec(name="input", dtype="float32", shape=(1, 512)),
        TensorSpec(name="sr", dtype="int64", shape=()),
    )
    frames = list(source.of(specs))
    assert [(frame["input"].shape, frame["sr"].item()) for frame in frames] == [((1, 512), 16000)] * 3
    np.testing.assert_allclose(np.concatenate([frame["input"][0] for frame in frames])[:1300], mono, atol=1e-7)
    assert not frames[2]["input"][0, 1300 - 1024 :].any()
    (whole,) = source.of((TensorSpec(name="audio", dtype="int16", shape=(1300,)),))
    assert np.abs(whole["audio"] - np.rint(mono * 32768)).max() <= 1


def test_sound_that_no_input_takes_or_a_broken_file_is_refused(tmp_path):
    path = wav(tmp_path / "a.wav", bytes(20))
    with pytest.raises(UsageError, match="0 inputs could take sound"):
        list(opened(path).of((X,)))
    for content in (b"", b"RIFF1234WAVE", path.read_bytes()[:40]):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="cannot be read as WAV"):
            read_wav(path)


def test_arrays_are_sources(tmp_path):
    assert isinstance(ArrayFiles(name="a", files=(tmp_path,), loop=False), ArraySource)
