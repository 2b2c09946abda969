"""Streams over real nodes: every accepted frame is answered, rightly and in order, whatever happens to the nodes."""

from __future__ import annotations

import numpy as np
import pytest

from seamline.core.vocabulary.errors import Infeasible, ModelError
from seamline.core.vocabulary.plans import Codec

EXACT = (Codec.RAW,)
RELATIVE = 1e-5
"""Segments fuse other layers than the whole model does, so sums round differently."""


@pytest.fixture
def over_fog(bench) -> str:
    """A plan to hold: a busy machine is slow, and adapting leaves a slow node for reasons that are not meant here."""
    return f"edge[0:4]raw > fog[4:{len(bench.model.cuts) - 1}]"


def check(results, expected) -> None:
    assert [result.frame for result in results] == list(range(len(expected)))
    for result, scores in zip(results, expected, strict=True):
        assert result.error is None
        np.testing.assert_allclose(result.outputs["scores"], scores, rtol=RELATIVE, atol=RELATIVE)


def test_a_split_stream_answers_every_frame_as_the_whole_model_does(bench, photos, expected):
    for name in ("edge", "fog", "cloud"):
        bench.start(name)
    stream = bench.stream(private=1, codecs=EXACT)
    assert not stream.plan.is_local
    assert not stream.plan.is_offload
    results = list(stream.run(photos))
    check(results, expected)
    assert any(not result.plan.is_local for result in results)
    assert stream.frames.counts().lost == 0


def test_a_model_that_a_node_lacks_comes_from_the_origin(bench):
    bench.start("edge")
    fog = bench.start("fog")
    assert fog.store.ids() == ()
    stream = bench.stream(private=1)
    assert fog.store.ids() == (bench.model.model_id,)
    assert "fog" in stream.plan.nodes


def test_frames_of_a_killed_node_are_completed_elsewhere_and_it_is_used_again_when_it_returns(
    bench, over_fog, photos, expected, wait_until
):
    bench.start("edge")
    bench.start("fog")
    stream = bench.stream(policy=over_fog, private=1)
    results = []
    frames = stream.run(photos)
    for result in frames:
        results.append(result)
        if result.frame == 10:
            bench.kill("fog")
            wait_until(lambda: stream.plan.is_local)
        if result.frame == 25:
            bench.start("fog")
            wait_until(lambda: "fog" in stream.plan.nodes)
    check(results, expected)
    assert any("fog" in result.plan.nodes for result in results[:10])
    assert all(result.plan.is_local for result in results[20:25])
    assert any("fog" in result.plan.nodes for result in results[30:])
    counts = stream.frames.counts()
    assert (counts.lost, counts.duplicated, counts.out_of_order) == (0, 0, 0)


def test_a_silent_node_does_not_keep_frames(bench, over_fog, photos, expected, wait_until):
    bench.start("edge")
    bench.start("fog")
    stream = bench.stream(policy=over_fog, private=1)
    results = []
    for result in stream.run(photos):
        results.append(result)
        if result.frame == 10:
            bench.network.silence_node("fog")
        if result.frame == 30:
            assert all(result.plan.is_local for result in results[20:])
            bench.network.heal_node("fog")
            wait_until(lambda: "fog" in stream.plan.nodes)
    check(results, expected)


def test_a_node_that_was_out_of_reach_while_the_stream_asked_for_its_profile_takes_part(
    bench, photos, expected, profile, wait_until
):
    edge = bench.start("edge")

    class OutOfReachAtFirst:
        n_asked = 0

        def profile(self, model, budget_s):
            self.n_asked += 1
            if self.n_asked == 1:
                bench.network.silence_node("fog")
                wait_until(lambda: "fog" not in edge.fabric.peers())
                bench.network.heal_node("fog")
            return profile("fog")

    profiler = OutOfReachAtFirst()
    bench.start("fog", profiler=profiler)
    stream = bench.stream(private=1, codecs=EXACT)
    assert stream.plan.is_local
    wait_until(lambda: "fog" in stream.plan.nodes)
    check(list(stream.run(photos)), expected)
    assert profiler.n_asked == 2


def test_a_node_that_lost_its_segments_is_prepared_again(bench, over_fog, photos, expected, wait_until):
    bench.start("edge")
    fog = bench.start("fog")
    stream = bench.stream(policy=over_fog, private=1)
    results = []
    for result in stream.run(photos):
        results.append(result)
        if result.frame == 10:
            fog.segments.release(stream.name, -1)
        if result.frame == 30:
            wait_until(lambda: "fog" in stream.plan.nodes and stream.frames.route.generation > 1)
    check(results, expected)
    assert stream.frames.counts().retried > 0


