"""What codecs cost and send at each cut: measured on the model, kept with its profile, corrected by real frames."""

from __future__ import annotations

import time

import numpy as np
import pytest

from seamline import codec
from seamline.codec import encode
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec, Segment
from seamline.model import OrtEngine
from seamline.runtime.node.boundaries import measure_boundaries
from seamline.runtime.node.profiling import Profiler

PLAN = "edge[0:4]lossless > fog[4:{last}]"


class StepClock:
    """Every look at it takes a millisecond."""

    def __init__(self) -> None:
        self.looks = 0

    def now_s(self) -> float:
        self.looks += 1
        return self.looks * 0.001


def test_every_candidate_cut_gets_the_times_and_sizes_of_its_own_tensors(bench):
    engine = OrtEngine(bench.origin_store, 1)
    costs = measure_boundaries(engine, bench.model, StepClock())
    candidates = [cut for cut in bench.model.cuts[1:-1] if cut.is_candidate]
    assert [cost.cut for cost in costs if cost.codec is Codec.LOSSLESS] == [cut.index for cut in candidates]
    for cost in costs:
        n_bytes = bench.model.cuts[cost.cut].payload_bytes
        assert cost.encode_s_per_byte == pytest.approx(0.001 / n_bytes)
    relu_maps = [cost.compression_ratio for cost in costs if cost.codec is Codec.LOSSLESS]
    assert min(relu_maps) < 0.8
    assert max(relu_maps) < 1.1  # incompressible tensors travel as they are, beside their description


def test_a_profile_keeps_them_and_one_from_before_is_completed(bench, tmp_path):
    engine = OrtEngine(bench.origin_store, 1)
    profiler = Profiler(engine, NodeId("edge"), 1, cache=tmp_path)
    profile = profiler.profile(bench.model, 0.05)
    assert {cost.cut for cost in profile.codecs} > {None}
    again = Profiler(engine, NodeId("edge"), 1, cache=tmp_path).profile(bench.model, 0.05)
    assert again.codecs == profile.codecs


def test_one_measurement_on_a_computer_serves_all_nodes_it_stands_for(bench, tmp_path):
    engine = OrtEngine(bench.origin_store, 1)
    fog = Profiler(engine, NodeId("fog"), 1, slowdown=2.0, cache=tmp_path)
    segment = Segment(0, bench.model.cuts[-1].index)
    assert fog.usual_s(bench.model.model_id, segment) is None
    profile = fog.profile(bench.model, 0.05)
    usual_s = fog.usual_s(bench.model.model_id, segment)
    assert sum(block.compute_s.median for block in profile.blocks) == pytest.approx(2.0 * usual_s)
    edge = Profiler(engine, NodeId("edge"), 1, slowdown=8.0, cache=tmp_path)
    assert edge.usual_s(bench.model.model_id, segment) == usual_s
    assert edge.profile(bench.model, 0.05).whole_s.median == pytest.approx(4.0 * profile.whole_s.median)
    assert edge.profile(bench.model, 0.05).device.name == "edge"


def test_what_others_take_of_the_processor_is_in_no_codec_s_cost(bench, tmp_path, monkeypatch):
    def held_up(*arguments, **named):
        time.sleep(0.01)  # as by another process
        return encode(*arguments, **named)

    monkeypatch.setattr(codec, "encode", held_up)
    profile = Profiler(OrtEngine(bench.origin_store, 1), NodeId("edge"), 1, cache=tmp_path).profile(bench.model, 0.05)
    cuts = bench.model.cuts
    at_cuts_s = [cost.encode_s_per_byte * cuts[cost.cut].payload_bytes for cost in profile.codecs if cost.cut]
    assert max(at_cuts_s) < 0.01


def test_what_real_frames_sent_is_believed_instead(bench, photos, wait_until):
    bench.start("edge")
    bench.start("fog")
    stream = bench.stream(policy=PLAN.format(last=len(bench.model.cuts) - 1))
    results = list(stream.run(photos[:20]))
    engine = OrtEngine(bench.origin_store, 1)
    head = engine.prepare(bench.model.model_id, Segment(0, 4))
    taken = [encode(head.run({"frame": photo}), Codec.LOSSLESS).n_bytes for photo in photos[:20]]
    over_fog = [at for at, result in enumerate(results) if not result.plan.is_local]  # a busy machine may be late
    assert over_fog
    assert [results[at].reports[0].sent_bytes for at in over_fog] == [taken[at] for at in over_fog]
    wait_until(lambda: (4, Codec.LOSSLESS) in stream.controller.view.compression_ratio)
    learnt = stream.controller.view.compression_ratio[4, Codec.LOSSLESS]
    # a mean of recent frames, told when it has moved by 3 %
    assert learnt == pytest.approx(np.mean(taken) / bench.model.cuts[4].payload_bytes, rel=0.1)
