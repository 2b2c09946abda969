"""Limits of control groups, read from made-up trees of both versions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seamline.config.cgroup import ControlGroups, n_usable_cores


class Tree:
    """A mounted tree, and what ``/proc/self/cgroup`` says."""

    def __init__(self, folder: Path) -> None:
        self.mount, self.own = folder / "cgroup", folder / "own"
        self.mount.mkdir()
        self.groups = ControlGroups(mount=self.mount, own=self.own)

    def says(self, *lines: str) -> None:
        self.own.write_text("".join(f"{line}\n" for line in lines))

    def write(self, name: str, text: object) -> None:
        path = self.mount / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_without_groups_there_is_no_limit(tree):
    assert tree.groups.cpu_quota() is None
    assert tree.groups.memory_limit_bytes() is None
    assert tree.groups.memory_available_bytes() is None
    assert n_usable_cores(tree.groups) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("text", "quota"),
    [("50000 100000", 0.5), ("max 100000", None), ("300000", 3.0), ("20000 10000", 2.0), ("", None), ("x y", None)],
)
def test_a_quota_of_version_2_is_time_by_period(tree, text, quota):
    tree.write("cpu.max", text)
    assert tree.groups.cpu_quota() == quota


@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct"])
def test_a_quota_of_version_1_stands_in_its_controllers_folder(tree, folder):
    tree.write(f"{folder}/cpu.cfs_quota_us", 50_000)
    tree.write(f"{folder}/cpu.cfs_period_us", 100_000)
    assert tree.groups.cpu_quota() == 0.5
    tree.write(f"{folder}/cpu.cfs_quota_us", -1)
    assert tree.groups.cpu_quota() is None


def test_the_smallest_limit_on_the_way_to_the_root_counts(tree):
    tree.says("0::/system.slice/seamline.service")
    tree.write("system.slice/seamline.service/memory.max", 300_000_000)
    tree.write("system.slice/memory.max", "max")
    tree.write("memory.max", 400_000_000)
    assert tree.groups.memory_limit_bytes() == 300_000_000
    tree.write("system.slice/memory.high", 200_000_000)
    assert tree.groups.memory_limit_bytes() == 200_000_000
    tree.write("system.slice/cpu.max", "150000 100000")
    tree.write("system.slice/seamline.service/cpu.max", "max 100000")
    assert tree.groups.cpu_quota() == 1.5


def test_groups_of_version_1_are_nested_too_each_controller_for_itself(tree):
    tree.says("5:memory:/docker/abc", "4:cpu,cpuacct:/other", "0::/")
    tree.write("memory/docker/abc/memory.limit_in_bytes", 100_000_000)
    tree.write("memory/memory.limit_in_bytes", 9_223_372_036_854_771_712)
    tree.write("cpu/other/cpu.cfs_quota_us", 200_000)
    tree.write("cpu/other/cpu.cfs_period_us", 100_000)
    assert tree.groups.memory_limit_bytes() == 100_000_000
    assert tree.groups.cpu_quota() == 2.0


def test_a_path_of_the_host_in_a_container_leads_to_the_root_of_what_is_mounted(tree):
    tree.says("0::/system.slice/docker-4711.scope")
    tree.write("memory.max", 1_000_000)
    assert tree.groups.memory_limit_bytes() == 1_000_000


def test_a_path_that_climbs_out_is_not_followed(tree, tmp_path):
    (tmp_path / "memory.max").write_text("1\n")
    tree.says("0::/../..")
    assert tree.groups.memory_limit_bytes() is None


def test_a_hybrid_has_the_tree_of_version_2_below_the_others(tree):
    tree.says("1:name=systemd:/x", "0::/unit")
    tree.write("unified/unit/memory.max", 5_000_000)
    assert tree.groups.memory_limit_bytes() == 5_000_000


def test_file_pages_of_a_group_count_as_available(tree):
    tree.write("memory.max", 1000)
    tree.write("memory.current", 900)
    tree.write("memory.stat", "anon 300\ninactive_file 400\nactive_file 100\nbroken")
    assert tree.groups.memory_available_bytes() == 600
    tree.write("memory.current", 3000)
    assert tree.groups.memory_available_bytes() == 0


def test_a_part_of_a_processor_is_one_thread_and_never_more_than_there_are(tree):
    for quota_us, n_threads in ((50_000, 1), (199_999, 1), (100_000_000, len(os.sched_getaffinity(0)))):
        tree.write("cpu.max", f"{quota_us} 100000")
        assert n_usable_cores(tree.groups) == n_threads
