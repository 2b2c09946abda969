"""What a model costs on an engine: the whole model, and every block between neighbouring candidate cuts.

Blocks are measured in order on random inputs, each fed with what the one before it gave, so values have the spread that
real ones have. An engine fuses layers across cuts, and every run costs something by itself, so blocks run one by one
take longer in sum. Their medians are therefore scaled to add up to the whole model's; and where the budget allows, the
model is also run in two parts at a few cuts (anchors), and what stands before each of them is scaled to the share that
the first part took. What that leaves wrong shows in the times of real frames, by which `core.estimate` corrects.

The clock comes as an argument. Nothing here knows about files; see `profile_file.py`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seamline.core.ports import Array, Engine, RunnableSegment, Tensors
from seamline.core.values import (
    Block,
    CodecCost,
    Cut,
    DeviceInfo,
    FrameInfo,
    ModelInfo,
    Profile,
    Quantiles,
    Segment,
    TensorSpec,
)

WHOLE_SHARE = 0.3
BLOCKS_SHARE = 0.4
"""Of the budget; what is left is for anchors."""

ANCHOR_RATIOS = (0.5, 0.2, 0.8, 0.1)
"""Where anchors are wanted, as shares of the whole, the first first. Early layers are wide, and judged worst alone."""

ANCHOR_RUNS = 2.2
"""What an anchor costs at the least, in runs of the whole model: warming up, one run, preparing."""

MAX_WHOLE_RUNS = 20
MAX_BLOCK_RUNS = 10
MAX_ANCHOR_RUNS = 5
EVEN_SHARE = 0.2
"""Of the blocks' budget, divided evenly; the rest by multiply-accumulates. Layers without any still take time."""


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
    jpeg_bytes: int | None = None,
    codecs: tuple[CodecCost, ...] = (),
    seed: int = 0,
) -> Profile:
    """Measure a model that `engine` knows, spending about `budget_s` seconds of the clock `now_s`.

    frame_shape: (H, W, 3) of the camera frame the model begins with, None when it takes none. Its preprocessing is part
    of the first block, so `FrameInfo.preprocess_s` stays 0. jpeg_bytes: of a typical frame.
    The whole model runs at least twice (the first run warms up) and each block once, whatever the budget says; blocks
    that take less than a hundredth of the budget run twice, for there warming up would be most of what is measured.
    Raises `ModelError` when the model or one of its blocks does not run.
    """
    begin_s = now_s()
    inputs, whole_s = _measure_whole(engine, model_id, cuts, begin_s + WHOLE_SHARE * budget_s, now_s, seed)
    blocks_until_s = begin_s + (WHOLE_SHARE + BLOCKS_SHARE) * budget_s
    measured = _measure_blocks(engine, model_id, cuts, inputs, blocks_until_s, budget_s / 100.0, now_s, seed)
    ratios = _measure_anchors(engine, model_id, measured, inputs, whole_s.median, begin_s + budget_s, now_s)
    return Profile(
        model=ModelInfo(name=model_name, sha256=model_id),
        device=device,
        cuts=cuts,
        blocks=anchored(measured, whole_s.median, ratios),
        whole_s=whole_s,
        frame=None if frame_shape is None else FrameInfo(raw_bytes=int(np.prod(frame_shape)), jpeg_bytes=jpeg_bytes),
        codecs=codecs,
    )


def anchored(
    blocks: Sequence[Block], whole_median_s: float, ratios: Mapping[int, float] | None = None
) -> tuple[Block, ...]:
    """`blocks` scaled such that their medians add up to `whole_median_s`, and to the given share of it up to some cuts.

    ratios: by cut, the share of the whole that runs before it. One that is not above those of earlier cuts is noise and
    left out.
    """
    factors: list[float] = []
    stretch: list[Block] = []
    reached = 0.0
    for block in blocks:
        stretch.append(block)
        is_last = block is blocks[-1]
        ratio = 1.0 if is_last else (ratios or {}).get(block.to_cut, 0.0)
        if is_last or reached < ratio < 1.0:
            sum_s = sum(part.compute_s.median for part in stretch)
            factor = (ratio - reached) * whole_median_s / sum_s if sum_s > 0.0 else 1.0
            factors.extend([factor] * len(stretch))
            stretch, reached = [], ratio
    return tuple(_scaled(block, factor) for block, factor in zip(blocks, factors, strict=True))


