"""Opens sources of arrays by their name: NumPy's files, lines of JSON, WAV files, and folders of these."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from seamline.core.vocabulary.errors import UsageError
from seamline.runtime.inputs.arrays import ARRAY_SUFFIXES, ArrayFiles
from seamline.runtime.inputs.json_lines import JSON_SUFFIXES, json_lines_on, open_json_lines
from seamline.runtime.inputs.pictures import IMAGE_SUFFIXES
from seamline.runtime.inputs.sound import SOUND_SUFFIXES, SoundFiles
from seamline.runtime.inputs.source import ArraySource

STDIN = 0

_KINDS = {ARRAY_SUFFIXES: ArrayFiles, SOUND_SUFFIXES: SoundFiles}


def open_arrays(text: str, *, loop: bool = False) -> ArraySource | None:
    """The arrays that `text` names (a file, a folder, a pattern); None when it names something else: a video, a camera.

    ``-`` is standard input when lines of JSON come through it. Raises `UsageError` when they cannot be read.
    """
    if text == "-":
        return json_lines_on(STDIN, "standard input")
    path = Path(text)
    if path.is_dir():
        return _in_folder(path, loop)
    if not path.exists() and glob.has_magic(text):
        return _of_files(text, sorted(Path(name) for name in glob.glob(text, recursive=True)), loop)
    if not path.is_file():
        return None
    if path.suffix.lower() in JSON_SUFFIXES:
        return open_json_lines(path, loop=loop)
    return _of_files(path.name, [path], loop)


def _in_folder(path: Path, loop: bool) -> ArraySource | None:
    """The arrays in a folder in order of name. Raises `UsageError` when it holds several kinds of frames."""
    files = sorted(entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith("."))
    kinds = {"pictures": IMAGE_SUFFIXES, "arrays": ARRAY_SUFFIXES, "sounds": SOUND_SUFFIXES}
    found = {kind: [file for file in files if file.suffix.lower() in kinds[kind]] for kind in kinds}
    held = [kind for kind, files_of_kind in found.items() if files_of_kind]
    if len(held) > 1:
        raise UsageError(f"folder `{path}` holds {' and '.join(held)}", hint="put each kind into a folder of its own")
    return _of_files(path.name, [*found["arrays"], *found["sounds"]], loop)


def _of_files(name: str, files: Sequence[Path], loop: bool) -> ArraySource | None:
    """Files of one kind as one source; None for none, and for what is not ours."""
    suffixes = {file.suffix.lower() for file in files}
    for known, kind in _KINDS.items():
        if suffixes and suffixes <= known:
            return kind(name=name, files=tuple(files), loop=loop)
    return None
