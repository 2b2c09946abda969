"""NumPy's files as frames: ``.npy`` of the only input, ``.npz`` of several by name, and folders of both.

A file holds one frame, or many along an axis before the input's own: float32[100, 3, 224, 224] is a hundred frames of
float32[1, 3, 224, 224]. Nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from seamline.config.plain_files import open_plain
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.ports import Array
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.runtime.inputs.source import FramesInFiles, Given

ARRAY_SUFFIXES = frozenset({".npy", ".npz"})
ONLY_INPUT = "arr_0"
"""What ``numpy.savez`` calls an array that was given no name."""


class ArrayFiles(FramesInFiles):
    """Frames in NumPy's files."""

    def content(self, path: Path) -> Given:
        return _read(path)

    def frames_of(self, path: Path, inputs: tuple[TensorSpec, ...]) -> Iterator[Mapping[str, Array]]:
        return _frames_in(_read(path), inputs, path)


def _read(path: Path) -> Given:
    """The array or arrays in `path`, not yet read from the disk. Raises `UsageError` when it is no such file."""
    try:
        with open_plain(path) as file:  # opened by NumPy a pipe would be waited for, and a damaged archive stay open
            if file.read(2) == b"PK":
                file.seek(0)
                return dict(np.load(file, allow_pickle=False))
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        return array
    except Exception as exc:  # of damaged archives and headers: zipfile, zlib, tokenize, struct, no closed list
        raise UsageError(f"`{path}` cannot be read as arrays: {exc}", hint="write it with numpy.save or savez") from exc


def _frames_in(given: Given, inputs: tuple[TensorSpec, ...], path: Path) -> Iterator[Mapping[str, Array]]:
    """The frames in one file, of which there is one unless all its arrays have an axis more."""
    by_name = dict(given) if isinstance(given, Mapping) else {ONLY_INPUT: given}
    if len(inputs) == 1 and set(by_name) == {ONLY_INPUT}:
        by_name = {inputs[0].name: by_name[ONLY_INPUT]}
    specs = {spec.name: spec for spec in inputs}
    found = {name: _stack(array, specs[name]) if name in specs else None for name, array in by_name.items()}
    stacks = {name: stack for name, stack in found.items() if stack is not None}
    if not stacks or len(stacks) < len(found):
        yield by_name  # one frame, or none: whoever checks frames says what is wrong with it
        return
    n_frames = {len(stack) for stack in stacks.values()}
    if len(n_frames) > 1:
        counts = ", ".join(f"{name} {len(stack)}" for name, stack in stacks.items())
        raise UsageError(f"`{path}` must hold as many frames of each input, it has {counts}")
    for at in range(n_frames.pop()):
        yield {name: np.asarray(stack[at]) for name, stack in stacks.items()}


def _stack(array: Array, spec: TensorSpec) -> Array | None:
    """`array` with an axis of frames before the input's own; None when it is no number of frames."""
    if array.shape == spec.shape:
        return array[None]
    if array.shape[1:] == spec.shape:
        return array
    if spec.shape[:1] == (1,) and array.shape[1:] == spec.shape[1:]:
        return array[:, None]
    return None
