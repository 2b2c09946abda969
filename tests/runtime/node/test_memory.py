"""What nodes report of their memory limits the plans of streams, from the start and while frames flow."""

from __future__ import annotations

import pytest

from seamline.core.cost.feasibility import memory_bytes
from seamline.core.vocabulary.errors import Infeasible


def test_a_node_that_reports_too_little_memory_runs_nothing(bench, photos):
    bench.start("edge")
    bench.start("cloud", memory_bytes=1000)
    bench.link("edge", "cloud", 400e6)
    stream = bench.stream()
    assert stream.plan.is_local, "the cloud is twenty times as fast, and full"
    assert {str(result.plan) for result in stream.run(photos[:5])} == {str(stream.plan)}


def test_a_node_that_may_hold_a_part_gets_no_more_than_that(bench):
    bench.start("edge")
    cuts = bench.model.cuts
    needs = {cut.index: memory_bytes(type(bench.model.whole)(cut.index, len(cuts) - 1), cuts) for cut in cuts[:-1]}
    allowed = (needs[0] + needs[len(cuts) // 2]) // 2
    bench.start("cloud", memory_bytes=allowed)
    bench.link("edge", "cloud", 4e9, delay_s=0.0)
    stream = bench.stream()
    last = stream.plan.stages[-1]
    assert last.node == "cloud"
    assert last.segment.start > 0
    assert needs[last.segment.start] <= allowed


def test_a_node_that_fills_up_while_frames_flow_is_left_and_the_reason_names_it(bench, photos, wait_until):
    bench.start("edge")
    cloud = bench.start("cloud")
    bench.link("edge", "cloud", 400e6)
    stream = bench.stream(policy=f"edge[0:4]raw > cloud[4:{len(bench.model.cuts) - 1}]")  # nothing else moves it
    assert "cloud" in stream.plan.nodes
    answers = stream.run(iter(photos * 50))
    next(answers)
    cloud.status.usable_memory_bytes = lambda: 1000
    for result in answers:
        assert result.error is None
        if stream.plan.is_local:
            break
    (switch,) = stream.recorder.switches
    assert switch.reason.split(";")[0].endswith("on `cloud`, which reports 0.0")
    stream.stop()
    assert list(answers) is not None
    cloud.status.usable_memory_bytes = lambda: 10**9
    wait_until(lambda: "cloud" in stream.plan.nodes)


def test_an_origin_that_cannot_hold_the_model_either_says_so_at_once(bench):
    bench.start("edge", memory_bytes=1000)
    bench.start("cloud", memory_bytes=1000)
    bench.link("edge", "cloud", 400e6)
    with pytest.raises(Infeasible, match=r"needs \d+\.\d MB on `(edge|cloud)`, which reports 0\.0"):
        bench.stream()
