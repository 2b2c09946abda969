"""From words to sinks: what ``--save`` takes.

-                            JSON lines on stdout
results.jsonl .csv .npz      a line, a row, or arrays for each answer
out.mp4 .mkv .avi .webm      a video with the answers drawn in
out/                         a folder with a picture for each answer
mqtt://HOST/TOPIC            see `mqtt.py`
http://HOST/PATH             see `webhook.py`
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path

from seamline.core.vocabulary.errors import UsageError
from seamline.sinks.encoders import FOURCC
from seamline.sinks.mqtt import PORTS, Mqtt
from seamline.sinks.pictures import Folder, Video
from seamline.sinks.sink import Sink
from seamline.sinks.tables import Archive, Csv, JsonLines
from seamline.sinks.webhook import Webhook

HINT = "a file that ends in .jsonl, .csv, .npz, .mp4, .mkv, .avi or .webm, a folder/, mqtt://HOST/TOPIC or http://HOST"


def parse_sinks(texts: Sequence[str]) -> tuple[Sink, ...]:
    """The sinks that `texts` name; nothing is opened, folders of files are made. Raises `UsageError`."""
    for text in texts:
        if texts.count(text) > 1:
            raise UsageError(f"`{text}` is named twice", hint="one sink for each place")
    return tuple(parse_sink(text) for text in texts)


def parse_sink(text: str) -> Sink:
    """The sink that `text` names. Raises `UsageError` when it names none, or one that cannot be written."""
    scheme, separator, _ = text.partition("://")
    if separator:
        if scheme in PORTS:
            return Mqtt(text)
        if scheme in ("http", "https"):
            return Webhook(text)
        raise UsageError(f"nothing can be saved to `{scheme}://`", hint=HINT)
    if text == "-":
        return JsonLines(None)
    path = Path(text)
    if text.endswith("/") or path.is_dir():
        _make(path, text)
        return Folder(path)
    suffix = path.suffix.lower()
    if suffix not in (".jsonl", ".ndjson", ".csv", ".npz", *FOURCC):
        raise UsageError(f"`{text}` does not say what to save", hint=HINT)
    _make(path.parent, text)
    if suffix in FOURCC:
        return Video(path)
    return Csv(path) if suffix == ".csv" else Archive(path) if suffix == ".npz" else JsonLines(path)


def require_apart(places: Sequence[str], read: Iterable[str]) -> None:
    """Refuse a place whose writing would destroy what is read. Raises `UsageError`.

    read: sources, models and the like, as the user wrote them. Links are followed. A folder of drawn pictures gets
    files of its source's names, so no folder of pictures may be its own place; videos may lie in it.
    """
    sources = [text for text in read if "://" not in text]
    for place in places:
        if place == "-" or "://" in place:
            continue
        for text in sources:
            if any(_would_destroy(Path(place), Path(file)) for file in (text, *glob.glob(text, recursive=True))):
                raise UsageError(f"`--save {place}` would overwrite `{text}`, which is read", hint="name another place")


def _would_destroy(place: Path, file: Path) -> bool:
    try:
        if place.exists() and file.exists() and place.samefile(file):
            return True
    except OSError:
        return False  # whoever opens it has better words
    is_still = file.is_file() and file.suffix.lower() not in FOURCC
    return is_still and place.is_dir() and (place / file.name).exists() and (place / file.name).samefile(file)


def _make(folder: Path, text: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise UsageError(f"`{text}` cannot be written: {exc.strerror}", hint="name another place") from exc
