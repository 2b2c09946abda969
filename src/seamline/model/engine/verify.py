"""Verification of cuts: head and tail compute what the whole model does, at every cut, on random input."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.local_values import example_value, is_local, is_same
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import Array, Engine
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.model.engine.comparison import relative_error
from seamline.model.onnx.session import open_session, translated
from seamline.model.store.stored import StoredModel


@dataclass(frozen=True, slots=True, kw_only=True)
class CutCheck:
    """Result of verifying one cut.

    cut: its index. max_relative_error: largest deviation of any output element, relative
    to the largest element of that output of the whole model. prepare_s: seconds to make both segments runnable.
    error: why it did not run, None when it did; the numbers then mean nothing.
    """

    cut: int
    max_relative_error: float
    bit_equal: bool
    prepare_s: float
    error: str | None = None


def verify_cuts(
    engine: Engine,
    model: StoredModel,
    seed: int = 0,
    cuts: Iterable[int] | None = None,
    *,
    without: Collection[str] = (),
    against: Engine | None = None,
) -> Iterator[CutCheck]:
    """Run `model` whole, then split at each of `cuts` (all when None) on the same random input, one check at a time.

    against: what the whole and the tails run on, as if on another node; `engine` too when None. At the first cut
    everything then runs there, at the last one nothing. without: outputs that are not compared, since the model draws
    them at random. Only two segments are alive at once.
    Raises `ModelError` when the whole model does not run; trouble at one cut is reported in its check.
    """
    other = against or engine
    whole = other.prepare(model.model_id, model.whole)
    tensors = random_tensors(whole.inputs, seed)
    expected = {name: value for name, value in whole.run(tensors).items() if name not in without}
    del whole
    for index in range(len(model.cuts)) if cuts is None else cuts:
        yield _check(engine, other, model, index, tensors, expected)


def uncut_deviation(model: StoredModel, seed: int = 0, *, without: Collection[str] = ()) -> float:
    """Deviation of the whole model from itself when nothing is cut, on the input that `verify_cuts` uses.

    Run once as always and once with the runtime's optimisations off, which sums in another order, as a cut does; and
    once with every input one unit in the last place larger. A cut that deviates by less shows rounding and no mistake:
    a detector that sees nothing in noise has outputs of 6e-5, where its sigmoid knows steps of 6e-8.
    Relative to the largest output, as `CutCheck.max_relative_error`; without: outputs to leave out. Raises `ModelError`
    when it does not run.
    """
    part = model.segment(model.whole)
    if part.model is None:
        return 0.0
    tensors = random_tensors(part.inputs, seed)
    names = [spec.name for spec in part.outputs if spec.name not in part.passed and spec.name not in without]
    if not names:
        return 0.0
    found = []
    for optimised, feed in ((True, tensors), (False, tensors), (True, _nudged(tensors))):
        session = open_session(part.model, model.folder, n_threads=1, optimised=optimised, prepacked=True)
        with translated("the whole model failed"):
            found.append(session.run(names, feed))
    return max(relative_error(other, value) for run in found[1:] for other, value in zip(run, found[0], strict=True))


def random_tensors(specs: Iterable[TensorSpec], seed: int) -> dict[str, Array]:
    """Values for `specs`, the same for the same seed: floats from N(0, 1), uint8 all over, other integers 0 or 1.

    Larger integers would be indices into something of unknown size.
    """
    rng = np.random.default_rng(seed)
    tensors: dict[str, Array] = {}
    for spec in specs:
        if spec.is_local:
            tensors[spec.name] = example_value(spec)
        elif spec.dtype.startswith("float"):
            tensors[spec.name] = rng.standard_normal(spec.shape).astype(spec.dtype)
        else:
            tensors[spec.name] = rng.integers(0, 256 if spec.dtype == "uint8" else 2, spec.shape).astype(spec.dtype)
    return tensors


def _check(
    engine: Engine,
    other: Engine,
    model: StoredModel,
    index: int,
    tensors: Mapping[str, Array],
    expected: Mapping[str, Array],
) -> CutCheck:
    started_s = time.perf_counter()
    try:
        head = engine.prepare(model.model_id, Segment(0, index))
        tail = other.prepare(model.model_id, Segment(index, model.whole.stop))
        prepare_s = time.perf_counter() - started_s
        found = tail.run(head.run(tensors))
    except ModelError as exc:
        return CutCheck(cut=index, max_relative_error=0.0, bit_equal=False, prepare_s=0.0, error=str(exc))
    return CutCheck(
        cut=index,
        max_relative_error=max((relative_error(found[name], value) for name, value in expected.items()), default=0.0),
        bit_equal=all(is_same(found[name], value) for name, value in expected.items()),
        prepare_s=prepare_s,
    )


def _nudged(tensors: Mapping[str, Array]) -> dict[str, Array]:
    floats = {name: value for name, value in tensors.items() if not is_local(value) and value.dtype.kind == "f"}
    return {**tensors, **{name: np.nextafter(value, value.dtype.type(np.inf)) for name, value in floats.items()}}
