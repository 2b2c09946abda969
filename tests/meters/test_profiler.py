"""Profiles are measured with the clock given, within the budget, and their blocks add up to the whole model."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.core.cost.profiled import profiled_s
from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import Array, Tensors
from seamline.core.vocabulary.profiles import Boundary, Cut, DeviceInfo, TensorSpec
from seamline.meters.profile_check import check_profile, error_quantiles
from seamline.meters.profiler import MAX_BLOCKS, choose_joints, piece_levels, profile_model, slowed

DEVICE = DeviceInfo(name=NodeId("edge"), cpu="test", engine="chain 1")
SHAPE = (4, 6, 3)


class Time:
    def __init__(self) -> None:
        self.at_s = 50.0

    def now_s(self) -> float:
        return self.at_s


class Chain:
    """An engine over a chain of layers that take `layer_s` each; a run costs `overhead_s` by itself, and half of
    `boundary_s` at each end. From `slow_from_s` on everything takes three times as long.

    Layer i turns ``t{i}`` into ``t{i+1}`` by adding one; ``t0`` is the frame. It notes what was run on what.
    """

    name, provider, computes_on_caller = "chain 1", "cpu", False

    def __init__(
        self,
        time: Time,
        layer_s: list[float],
        overhead_s: float = 0.0,
        warm_up_s: float = 0.0,
        boundary_s: Mapping[int, float] | None = None,
        slow_from_s: float = math.inf,
    ) -> None:
        self._time, self._layer_s, self._overhead_s, self._warm_up_s = time, layer_s, overhead_s, warm_up_s
        self._boundary_s, self._slow_from_s = boundary_s or {}, slow_from_s
        self.runs: list[Segment] = []
        self.fed: dict[Segment, Mapping[str, Array]] = {}

    def prepare(self, model_id: str, segment: Segment) -> "_ChainSegment":
        return _ChainSegment(self, segment)

    def took(self, segment: Segment) -> float:
        first = segment not in self.runs
        self.runs.append(segment)
        slowness = 3.0 if self._time.at_s >= self._slow_from_s else 1.0
        return slowness * self.plain_s(segment) + (self._warm_up_s if first else 0.0)

    def plain_s(self, segment: Segment) -> float:
        ends_s = self._boundary_s.get(segment.start, 0.0) + self._boundary_s.get(segment.stop, 0.0)
        return sum(self._layer_s[segment.start : segment.stop]) + self._overhead_s + ends_s / 2

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


def test_what_every_run_costs_extra_becomes_the_overhead_of_boundaries() -> None:
    time = Time()
    profile = measure(Chain(time, [0.001] * 4, overhead_s=0.001), time, cuts(5))
    assert profile.whole_s.median == pytest.approx(0.005)
    assert sum(b.compute_s.median for b in profile.blocks) == pytest.approx(0.005)
    for start, stop in itertools.combinations(range(5), 2):
        assert profiled_s(profile, Segment(start, stop)) == pytest.approx(0.001 * (stop - start) + 0.001, rel=1e-3)


def test_a_wide_boundary_costs_those_that_end_and_begin_there() -> None:
    time = Time()
    chain = Chain(time, [0.002] * 6, boundary_s={2: 0.003})
    profile = measure(chain, time, cuts(7))
    overheads_s = {each.cut: each.overhead_s for each in profile.boundaries}
    assert max(overheads_s, key=lambda cut: overheads_s[cut]) == 2
    for start, stop in itertools.combinations(range(7), 2):
        # All boundaries are equally wide here, and the guess by bytes pulls a little.
        expected_s = chain.plain_s(Segment(start, stop))
        assert profiled_s(profile, Segment(start, stop)) == pytest.approx(expected_s, rel=0.1)


def test_the_first_run_of_each_segment_only_warms_up() -> None:
    time = Time()
    profile = measure(Chain(time, [0.001] * 3, warm_up_s=0.1), time, cuts(4), budget_s=2.0)
    assert profile.whole_s.median == pytest.approx(0.003)
    assert [b.compute_s.p90 for b in profile.blocks] == pytest.approx([0.001] * 3, rel=0.01)


def test_a_machine_that_turns_slow_half_way_does_not_distort_the_blocks() -> None:
    time = Time()
    chain = Chain(time, [0.001, 0.002, 0.003, 0.004], slow_from_s=time.at_s + 0.5)
    profile = measure(chain, time, cuts(5))
    shares = [block.compute_s.median / profile.whole_s.median for block in profile.blocks]
    assert shares == pytest.approx([0.1, 0.2, 0.3, 0.4], rel=0.02)


def test_a_slowed_profile_multiplies_everything_the_engine_takes() -> None:
    time = Time()
    once = measure(Chain(time, [0.001] * 4, overhead_s=0.001), time, cuts(5))
    eight = slowed(once, 8.0)
    assert eight.whole_s.median == pytest.approx(8 * once.whole_s.median)
    assert profiled_s(eight, Segment(1, 3)) == pytest.approx(8 * profiled_s(once, Segment(1, 3)))


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
    measure(chain, time, cuts(3), budget_s=1.0)
    assert chain.runs.count(Segment(0, 1)) == 1
    assert chain.runs.count(Segment(1, 2)) == 2


@given(st.lists(st.floats(1e-4, 0.05), min_size=1, max_size=12), st.floats(1.0, 5.0))
def test_a_budget_is_kept_to_within_a_run_and_hardly_wasted(layer_s: list[float], budget_s: float) -> None:
    time = Time()
    chain = Chain(time, layer_s)
    begin_s = time.at_s
    measure(chain, time, cuts(len(layer_s) + 1), budget_s)
    # Whole twice and every block once or twice in any case; no level begins that would not end in time.
    assert time.at_s - begin_s <= max(budget_s, 4.0 * sum(layer_s)) + 2.0 * sum(layer_s) + 1e-6
    assert chain.runs.count(Segment(0, len(layer_s))) >= 2


@given(st.integers(1, 70))
def test_levels_measure_every_block_and_nothing_twice(n_blocks: int) -> None:
    levels = piece_levels(n_blocks)
    spans = [span for level in levels for span in level]
    assert len(spans) == len(set(spans))
    assert (0, n_blocks) not in spans
    assert n_blocks == 1 or {(at, at + 1) for at in range(n_blocks)} <= set(spans)
    for level in levels:
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(level))


def test_many_candidates_are_joined_to_blocks_of_like_work() -> None:
    table = cuts(501)
    joints = choose_joints(table)
    assert (joints[0], joints[-1]) == (table[0], table[-1])
    assert len(joints) <= MAX_BLOCKS + 1
    assert max(there.index - here.index for here, there in itertools.pairwise(joints)) <= 9


def test_a_model_of_one_block_is_that_block() -> None:
    time = Time()
    profile = measure(Chain(time, [0.003]), time, cuts(2))
    assert [block.compute_s.median for block in profile.blocks] == pytest.approx([0.003])
    assert profile.boundaries == ()


def test_layers_that_take_no_time_give_a_profile_of_zeros() -> None:
    time = Time()
    profile = measure(Chain(time, [0.0, 0.0]), time, cuts(3))
    assert [block.compute_s.median for block in profile.blocks] == [0.0, 0.0]


def test_the_check_finds_what_a_profile_gets_wrong() -> None:
    time = Time()
    chain = Chain(time, [0.001, 0.002, 0.004, 0.001, 0.002])
    profile = measure(chain, time, cuts(6))
    right = list(check_profile(chain, "a" * 64, profile, n_segments=20, spent_s=time.now_s))
    assert len(right) == 15
    assert error_quantiles(right) == pytest.approx((0.0, 0.0), abs=1e-3)
    doubled = replace(profile, boundaries=(Boundary(cut=1, overhead_s=0.004),))
    wrong = list(check_profile(chain, "a" * 64, doubled, n_segments=20, spent_s=time.now_s))
    errors = {check.segment: check.error_ratio for check in wrong}
    assert errors[Segment(0, 1)] == pytest.approx(2.0, rel=0.01)
    assert errors[Segment(2, 5)] == pytest.approx(0.0, abs=1e-3)


def test_a_machine_under_load_is_no_error_of_the_profile() -> None:
    time = Time()
    profile = measure(Chain(time, [0.001, 0.002, 0.004]), time, cuts(4))
    loaded = Chain(time, [0.003, 0.006, 0.012])
    checks = list(check_profile(loaded, "a" * 64, profile, n_segments=3, spent_s=time.now_s))
    assert error_quantiles(checks)[1] < 1e-3
    assert checks[0].drift_ratio == pytest.approx(3.0)


class Picky(Chain):
    """A chain that refuses frames whose largest value is above `most`: they are indices, or lengths."""

    def __init__(self, time: Time, layer_s: list[float], least: int, most: int) -> None:
        super().__init__(time, layer_s)
        self._least, self._most = least, most

    def prepare(self, model_id: str, segment: Segment) -> _ChainSegment:
        ready = super().prepare(model_id, segment)
        run = ready.run

        def check(tensors: Tensors) -> dict[str, Array]:
            if segment.start == 0 and not self._least <= tensors["frame"].max() <= self._most:
                raise ModelError("indices element out of data bounds")
            return run(tensors)

        ready.run = check
        return ready


@pytest.mark.parametrize(("least", "most"), [(0, 0), (0, 1), (1, 1)])
def test_a_model_that_refuses_noise_is_measured_on_what_it_accepts(least, most):
    time = Time()
    profile = measure(Picky(time, [0.01, 0.02], least, most), time, cuts(3))
    assert profile.whole_s.median == pytest.approx(0.03)


def test_a_model_that_refuses_everything_says_so():
    time = Time()
    with pytest.raises(ModelError, match=r"noise, zeros and ones are all refused.*: indices element out of data"):
        measure(Picky(time, [0.01, 0.02], 2, 9), time, cuts(3))
