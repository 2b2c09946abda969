"""Profiler of a model on an engine: times of every block between candidate cuts, and the overhead of every cut.

Theory of operation. A segment that ends at a wide boundary must hand its tensors out and the next one take them in, and
what an engine would have fused across is lost; so blocks that run one by one take longer in sum than the whole, by an
amount that differs per boundary. The model is therefore measured in pieces of many lengths: all single blocks, halves,
quarters and so on, and then the same shifted by half a piece. Each such level costs about one whole inference per round
and is prepared and let go before the next. `fitting.py` finds the blocks and overheads that explain all of them.

The pieces of a level run in turn, on caches emptied before (`caches.py`), for frames of a stream find them cold; the
whole model runs between rounds, as the anchor by which the drift of the machine is divided out. What is left wrong
shows in the times of real frames, by which `core.link.estimator` corrects.

Clocks come as arguments. Nothing here knows about files; see `profile_file.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.local_values import example_value
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import Array, Engine, RunnableSegment, Tensors
from seamline.core.vocabulary.profiles import (
    Block,
    Boundary,
    CodecCost,
    Cut,
    DeviceInfo,
    FrameInfo,
    ModelInfo,
    Profile,
    Quantiles,
    TensorSpec,
)
from seamline.meters.fitting import Fitted, Span, fit_times
from seamline.meters.rounds import Rounds, quantiles

MAX_BLOCKS = 64
"""More candidate cuts are joined to blocks of about the same work; in one, `core.cost.profiled` shares time out by
it.
"""

SEED = 0
"""Of the noise that models are fed."""

MAX_ROUNDS = 7
LEVEL_RUNS = 2.2
"""What a level costs at the least besides preparing it, in runs of the whole model."""

SHORT_RATIO = 0.01
"""Of the budget: pieces below run twice in their first round, for warming up would be most of what is measured."""

EVEN_SHARE = 0.2
"""Of the work by which blocks are joined, counted evenly; the rest are MACs. Layers without any still take time."""


def profile_model(
    engine: Engine,
    model_id: str,
    model_name: str,
    cuts: tuple[Cut, ...],
    device: DeviceInfo,
    *,
    frame_shape: tuple[int, int, int] | None,
    budget_s: float,
    now_s: Callable[[], float],
    spent_s: Callable[[], float] | None = None,
    between: Callable[[], object] = lambda: None,
    jpeg_bytes: int | None = None,
    codecs: tuple[CodecCost, ...] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> Profile:
    """Measure a model that `engine` knows, spending about `budget_s` seconds of the clock `now_s`.

    spent_s: clock of what a run takes, `now_s` when None; the thread's processor time, where one thread does all the
    work, keeps other processes out of the profile. between: called before each run, not timed. frame_shape: (H, W, 3)
    of the camera frame the model begins with, None when it takes none; its preprocessing is part of the first block, so
    that `FrameInfo.preprocess_s` stays 0. jpeg_bytes: of a typical frame. on_progress: called with how many levels are
    done, of how many.
    The model is fed noise, or what else it accepts. The whole runs at least twice (the first run warms up) and each
    block once, whatever the budget says.
    Raises `ModelError` when the model or one of its segments does not run.
    """
    joints = choose_joints(cuts)
    bench = _Bench(engine, model_id, [cut.index for cut in joints], now_s, spent_s or now_s, between)
    until_s = now_s() + budget_s
    bench.measure_whole()
    levels = piece_levels(len(joints) - 1)
    for number, spans in enumerate(levels):
        if number == 0 or bench.has_time_until(until_s):
            bench.measure_level(spans, now_s() + (until_s - now_s()) / (len(levels) - number), SHORT_RATIO * budget_s)
        if on_progress is not None:
            on_progress(number + 1, len(levels))
    measured = bench.quantiles_s()
    fitted = fit_times({span: times.median for span, times in measured.items()}, [cut.payload_bytes for cut in joints])
    return Profile(
        model=ModelInfo(name=model_name, sha256=model_id),
        device=device,
        cuts=cuts,
        blocks=_blocks(joints, measured, fitted),
        whole_s=measured[0, len(joints) - 1],
        frame=None if frame_shape is None else FrameInfo(raw_bytes=int(np.prod(frame_shape)), jpeg_bytes=jpeg_bytes),
        codecs=codecs,
        boundaries=_boundaries(cuts, joints, fitted),
    )


def slowed(profile: Profile, slowdown: float) -> Profile:
    """`profile` of a device that computes `slowdown` times as long; its codecs, which are not slowed, stay."""
    return replace(
        profile,
        blocks=tuple(replace(block, compute_s=_times(block.compute_s, slowdown)) for block in profile.blocks),
        whole_s=_times(profile.whole_s, slowdown),
        boundaries=tuple(replace(each, overhead_s=each.overhead_s * slowdown) for each in profile.boundaries),
    )


def choose_joints(cuts: Sequence[Cut]) -> list[Cut]:
    """Both ends and the candidates between them, at most `MAX_BLOCKS` + 1, with about the same work in between."""
    inner = [cut for cut in cuts[1:-1] if cut.is_candidate]
    if len(inner) >= MAX_BLOCKS:
        work = [_work_ratio(cut, cuts[-1]) for cut in inner]
        steps = np.arange(1, MAX_BLOCKS) / MAX_BLOCKS
        inner = [inner[at] for at in sorted({int(np.argmin(np.abs(np.array(work) - step))) for step in steps})]
    return [cuts[0], *inner, cuts[-1]]


def piece_levels(n_blocks: int) -> list[list[Span]]:
    """Spans to measure, the most needed first: single blocks, halves, quarters, ..., then shifted by half a piece.

    No span comes twice, and the whole is none of them.
    """
    edges: list[Sequence[int]] = [range(n_blocks + 1)]
    n_parts = [2**power for power in range(1, n_blocks.bit_length()) if 2**power < n_blocks]
    edges += [_rounded(part * n_blocks / parts for part in range(parts + 1)) for parts in n_parts]
    edges += [_rounded([0, *((part + 0.5) * n_blocks / parts for part in range(parts)), n_blocks]) for parts in n_parts]
    seen: set[Span] = {(0, n_blocks)}
    levels = []
    for joints in edges:
        spans = [span for span in itertools.pairwise(joints) if span not in seen]
        seen.update(spans)
        levels.append(spans)
    return [spans for spans in levels if spans]


def _rounded(places: Iterable[float]) -> Sequence[int]:
    return sorted({round(place) for place in places})


def _work_ratio(cut: Cut, last: Cut) -> float:
    """Share of the model before `cut`, by multiply-accumulates and a little by its place."""
    by_place = cut.index / last.index
    by_macs = cut.macs_before / last.macs_before if last.macs_before else by_place
    return EVEN_SHARE * by_place + (1.0 - EVEN_SHARE) * by_macs


class _Bench:
    """Runs spans of one model and keeps what they took."""

    def __init__(
        self,
        engine: Engine,
        model_id: str,
        joints: list[int],
        now_s: Callable[[], float],
        spent_s: Callable[[], float],
        between: Callable[[], object],
    ) -> None:
        self._engine, self._model_id, self._joints = engine, model_id, joints
        self._now_s, self._spent_s, self._between = now_s, spent_s, between
        self._levels: list[Rounds[Span]] = []
        self._whole_s: list[float] = []
        self._whole_took_s = self._preparing_s = 0.0
        self._whole = self._prepare((0, len(joints) - 1))
        self._values: dict[int, Tensors] = {}

    def measure_whole(self) -> None:
        """Time the whole model: one run to warm up and one that counts; more come with the levels."""
        self._between()
        self._values[0] = accepted_input(self._whole, SEED)
        begin_s = self._now_s()
        self._whole_s.append(self._run(self._whole, self._values[0])[1])
        self._whole_took_s = self._now_s() - begin_s

    def has_time_until(self, until_s: float) -> bool:
        """Whether another level can be prepared and run once."""
        return self._now_s() + self._preparing_s + LEVEL_RUNS * self._whole_took_s <= until_s

    def measure_level(self, spans: Sequence[Span], until_s: float, short_s: float) -> None:
        """Run all `spans` in turn, once, and again while another round fits before `until_s`.

        The first round warms up and only counts when it was the only one.
        """
        begin_s = self._now_s()
        segments = [self._prepare(span) for span in spans]
        self._preparing_s = self._now_s() - begin_s
        level = Rounds({span: [] for span in spans}, [self._whole_s[-1]])
        self._levels.append(level)
        for n_rounds in range(1, MAX_ROUNDS + 2):
            begin_s = self._now_s()
            for span, segment in zip(spans, segments, strict=True):
                took_s = self._run_span(span, segment)
                if n_rounds == 1 and took_s < short_s:
                    took_s = self._run_span(span, segment)
                level.times_s[span].append(took_s)
            if self._now_s() + self._whole_took_s > until_s:
                return
            self._whole_s.append(self._run(self._whole, self._values[0])[1])
            level.anchors_s.append(self._whole_s[-1])
            if 2.0 * self._now_s() - begin_s > until_s:
                return

    def quantiles_s(self) -> dict[Span, Quantiles]:
        """By span, the drift of the machine divided out."""
        whole_s = quantiles(self._whole_s)
        measured = {(0, len(self._joints) - 1): whole_s}
        for level in self._levels:
            measured.update(level.quantiles_s(whole_s.median))
        return measured

    def _prepare(self, span: Span) -> RunnableSegment:
        return self._engine.prepare(self._model_id, Segment(self._joints[span[0]], self._joints[span[1]]))

    def _run_span(self, span: Span, segment: RunnableSegment) -> float:
        known = self._values.get(span[0], {})
        feed = {spec.name: fitting_tensor(known.get(spec.name), spec, SEED) for spec in segment.inputs}
        outputs, took_s = self._run(segment, feed)
        self._values.setdefault(span[1], outputs)  # real values: what single blocks give is what all others are fed
        return took_s

    def _run(self, segment: RunnableSegment, feed: Tensors) -> tuple[Tensors, float]:
        self._between()
        begin_s = self._spent_s()
        outputs = segment.run(feed)
        return outputs, self._spent_s() - begin_s


def _blocks(joints: Sequence[Cut], measured: dict[Span, Quantiles], fitted: Fitted) -> tuple[Block, ...]:
    blocks = []
    for at, seconds in enumerate(fitted.blocks_s):
        alone = measured[at, at + 1]
        spread = alone.p90 / alone.median if alone.median > 0.0 else 1.0
        times = Quantiles(median=float(seconds), p90=float(seconds) * spread)
        blocks.append(Block(from_cut=joints[at].index, to_cut=joints[at + 1].index, compute_s=times))
    return tuple(blocks)


def _boundaries(cuts: Sequence[Cut], joints: Sequence[Cut], fitted: Fitted) -> tuple[Boundary, ...]:
    """Of all inner cuts; those that are no joint are taken to cost as much per byte as the joints do on average."""
    fitted_s = {cut.index: float(seconds) for cut, seconds in zip(joints, fitted.overheads_s, strict=True)}
    joint_bytes = sum(cut.payload_bytes for cut in joints[1:-1])
    s_per_byte = float(fitted.overheads_s.sum()) / joint_bytes if joint_bytes else 0.0
    overheads_s = ((cut.index, fitted_s.get(cut.index, s_per_byte * cut.payload_bytes)) for cut in cuts[1:-1])
    return tuple(Boundary(cut=index, overhead_s=seconds) for index, seconds in overheads_s if seconds > 0.0)


def _times(quantiles: Quantiles, factor: float) -> Quantiles:
    return Quantiles(median=quantiles.median * factor, p90=quantiles.p90 * factor)


def fitting_tensor(value: Array | None, spec: TensorSpec, seed: int) -> Array:
    """`value` if it is what `spec` asks for, else a random tensor that is."""
    if spec.is_local:
        return random_tensor(spec, seed) if value is None else value
    if value is not None and value.shape == spec.shape and value.dtype.name == spec.dtype:
        return value
    return random_tensor(spec, seed)


def random_tensor(spec: TensorSpec, seed: int) -> Array:
    """Normal values for floats, all levels for bytes, and zeros or ones for other integers (they may be indices)."""
    if spec.is_local:
        value: Array = example_value(spec)
        return value
    random = np.random.default_rng(seed)
    if spec.dtype.startswith("float"):
        return random.standard_normal(spec.shape, dtype=np.float32).astype(spec.dtype)
    top = 256 if spec.dtype == "uint8" else 2
    return random.integers(0, top, spec.shape).astype(spec.dtype)


def accepted_input(segment: RunnableSegment, seed: int) -> Tensors:
    """Values that `segment` has just run on: random, or zeros or ones where it refuses those (indices, lengths).

    Raises `ModelError` when it refuses them all.
    """
    refusals: list[ModelError] = []
    for fill in (None, 0, 1):
        feed = {
            spec.name: random_tensor(spec, seed + at)
            if fill is None or spec.is_local
            else np.full(spec.shape, fill, spec.dtype)
            for at, spec in enumerate(segment.inputs)
        }
        try:
            segment.run(feed)
        except ModelError as error:
            refusals.append(error)
        else:
            return feed
    raise ModelError(
        f"noise, zeros and ones are all refused, so nothing can be measured: {refusals[0]}",
        hint="leave out the part of the model that refuses them",
    )
