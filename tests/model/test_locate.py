"""Models by path or by the zoo's name: what is built is built once, and whoever waits is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from seamline.core.vocabulary.errors import UsageError
from seamline.model import zoo
from seamline.model.locate import load_model, resolve_model
from seamline.model.progress import Silent


class Told(Silent):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.words: list[str] = []

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        self.words.append(what)
        yield


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEAMLINE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_zoo_model_is_built_once_and_then_found(cache, monkeypatch):
    built = []

    def build(name: str, path: Path, seed: int = 0) -> Path:
        built.append(name)
        path.write_bytes(b"model")
        return path

    monkeypatch.setattr(zoo, "build", build)
    told = Told()
    first, second = resolve_model("alexnet", told), resolve_model("alexnet", told)
    assert first == second
    assert cache in first.parents
    assert built == ["alexnet"]
    assert told.words == ["building alexnet (once)"]


def test_a_build_that_fails_leaves_no_file(cache, monkeypatch):
    def build(name: str, path: Path, seed: int = 0) -> Path:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(zoo, "build", build)
    with pytest.raises(OSError, match="disk full"):
        resolve_model("alexnet")
    assert [path for path in cache.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet51", "did you mean `resnet50`"),
        ("qqq", "seamline zoo list"),
        (".", "is a folder"),
        ("/dev/null", "is a device"),
    ],
)
def test_a_name_that_means_nothing_is_refused_with_the_nearest(name, said):
    with pytest.raises(UsageError, match=r"no model|is a folder|is a device") as found:
        load_model(name)
    assert said in str(found.value)
