"""Nothing but plain files is opened, whoever reads them, and nothing waits for a pipe."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from seamline.config import load_testbed, read_trace
from seamline.config.plain_files import open_plain, read_plain, read_plain_text
from seamline.config.toml import read_toml
from seamline.core.vocabulary.errors import SeamlineError
from seamline.heads.names import read_names
from seamline.meters.profile_file import read_profile
from seamline.meters.sampled import replay_reader
from seamline.model.metadata.sidecar import read_sidecar
from seamline.model.onnx.external import open_beside
from seamline.model.onnx.protobuf import parse_outline
from seamline.model.onnx.reading import read_model
from seamline.model.zoo.torch_file import read_tensors
from seamline.runtime.inputs.arrays import ArrayFiles
from seamline.runtime.inputs.json_lines import open_json_lines
from seamline.runtime.inputs.pictures import read_picture
from seamline.runtime.inputs.sound import read_wav
from seamline.runtime.origin.recording import read_recording
from seamline.runtime.shared.clock import MONOTONIC

READERS: dict[str, Callable[[Path], object]] = {
    "toml": read_toml,
    "testbed": load_testbed,
    "trace": read_trace,
    "class names": read_names,
    "profile": read_profile,
    "power": lambda path: replay_reader(path, MONOTONIC),
    "sidecar": lambda path: read_sidecar(path.with_name("x.onnx")),
    "external data": open_beside,
    "model": read_model,
    "model's outline": lambda path: parse_outline(path, 1024),
    "checkpoint": read_tensors,
    "arrays": lambda path: ArrayFiles(name="a", files=(path,), loop=False).first(),
    "lines of JSON": open_json_lines,
    "picture": read_picture,
    "sound": read_wav,
    "recording": lambda path: list(read_recording(path)),
}


def refusal(read: Callable[[Path], object], path: Path) -> SeamlineError | None:
    """What `read` says of the file; any other error is the test's failure."""
    try:
        read(path)
    except SeamlineError as error:
        return error
    return None


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket may have 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


def link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.fixture(params=[os.mkfifo, make_socket, os.mkdir, link_to_device], ids=["pipe", "socket", "folder", "device"])
def special(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "x.seamline.toml"
    request.param(path)
    return path


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_refused_in_words_by_every_reader(special: Path, reader: str) -> None:
    with pytest.raises(SeamlineError, match=r"is (a folder|a pipe|a socket|a device|a link|not a file)"):
        READERS[reader](special)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "data", [b"", b"\0" * 40, b"\xff\xfe\x00", b"\xef\xbb\xbf", b"[" * 100_000, b"9" * 5000, b"\r\n" * 9]
)
def test_what_is_no_such_file_is_refused_in_words_by_every_reader(tmp_path: Path, reader: str, data: bytes) -> None:
    path = tmp_path / "x.seamline.toml"
    path.write_bytes(data)
    error = refusal(READERS[reader], path)
    takes_it = {"toml", "external data", "sidecar", "lines of JSON", "recording", "class names"}
    assert reader in takes_it if error is None else (error.hint or reader == "checkpoint")


def test_a_name_with_a_nul_byte_is_refused_as_a_file_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no file can have that name"):
        open_plain(tmp_path / "a\0b")


def test_a_link_is_followed_where_a_user_names_it_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    with open_plain(tmp_path / "link") as file:
        assert file.read() == b"x"
    with pytest.raises(OSError, match="it is a link, no plain file"):
        open_plain(tmp_path / "link", follows_links=False)


def test_memory_is_asked_for_by_what_a_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert read_plain(path, 1 << 62) == b"abc"
    with pytest.raises(OSError, match="it is larger than 2 bytes"):
        read_plain(path, 2)
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="it is larger than 1024 MiB"):
        read_plain(path, 1 << 30)


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xef\xbb\xbfname\r\n")
    assert read_plain_text(path, 100) == "name\r\n"
