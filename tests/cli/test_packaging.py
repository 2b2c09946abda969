"""What is shipped: the lock that `make develop` uses, the wheel, and the demo's video."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import cv2

import seamline
from seamline.config import load_testbed, recorded_names

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(seamline.__file__).parent / "data"
PIN = re.compile(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*")


def pinned() -> dict[str, str]:
    """Normalised name -> version, of requirements.lock."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {name.lower().replace("_", "-"): version for name, version in pins}


LEFT_OUT = {"torch", "keras", "ray"}
"""Extras that `make install` leaves out: frameworks of hundreds of megabytes, for the machine that exports, or a
cluster that has its own Ray."""


def test_the_lock_has_nothing_but_exact_versions():
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    odd = [line for line in lines if not line.startswith("#") and not PIN.fullmatch(line)]
    assert odd == []


def test_every_direct_requirement_and_the_build_backend_are_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    direct = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    for name, extra in project["project"]["optional-dependencies"].items():
        if name not in LEFT_OUT:
            direct += extra
    names = {re.split(r"[<>=\[ ;]", requirement)[0].lower() for requirement in direct}
    assert names - pinned().keys() == set()


def test_nobody_asks_for_an_extra_that_there_is_not():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    texts = [ROOT / "Makefile", *(ROOT / "containers").iterdir(), *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    for path in (*texts, *(ROOT / "src").rglob("*.py")):
        asked = re.findall(r"(?:'\.|seamline)\[([a-z, ]+)\]", path.read_text(encoding="utf-8"))
        assert {name.strip() for names in asked for name in names.split(",")} <= extras.keys(), path


def test_the_video_is_the_one_that_is_attributed():
    digest = hashlib.sha256((DATA / "bigbuckbunny.mp4").read_bytes()).hexdigest()
    attribution = (DATA / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert digest in attribution
    assert "Blender Foundation" in attribution
    assert "creativecommons.org/licenses/by/3.0" in attribution


def test_the_video_can_be_decoded_to_its_last_frame():
    capture = cv2.VideoCapture(str(DATA / "bigbuckbunny.mp4"))
    shapes = []
    while True:
        found, frame = capture.read()
        if not found:
            break
        shapes.append(frame.shape)
    assert shapes == [(720, 1280, 3)] * 132


def test_the_demo_testbed_is_valid():
    tiers = [node.tier for node in load_testbed(Path(seamline.__file__).parent / "testbed" / "demo.toml").nodes]
    assert sorted(tiers) == ["cloud", "edge", "fog"]


def test_the_wheel_carries_video_traces_testbed_types_and_licences(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=100)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    shipped = (
        "data/bigbuckbunny.mp4",
        "data/photos.mp4",
        "data/photos.toml",
        "data/ATTRIBUTION.md",
        "testbed/demo.toml",
        "py.typed",
        "cli/main.py",
        "dashboard/static/index.html",
        "dashboard/static/uPlot.LICENSE",
    )
    for name in (*shipped, *(f"data/traces/{name}.csv" for name in recorded_names())):
        assert f"seamline/{name}" in names, name
    assert {"LICENSE", "NOTICE"} <= {Path(name).name for name in names if ".dist-info/licenses/" in name}
    assert not [name for name in names if name.startswith("tests/")]


def test_the_version_is_said_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["version"] == seamline.__version__
