"""Lines of JSON as frames: one array, or an object of arrays by input name, a line; from a file or standard input.

    [[0.1, 0.2, 0.3]]
    {"ids": [[101, 7592, 102]], "mask": [[1, 1, 1]]}

Numbers become the input's dtype, and must be what that can hold.
"""

from __future__ import annotations

import json
import os
import select
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from seamline.config.plain_files import open_plain
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.ports import Array
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.runtime.inputs.source import Given

JSON_SUFFIXES = frozenset({".jsonl", ".ndjson"})
MAX_LINE_BYTES = 1 << 28
CHUNK_BYTES = 1 << 20
PATIENCE_S = 0.2
"""After so long without a line whoever reads may look whether it is to go on."""


class JsonLines:
    """Frames in lines of JSON, read as they come; an `ArraySource`. Standard input can be read only once.

    descriptor: open for reading, and closed with the source. loop: begin again at the end, of a file.
    """

    def __init__(self, name: str, descriptor: int, *, loop: bool = False) -> None:
        self.name = name
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        self._loop = loop and self._file.seekable()
        self._first: tuple[int, Any] | None = None
        self._ready: deque[bytes] = deque()
        self._rest = bytearray()  # of a line whose end is still to come

    def __del__(self) -> None:
        self._file.close()

    def first(self) -> Given:
        if self._first is None:
            self._first = next((line for line in self._lines() if line is not None), None)
        if self._first is None:
            raise UsageError(f"`{self.name}` has no line of JSON")
        number, value = self._first
        if isinstance(value, Mapping):
            return {name: self._array(each, number, None) for name, each in value.items()}
        return self._array(value, number, None)

    def frames(self) -> Iterator[Any]:
        return (line[1] for line in self._lines() if line is not None)

    def of(self, inputs: tuple[TensorSpec, ...]) -> Iterator[Mapping[str, Array] | None]:
        specs = {spec.name: spec for spec in inputs}
        for line in self._lines():
            if line is None:
                yield None
                continue
            number, value = line
            if not isinstance(value, Mapping):
                if len(inputs) != 1:
                    raise UsageError(
                        f"line {number} of `{self.name}` is one array, the model takes {len(inputs)} inputs",
                        hint=f"write an object: {{{', '.join(f'{json.dumps(name)}: ...' for name in specs)}}}",
                    )
                value = {inputs[0].name: value}
            yield {name: self._array(each, number, specs.get(name)) for name, each in value.items()}

    def _lines(self) -> Iterator[tuple[int, Any] | None]:
        """Number and value of every line that is not blank; None whenever nothing has come for a while."""
        number = 0
        if self._first is not None:
            first, self._first = self._first, None
            number = first[0]
            yield first
        for line in self._texts():
            if line is None:
                yield None
                continue
            number += 1
            if line.strip():
                try:
                    yield number, json.loads(line)
                except (ValueError, RecursionError) as exc:
                    raise UsageError(
                        f"line {number} of `{self.name}` is not JSON: {exc}", hint="one array, or one object, a line"
                    ) from exc

    def _texts(self) -> Iterator[bytes | None]:
        """Lines without their ends. What is read too far is kept for whoever asks again."""
        n_read = 0
        while True:
            while self._ready:
                yield self._ready.popleft()
            if not select.select([self._file], [], [], PATIENCE_S)[0]:
                yield None
                continue
            piece = self._file.read(CHUNK_BYTES)
            n_read += len(piece)
            if len(self._rest) + len(piece) > MAX_LINE_BYTES:
                raise UsageError(f"a line of `{self.name}` is longer than {MAX_LINE_BYTES >> 20} MiB")
            *ends, rest = piece.split(b"\n")
            for end in ends:
                self._ready.append(bytes(self._rest + end))
                self._rest.clear()
            self._rest += rest
            if not piece:
                if self._rest:
                    yield bytes(self._rest)
                    self._rest.clear()
                if not (self._loop and n_read):
                    return
                self._file.seek(0)

    def _array(self, value: Any, number: int, spec: TensorSpec | None) -> Array:
        where = f"line {number} of `{self.name}`"
        try:
            array = np.asarray(value)
        except ValueError as exc:
            raise UsageError(f"{where} is no array: its lists differ in length") from exc
        if array.dtype.kind not in "biuf":
            raise UsageError(f"{where} holds no numbers", hint="write numbers in nested lists")
        if spec is None:
            return array
        found = array.astype(spec.dtype)
        if not spec.dtype.startswith("float") and not np.array_equal(found, array):
            raise UsageError(f"{where} has numbers that {spec.dtype} cannot hold, for input `{spec.name}`")
        return found


def open_json_lines(path: Path, *, loop: bool = False) -> JsonLines:
    """The file `path`. Raises `UsageError` when it cannot be read."""
    try:
        with open_plain(path) as file:
            return JsonLines(path.name, os.dup(file.fileno()), loop=loop)
    except OSError as exc:
        raise UsageError(f"cannot read `{path}`: {exc.strerror}") from exc


def json_lines_on(descriptor: int, name: str) -> JsonLines | None:
    """The lines of JSON that come through `descriptor`, None when something else comes: a video, a picture.

    Waits for the first bytes. What was looked at can be read from `descriptor` again, also by another library.
    """
    begin = b""
    while not begin.strip():
        piece = os.read(descriptor, CHUNK_BYTES)
        begin += piece
        if not piece:
            break
    original = os.dup(descriptor)
    _reopen(descriptor, begin, original)
    if begin.lstrip()[:1] not in (b"{", b"["):
        return None
    return JsonLines(name, os.dup(descriptor))


def _reopen(descriptor: int, begin: bytes, original: int) -> None:
    """Let `descriptor` give `begin` and then what `original` gives, through a pipe and a thread that fills it."""
    reading, writing = os.pipe()
    os.dup2(reading, descriptor)
    os.close(reading)

    def pump() -> None:
        with suppress(OSError), os.fdopen(writing, "wb", 0) as pipe, os.fdopen(original, "rb", 0) as source:
            piece = begin
            while piece:
                pipe.write(piece)
                piece = source.read(CHUNK_BYTES)

    threading.Thread(target=pump, name="stdin", daemon=True).start()
