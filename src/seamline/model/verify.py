"""The proof that cutting changes nothing: the whole model beside head and tail, at every cut, on random input."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from seamline.core.errors import ModelError
from seamline.core.ports import Array, Engine
from seamline.core.values import Segment, TensorSpec
from seamline.model.stored import StoredModel


@dataclass(frozen=True, slots=True, kw_only=True)
class CutCheck:
    """How one cut did.

    cut: its index. n_tensors: how many cross it. max_relative_error: largest deviation of any output element, relative
    to the largest element of that output of the whole model. prepare_s: seconds to make both segments runnable.
    error: why it did not run, None when it did; the numbers then mean nothing.
    """

    cut: int
    n_tensors: int
    max_relative_error: float
    bit_equal: bool
    prepare_s: float
    error: str | None = None


def verify_cuts(
    engine: Engine, model: StoredModel, seed: int = 0, cuts: Iterable[int] | None = None
) -> Iterator[CutCheck]:
    """Run `model` whole, then split at each of `cuts` (all when None) on the same random input, one check at a time.

    Only two segments are alive at once. Raises `ModelError` when the whole model does not run; trouble at one cut is
    reported in its check.
    """
    whole = engine.prepare(model.model_id, model.whole)
    tensors = random_tensors(whole.inputs, seed)
    expected = whole.run(tensors)
    del whole
    for index in range(len(model.cuts)) if cuts is None else cuts:
        yield _check(engine, model, index, tensors, expected)


def random_tensors(specs: Iterable[TensorSpec], seed: int) -> dict[str, Array]:
    """Values for `specs`, the same for the same seed: floats from N(0, 1), uint8 all over, other integers 0 or 1.

    Larger integers would be indices into something of unknown size.
    """
    rng = np.random.default_rng(seed)
    tensors: dict[str, Array] = {}
    for spec in specs:
        if spec.dtype.startswith("float"):
            tensors[spec.name] = rng.standard_normal(spec.shape).astype(spec.dtype)
        else:
            tensors[spec.name] = rng.integers(0, 256 if spec.dtype == "uint8" else 2, spec.shape).astype(spec.dtype)
    return tensors


def _check(
    engine: Engine, model: StoredModel, index: int, tensors: Mapping[str, Array], expected: Mapping[str, Array]
) -> CutCheck:
    n_tensors = len(model.cuts[index].tensors) if 0 <= index < len(model.cuts) else 0
    started_s = time.perf_counter()
    try:
        head = engine.prepare(model.model_id, Segment(0, index))
        tail = engine.prepare(model.model_id, Segment(index, model.whole.stop))
        prepare_s = time.perf_counter() - started_s
        found = tail.run(head.run(tensors))
    except ModelError as exc:
        return CutCheck(
            cut=index, n_tensors=n_tensors, max_relative_error=0.0, bit_equal=False, prepare_s=0.0, error=str(exc)
        )
    return CutCheck(
        cut=index,
        n_tensors=n_tensors,
        max_relative_error=max(_relative_error(found[name], value) for name, value in expected.items()),
        bit_equal=all(found[name].tobytes() == value.tobytes() for name, value in expected.items()),
        prepare_s=prepare_s,
    )


def _relative_error(found: Array, expected: Array) -> float:
    """Largest deviation over the largest expected magnitude; NaN where one side has it and the other has not."""
    if expected.size == 0:
        return 0.0
    same = (found == expected) | (np.isnan(_real(found)) & np.isnan(_real(expected)))
    if same.all():
        return 0.0
    scale = float(np.abs(_real(expected)).max()) or 1.0
    return float(np.abs(_real(found) - _real(expected))[~same].max() / scale)


def _real(values: Array) -> Array:
    return values.astype(np.float64)
