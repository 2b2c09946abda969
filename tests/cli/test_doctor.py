"""`seamline doctor`: which meters a machine has, over a made-up /sys, and why others cannot be used."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from seamline.cli.reference import undocumented_keys
from seamline.config import cgroup
from seamline.meters import energy


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One processor package with a RAPL counter, and no other sensor."""
    package = tmp_path / "powercap" / "intel-rapl:0"
    package.mkdir(parents=True)
    for name, words in (("name", "package-0"), ("energy_uj", "5"), ("max_energy_range_uj", "1000000")):
        (package / name).write_text(f"{words}\n", encoding="ascii")
    nowhere = tmp_path / "nowhere"
    sensors = partial(
        energy.Sensors, powercap=package.parent, hwmon=nowhere, power_supply=nowhere, vcgencmd=str(nowhere)
    )
    monkeypatch.setattr(energy, "Sensors", sensors)
    return package


def test_a_meter_that_works_is_named_with_the_way_to_use_it(seamline, powercap):
    outcome = seamline("doctor")
    assert "ok      energy meter rapl: processor packages" in outcome.stdout
    assert "ok      energy: can be measured: seamline node --meter rapl" in outcome.stdout
    data = seamline("doctor", "--json").json
    assert undocumented_keys("doctor", data) == set()
    assert {check["name"]: check["status"] for check in data["checks"]}["energy meter battery"] == "absent"


def test_a_meter_for_root_only_is_explained_and_energy_is_modelled(seamline, powercap, monkeypatch):
    original = Path.read_text

    def refuse(path: Path, *arguments: object, **named: object) -> str:  # tests may run as root, who may read anything
        if path == powercap / "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return original(path, *arguments, **named)

    monkeypatch.setattr(Path, "read_text", refuse)
    checks = {check["name"]: check for check in seamline("doctor", "--json").json["checks"]}
    rapl = checks["energy meter rapl"]
    assert rapl["status"] == "absent"
    assert "may not be read" in rapl["fact"]
    assert "chmod a+r" in rapl["hint"]
    assert "modelled" in checks["energy"]["fact"]
    assert "--power" in checks["energy"]["hint"]


def test_every_meter_that_cannot_be_used_says_why_and_what_to_do(seamline, powercap):
    (powercap / "energy_uj").unlink()
    checks = seamline("doctor", "--json").json["checks"]
    meters = {check["name"].removeprefix("energy meter "): check for check in checks if "meter" in check["name"]}
    assert set(meters) == set(energy.METERS)
    assert all(meter["fact"] for meter in meters.values())
    assert all(meter["hint"] for meter in meters.values() if meter["status"] == "absent")
    assert meters["rapl"]["status"] == "absent"


@pytest.mark.parametrize(("version", "status"), [("2.28", "ok"), ("2.41", "ok"), ("2.27", "broken"), ("2.9", "broken")])
def test_a_c_library_that_is_too_old_for_the_packages_is_said(seamline, powercap, monkeypatch, version, status):
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", version))
    checks = {check["name"]: check for check in seamline("doctor", "--json").json["checks"]}
    assert checks["python"]["status"] == status
    assert f"glibc {version}" in checks["python"]["fact"]


def test_limits_of_a_container_are_said_and_what_follows(seamline, powercap, tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text("300000000\n")
    groups = cgroup.ControlGroups(mount=tmp_path, own=tmp_path / "absent")
    monkeypatch.setattr(cgroup, "ControlGroups", lambda: groups)
    checks = {check["name"]: check for check in seamline("doctor", "--json").json["checks"]}
    assert checks["limits"]["fact"] == (
        "a CPU quota of 0.5 processors and a memory limit of 0.3 GB; a node computes with 1 threads by default"
    )
