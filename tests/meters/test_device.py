"""Facts about this machine agree with one another and with what another source says."""

import mmap
import sys
from pathlib import Path

import psutil
import pytest

from seamline.config.cgroup import ControlGroups
from seamline.meters import device


def test_the_processor_has_a_name_of_one_line() -> None:
    assert device.cpu_name().strip()
    assert "\n" not in device.cpu_name()


def test_memory_is_at_most_the_machines() -> None:
    assert 0 < device.memory_available_bytes() <= device.memory_total_bytes() <= psutil.virtual_memory().total


def test_a_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("1048576\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    monkeypatch.setattr(device, "GROUPS", ControlGroups(mount=tmp_path, own=tmp_path / "absent"))
    assert device.memory_total_bytes() == 1048576
    assert device.memory_available_bytes() == 48576


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports proportional memory")
def test_physical_memory_counts_touched_pages_and_not_promised_ones() -> None:
    size = 64 << 20
    before = device.pss_bytes()
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as block:
        promised = device.pss_bytes()
        for page in range(0, size, mmap.PAGESIZE):
            block[page] = 1
        touched = device.pss_bytes()
    assert before is not None
    assert promised is not None
    assert touched is not None
    # A tenth of the block for whatever else the interpreter takes or gives back meanwhile.
    assert promised - before < size / 10
    assert touched - before > size * 0.9