def test_raw_frames_never_leave_a_private_origin(bench, photos):
    for name in ("edge", "cloud"):
        bench.start(name)
    stream = bench.stream(private=1)
    plans = {result.plan for result in stream.run(photos[:20])}
    assert all(plan.stages[0].segment.stop >= 1 for plan in plans)
    assert not all(plan.is_local for plan in plans)


def test_without_privacy_offloading_to_a_fast_cloud_is_chosen_by_itself(bench):
    for name in ("edge", "cloud"):
        bench.start(name)
    bench.link("edge", "cloud", 20e6)
    stream = bench.stream(private=0)
    assert stream.plan.is_offload


def test_constraints_that_leave_no_plan_are_an_error_at_once(bench):
    bench.start("edge")
    with pytest.raises(Infeasible):
        bench.stream(allow_local=False)


def test_the_segments_of_a_vanished_origin_are_released(bench, photos, monkeypatch, wait_until):
    monkeypatch.setattr("seamline.core.hosting.host.ORPHAN_S", 0.2)
    bench.start("edge")
    fog = bench.start("fog")
    stream = bench.stream(private=1)
    list(stream.run(photos[:3]))
    assert fog.segments.n_generations == 1
    bench.network.silence_node("edge")
    wait_until(lambda: fog.segments.n_generations == 0)


def test_an_error_of_the_callers_own_source_comes_back_after_the_answers_that_are_due(bench, photos):
    def failing():
        yield from photos[:3]
        raise OSError("the camera was unplugged")

    bench.start("edge")
    answered = []
    with pytest.raises(OSError, match="unplugged"):
        answered.extend(bench.stream().run(failing(), live=False))
    assert len(answered) == 3


def test_closing_a_stream_releases_its_segments_on_every_node(bench, photos, wait_until):
    bench.start("edge")
    fog = bench.start("fog")
    stream = bench.stream(private=1)
    list(stream.run(photos[:5]))
    assert fog.segments.n_generations == 1
    stream.close()
    wait_until(lambda: fog.segments.n_generations == 0)
    assert bench.nodes["edge"].segments.n_generations == 0


def test_a_stream_stopped_before_it_runs_accepts_nothing_and_may_run_again(bench, photos):
    bench.start("edge")
    stream = bench.stream()
    stream.stop()  # as Ctrl-C does it, which may come at any time
    assert list(stream.run(photos)) == []
    assert len(list(stream.run(photos[:5]))) == 5


def test_a_second_run_answers_its_own_frames_and_its_figures_are_its_own(bench, photos, expected):
    bench.start("edge")
    bench.start("fog")
    stream = bench.stream(private=1, codecs=EXACT)
    first = stream.run(photos)
    assert next(first).frame == 0
    first.close()  # answers to frames that were accepted are still to come
    before = stream.frames.counts().accepted
    results = list(stream.run(photos[:7]))
    assert [result.frame for result in results] == list(range(before, before + 7))
    for result, scores in zip(results, expected, strict=False):
        np.testing.assert_allclose(result.outputs["scores"], scores, rtol=RELATIVE, atol=RELATIVE)
    summary = stream.summary()
    assert (summary["frames"]["accepted"], summary["frames"]["answered"], summary["latency_s"]["n"]) == (7, 7, 7)


def test_a_run_takes_no_frame_more_than_it_was_asked_for(bench, photos):
    asked_for_more = []

    def frames():
        yield from photos[:3]
        asked_for_more.append("which a camera may keep waiting for")

    bench.start("edge")
    assert len(list(bench.stream().run(frames(), n_frames=3, live=False))) == 3
    assert asked_for_more == []


def test_frames_that_can_be_run_nowhere_are_counted_as_failed(bench, photos, monkeypatch):
    def throw(*arguments: object) -> None:
        raise ModelError("no memory left")

    bench.start("edge")
    stream = bench.stream()
    monkeypatch.setattr(type(bench.nodes["edge"].segments.find(stream.name, 0, 0)), "run", throw)
    results = list(stream.run(photos[:3]))
    assert all("no memory left" in result.error for result in results)
    frames = stream.summary()["frames"]
    assert (frames["answered"], frames["failed"], frames["completed_elsewhere"], frames["lost"]) == (3, 3, 0, 0)
