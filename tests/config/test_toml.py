"""Configuration files: what is wrong is named, with file, key and the nearest valid one."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from seamline.config import cache_dir, convert, load_toml
from seamline.core.vocabulary.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    diameter_mm: float
    n_spokes: int = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class Bicycle:
    colour: str
    wheel: tuple[Wheel, ...] = ()
    spare: Wheel | None = None


def test_a_document_becomes_the_dataclass_with_its_defaults() -> None:
    made = convert({"colour": "red", "wheel": [{"diameter_mm": 622}]}, Bicycle, origin="bike.toml")
    assert made == Bicycle(colour="red", wheel=(Wheel(diameter_mm=622.0, n_spokes=36),))


@pytest.mark.parametrize(
    ("document", "key", "nearest"),
    [
        ({"color": "red"}, "`color`", "`colour`"),
        ({"colour": "red", "wheel": [{"diameter_mm": 1}, {"n_spoke": 3}]}, "`wheel[1].n_spoke`", "`n_spokes`"),
        ({"colour": "red", "spare": {"diameter_m": 3}}, "`spare.diameter_m`", "`diameter_mm`"),
    ],
)
def test_an_unknown_key_names_file_key_and_the_nearest_valid_one(
    document: dict[str, object], key: str, nearest: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        convert(document, Bicycle, origin="bike.toml")
    assert str(caught.value) == f"bike.toml: unknown key {key}; hint: did you mean {nearest}?"


def test_an_unknown_key_near_to_none_lists_all() -> None:
    with pytest.raises(ConfigError, match="one of colour, spare, wheel"):
        convert({"zzzzz": 1}, Bicycle, origin="bike.toml")


def test_a_wrong_type_names_the_key_path() -> None:
    with pytest.raises(
        ConfigError, match=r"bike.toml: `wheel\[0\].diameter_mm`: expected `float`, got `str`; hint: numbers stand"
    ):
        convert({"colour": "red", "wheel": [{"diameter_mm": "big"}]}, Bicycle, origin="bike.toml")


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match="missing required field `colour`; hint: give it one"):
        convert({}, Bicycle, origin="bike.toml")


def test_a_missing_file_and_one_that_is_not_toml_say_so_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("colour = = 3")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for name, words in (
        ("absent.toml", "there is no file"),
        ("bad.toml", r"bad\.toml is not TOML"),
        ("binary.toml", r"binary\.toml is not text"),
        (".", "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=words) as refusal:
            load_toml(tmp_path / name, Bicycle)
        assert refusal.value.hint


def test_the_environment_moves_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAMLINE_CACHE", str(tmp_path / "here"))
    assert cache_dir() == tmp_path / "here"
    monkeypatch.delenv("SEAMLINE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir().name == "seamline"


def test_threads_that_use_a_schema_for_the_first_time_at_once_do_not_crash_the_process() -> None:
    """Without a lock it ends with a segmentation fault within some tens of rounds."""
    program = Path(__file__).with_name("races.py")
    ended = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
