"""Facts about this machine agree with one another and with what another source says."""

from pathlib import Path

import psutil
import pytest

from seamline.config.cgroup import ControlGroups, memory_total_bytes
from seamline.meters import device


def test_the_processor_has_a_name_of_one_line() -> None:
    assert device.cpu_name().strip()
    assert "\n" not in device.cpu_name()


def test_memory_is_at_most_the_machines() -> None:
    assert 0 < device.memory_available_bytes() <= memory_total_bytes() <= psutil.virtual_memory().total


def test_a_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("1048576\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    groups = ControlGroups(mount=tmp_path, own=tmp_path / "absent")
    monkeypatch.setattr(device, "GROUPS", groups)
    assert memory_total_bytes(groups) == 1048576
    assert device.memory_available_bytes() == 48576
