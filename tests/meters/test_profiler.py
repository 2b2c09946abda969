"""Profiles are measured with the clock given, within the budget, and their blocks add up to the whole model."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seamline.core.ports import Array, Tensors
from seamline.core.values import Block, Cut, DeviceInfo, NodeId, Quantiles, Segment, TensorSpec
from seamline.meters.profiler import anchored, profile_model

DEVICE = DeviceInfo(name=NodeId("edge"), cpu="test", engine="chain 1")
SHAPE = (4, 6, 3)


class Time:
    def __init__(self) -> None:
        self.at_s = 50.0

    def now_s(self) -> float:
        return self.at_s


class Chain:
    """An engine over a chain of layers that take `layer_s` each; a run costs `overhead_s` by itself.

    Layer i turns ``t{i}`` into ``t{i+1}`` by adding one; ``t0`` is the frame. It notes what was run on what.
    """

    name = "chain 1"

    def __init__(self, time: Time, layer_s: list[float], overhead_s: float = 0.0, warm_up_s: float = 0.0) -> None:
        self._time, self._layer_s, self._overhead_s, self._warm_up_s = time, layer_s, overhead_s, warm_up_s
        self.runs: list[Segment] = []
        self.fed: dict[Segment, Mapping[str, Array]] = {}

    def prepare(self, model_id: str, segment: Segment) -> "_ChainSegment":
        return _ChainSegment(self, segment)

    def took(self, segment: Segment) -> float:
        first = segment not in self.runs
        self.runs.append(segment)
        layers_s = sum(self._layer_s[segment.start : segment.stop])
        return layers_s + self._overhead_s + (self._warm_up_s if first else 0.0)

    def advance(self, duration_s: float) -> None:
        self._time.at_s += duration_s


class _ChainSegment:
    def __init__(self, chain: Chain, segment: Segment) -> None:
        self._chain, self._segment = chain, segment
        self.inputs = (_spec(segment.start),)
        self.outputs = (_spec(segment.stop),)

    def run(self, tensors: Tensors) -> dict[str, Array]:
        (spec,) = self.inputs
        assert list(tensors) == [spec.name]
        assert (tensors[spec.name].dtype.name, tensors[spec.name].shape) == (spec.dtype, spec.shape)
        self._chain.fed[self._segment] = tensors
        self._chain.advance(self._chain.took(self._segment))
        steps = self._segment.stop - self._segment.start
        return {self.outputs[0].name: (tensors[spec.name].astype(np.float32) + steps)}


def _spec(cut: int) -> TensorSpec:
    if cut == 0:
        return TensorSpec(name="frame", dtype="uint8", shape=SHAPE)
    return TensorSpec(name=f"t{cut}", dtype="float32", shape=SHAPE)


def cuts(n: int, candidates: set[int] | None = None) -> tuple[Cut, ...]:
    return tuple(
        Cut(
            index=i,
            after=f"layer{i}",
            tensors=(_spec(i),),
            payload_bytes=_spec(i).n_bytes,
            macs_before=100 * i,
            is_candidate=candidates is None or i in candidates,
        )
        for i in range(n)
    )


def measure(chain: Chain, time: Time, table: tuple[Cut, ...], budget_s: float = 1.0):
    return profile_model(
        chain, "a" * 64, "chain", table, DEVICE,
        frame_shape=SHAPE, budget_s=budget_s, now_s=time.now_s, jpeg_bytes=20,
    )  # fmt: skip


def test_blocks_take_what_their_layers_take_and_add_up_to_the_whole() -> None:
    time = Time()
    profile = measure(Chain(time, [0.001, 0.002, 0.004]), time, cuts(4))
    assert [(b.from_cut, b.to_cut) for b in profile.blocks] == [(0, 1), (1, 2), (2, 3)]
    assert [b.compute_s.median for b in profile.blocks] == pytest.approx([0.001, 0.002, 0.004])
    assert profile.whole_s.median == pytest.approx(0.007)
    assert profile.frame is not None
    assert (profile.frame.raw_bytes, profile.frame.jpeg_bytes, profile.frame.preprocess_s) == (72, 20, 0.0)
    assert (profile.model.name, profile.model.sha256) == ("chain", "a" * 64)


def test_what_each_block_costs_extra_by_itself_is_scaled_away() -> None:
    time = Time()
    profile = measure(Chain(time, [0.001] * 4, overhead_s=0.001), time, cuts(5))
    assert profile.whole_s.median == pytest.approx(0.005)
    assert sum(b.compute_s.median for b in profile.blocks) == pytest.approx(0.005)


def test_the_first_run_of_each_segment_only_warms_up() -> None:
    time = Time()
    profile = measure(Chain(time, [0.001] * 3, warm_up_s=0.1), time, cuts(4), budget_s=2.0)
    assert profile.whole_s.median == pytest.approx(0.003)
    assert [b.compute_s.p90 for b in profile.blocks] == pytest.approx([0.001] * 3)


def test_blocks_join_only_at_candidate_cuts_and_always_at_the_ends() -> None:
    time = Time()
    profile = measure(Chain(time, [0.001] * 5), time, cuts(6, candidates={2, 3}))
    assert [(b.from_cut, b.to_cut) for b in profile.blocks] == [(0, 2), (2, 3), (3, 5)]
    assert len(profile.cuts) == 6


def test_every_block_is_fed_with_what_the_one_before_gave() -> None:
    time = Time()
    chain = Chain(time, [0.001] * 3)
    measure(chain, time, cuts(4))
    frame = chain.fed[Segment(0, 1)]["frame"]
    assert len(np.unique(frame)) > 10
    assert np.array_equal(chain.fed[Segment(2, 3)]["t2"], frame.astype(np.float32) + 2)


@pytest.mark.parametrize("budget_s", [0.0, 0.05])
def test_a_small_budget_still_measures_everything_once(budget_s: float) -> None:
    time = Time()
    chain = Chain(time, [1.0, 2.0])
    profile = measure(chain, time, cuts(3), budget_s)
    assert chain.runs == [Segment(0, 2), Segment(0, 2), Segment(0, 1), Segment(1, 2)]
    assert [b.compute_s.median for b in profile.blocks] == pytest.approx([1.0, 2.0])


def test_a_short_block_is_warmed_up_although_the_budget_is_spent() -> None:
    time = Time()
    chain = Chain(time, [1.0, 0.0001], warm_up_s=0.001)
    profile = measure(chain, time, cuts(3), budget_s=1.0)
    assert chain.runs.count(Segment(0, 1)) == 1
    assert chain.runs.count(Segment(1, 2)) == 2
    assert profile.blocks[1].compute_s.median == pytest.approx(0.0001, rel=0.01)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(1e-4, 0.05), min_size=1, max_size=12), st.floats(1.0, 5.0))
def test_a_budget_is_kept_to_within_a_run_and_hardly_wasted(layer_s: list[float], budget_s: float) -> None:
    time = Time()
    chain = Chain(time, layer_s)
    begin_s = time.at_s
    measure(chain, time, cuts(len(layer_s) + 1), budget_s)
    # Whole twice and every block once or twice in any case; no run begins that would not end in time.
    assert time.at_s - begin_s <= max(budget_s, 4.0 * sum(layer_s)) + sum(layer_s) + 1e-6
    assert chain.runs.count(Segment(0, len(layer_s))) >= 2


def test_what_stands_before_an_anchor_is_scaled_to_its_share() -> None:
    parts = [Block(from_cut=i, to_cut=i + 1, compute_s=Quantiles(median=1.0, p90=2.0)) for i in range(4)]
    scaled = anchored(parts, 8.0, {1: 0.5, 3: 0.75})
    assert [b.compute_s.median for b in scaled] == pytest.approx([4.0, 1.0, 1.0, 2.0])
    assert [b.compute_s.p90 for b in scaled] == pytest.approx([8.0, 2.0, 2.0, 4.0])


def test_an_anchor_that_contradicts_an_earlier_one_is_left_out() -> None:
    parts = [Block(from_cut=i, to_cut=i + 1, compute_s=Quantiles(median=1.0, p90=1.0)) for i in range(3)]
    assert [b.compute_s.median for b in anchored(parts, 6.0, {1: 0.5, 2: 0.4})] == pytest.approx([3.0, 1.5, 1.5])
    assert [b.compute_s.median for b in anchored(parts, 6.0, {1: 1.0, 2: 0.0})] == pytest.approx([2.0, 2.0, 2.0])


def test_cold_blocks_are_corrected_by_running_the_model_in_two_parts() -> None:
    # Every run costs 1 ms by itself: a tenth of the first layer, but ten times each of the many small ones after it.
    time = Time()
    profile = measure(Chain(time, [0.01] + [0.0001] * 20, overhead_s=0.001), time, cuts(22))
    assert profile.blocks[0].compute_s.median == pytest.approx(0.011, rel=0.2)


def test_blocks_that_took_no_time_are_left_as_they_are() -> None:
    nothing = Block(from_cut=0, to_cut=1, compute_s=Quantiles(median=0.0, p90=0.0))
    assert anchored([nothing], 1.0) == (nothing,)
