"""A testbed's run between two policies: what stayed up begins again as the testbed file says."""

from pathlib import Path

import pytest

from seamline.config import LoadSpec, NodeSpec, Testbed
from seamline.runtime.lab.scenario import Scenario, TestbedRun
from seamline.testbed.processes import FOLLOW_LOADS, NodeProcesses


def run_of(*loads: LoadSpec) -> TestbedRun:
    names = {"edge": 50.0, "fog": 3.0, "cloud": 1.0}
    nodes = tuple(NodeSpec(name=name, tier=name, slowdown=slowdown) for name, slowdown in names.items())
    bed = Testbed(name="t", nodes=nodes, loads=loads)
    return TestbedRun(Scenario(testbed=bed, model="m", source=Path("v"), seconds=10.0, fps=1.0))


def test_nodes_that_were_loaded_and_stayed_up_are_as_slow_again_as_the_file_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[str, float]] = []
    monkeypatch.setattr(NodeProcesses, "slow_down", lambda self, name, slowdown: told.append((name, slowdown)))
    run = run_of(LoadSpec(node="fog", slowdown=9.0, at_ratio=0.5), LoadSpec(node="edge", slowdown=99.0, at_ratio=0.5))
    run._unload()
    assert told == [("fog", 3.0)], "the edge is started afresh anyway, and the cloud never changes"


def test_processes_only_read_their_standard_input_where_loads_change() -> None:
    assert FOLLOW_LOADS not in run_of()._node_options()
    assert FOLLOW_LOADS in run_of(LoadSpec(node="fog", slowdown=9.0, at_s=1.0))._node_options()