def _scaled(block: Block, factor: float) -> Block:
    times = Quantiles(median=block.compute_s.median * factor, p90=block.compute_s.p90 * factor)
    return Block(from_cut=block.from_cut, to_cut=block.to_cut, compute_s=times)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What a segment gave and how long its runs took. durations_s: after warming up, or the only run there was."""

    outputs: Tensors
    durations_s: tuple[float, ...]

    @property
    def quantiles_s(self) -> Quantiles:
        median, p90 = np.quantile(self.durations_s, (0.5, 0.9))
        return Quantiles(median=float(median), p90=float(p90))


def _measure_whole(
    engine: Engine, model_id: str, cuts: tuple[Cut, ...], until_s: float, now_s: Callable[[], float], seed: int
) -> tuple[Tensors, Quantiles]:
    """The random inputs used, and what the whole model takes."""
    segment = engine.prepare(model_id, Segment(cuts[0].index, cuts[-1].index))
    inputs = {spec.name: _random_tensor(spec, seed + number) for number, spec in enumerate(segment.inputs)}
    run = _run_repeatedly(segment, inputs, until_s, now_s, max_runs=MAX_WHOLE_RUNS + 1)
    return inputs, run.quantiles_s


def _measure_blocks(
    engine: Engine,
    model_id: str,
    cuts: tuple[Cut, ...],
    inputs: Tensors,
    until_s: float,
    short_s: float,
    now_s: Callable[[], float],
    seed: int,
) -> list[Block]:
    """Each block in turn, prepared, run and let go before the next."""
    joints = [cut for cut in cuts if cut.is_candidate or cut.index in (cuts[0].index, cuts[-1].index)]
    pairs = list(itertools.pairwise(joints))
    weights = _budget_weights(pairs)
    values: dict[str, Array] = dict(inputs)
    blocks = []
    for number, (here, there) in enumerate(pairs):
        share = weights[number] / sum(weights[number:])
        now = now_s()
        block_until_s = now + max(0.0, until_s - now) * share
        segment = engine.prepare(model_id, Segment(here.index, there.index))
        feed = {spec.name: _fitting(values.get(spec.name), spec, seed) for spec in segment.inputs}
        run = _run_repeatedly(segment, feed, block_until_s, now_s, max_runs=MAX_BLOCK_RUNS + 1, short_s=short_s)
        values = {**inputs, **run.outputs}
        blocks.append(Block(from_cut=here.index, to_cut=there.index, compute_s=run.quantiles_s))
    return blocks


def _measure_anchors(
    engine: Engine,
    model_id: str,
    blocks: list[Block],
    inputs: Tensors,
    whole_median_s: float,
    until_s: float,
    now_s: Callable[[], float],
) -> dict[int, float]:
    """By cut, the share of both parts' time that the part before it takes; as many cuts as there is time for."""
    ratios: dict[int, float] = {}
    for wanted in ANCHOR_RATIOS:
        cut = _cut_near(blocks, wanted)
        if cut is None or cut in ratios:
            continue
        left_s = until_s - now_s()
        if left_s < ANCHOR_RUNS * whole_median_s:
            break
        middle_s = now_s() + wanted * left_s / len(ANCHOR_RATIOS)
        before = _run_repeatedly(
            engine.prepare(model_id, Segment(blocks[0].from_cut, cut)),
            inputs, middle_s, now_s, max_runs=MAX_ANCHOR_RUNS + 1, short_s=math.inf,
        )  # fmt: skip
        rest = engine.prepare(model_id, Segment(cut, blocks[-1].to_cut))
        feed = {spec.name: {**inputs, **before.outputs}[spec.name] for spec in rest.inputs}
        rest_until_s = now_s() + (1.0 - wanted) * left_s / len(ANCHOR_RATIOS)
        after = _run_repeatedly(rest, feed, rest_until_s, now_s, max_runs=MAX_ANCHOR_RUNS + 1, short_s=math.inf)
        both_s = before.quantiles_s.median + after.quantiles_s.median
        if both_s > 0.0:
            ratios[cut] = before.quantiles_s.median / both_s
    return ratios


def _cut_near(blocks: list[Block], ratio: float) -> int | None:
    """The inner joint before which about `ratio` of the blocks' time is spent; None when there is no inner joint."""
    sums_s = list(itertools.accumulate(block.compute_s.median for block in blocks))
    joints = [(abs(sum_s - ratio * sums_s[-1]), block.to_cut) for sum_s, block in zip(sums_s, blocks, strict=True)]
    return min(joints[:-1], default=(0.0, None))[1]


def _run_repeatedly(
    segment: RunnableSegment,
    feed: Tensors,
    until_s: float,
    now_s: Callable[[], float],
    *,
    max_runs: int,
    short_s: float = math.inf,
) -> _Run:
    """Run once, twice if that took less than `short_s`, then while another run fits before `until_s`.

    The first run warms up and only counts when it was the only one.
    """
    durations_s: list[float] = []
    while True:
        begin_s = now_s()
        outputs = segment.run(feed)
        end_s = now_s()
        durations_s.append(end_s - begin_s)
        must_repeat = len(durations_s) == 1 and durations_s[0] < short_s
        if len(durations_s) >= max_runs or (not must_repeat and end_s + durations_s[-1] > until_s):
            return _Run(outputs=outputs, durations_s=tuple(durations_s[1:] or durations_s))


def _budget_weights(pairs: list[tuple[Cut, Cut]]) -> list[float]:
    """Each block's share of the time, by its multiply-accumulates and a little evenly. Sums to 1."""
    macs = [max(0, there.macs_before - here.macs_before) for here, there in pairs]
    total = sum(macs)
    even = EVEN_SHARE if total else 1.0
    return [even / len(pairs) + (1.0 - even) * (count / total if total else 0.0) for count in macs]


def _fitting(value: Array | None, spec: TensorSpec, seed: int) -> Array:
    """`value` if it is what `spec` asks for, else a random tensor that is."""
    if value is not None and value.shape == spec.shape and value.dtype.name == spec.dtype:
        return value
    return _random_tensor(spec, seed)


def _random_tensor(spec: TensorSpec, seed: int) -> Array:
    """Normal values for floats, all levels for bytes, and zeros or ones for other integers (they may be indices)."""
    random = np.random.default_rng(seed)
    if spec.dtype.startswith("float"):
        return random.standard_normal(spec.shape, dtype=np.float32).astype(spec.dtype)
    top = 256 if spec.dtype == "uint8" else 2
    return random.integers(0, top, spec.shape).astype(spec.dtype)
