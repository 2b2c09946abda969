"""Which models of ONNX's own backend test suite (`onnx.backend.test.case.node`) are answered rightly.

Each model runs three ways on the suite's inputs: the file in plain ONNX Runtime with its default options, whole in
Seamline, and split at every cut. Right is what gives the runtime's answer everywhere, within the tolerance that the
suite states for the model (of float16 two units in the last place: two segments may round between them). Models that
the runtime itself does not run, or with inputs that Python cannot give it, say nothing about Seamline.
"""

from __future__ import annotations

import logging
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from models import plain_session
from onnx.backend.test.case.node import collect_testcases
from reporting import Report, parser, progress

from seamline.core.vocabulary.errors import SeamlineError
from seamline.core.vocabulary.local_values import is_local, is_same
from seamline.core.vocabulary.plans import Segment
from seamline.model import ModelStore, OrtEngine, StoredModel

NOT_RUN, RIGHT, WRONG, REFUSED = "not run by the runtime", "right", "wrong", "refused"
EVERY_QUICK = 47
HALF_ULPS = 2 * float(np.finfo(np.float16).eps)

Case = Any
"""A test case of the suite; ONNX ships no types for it: name, model, data_sets, rtol, atol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What became of one model. why: the runtime's error, the refusal, or the first wrong way with its error.

    n_cuts: places where it can be cut, its two ends among them; 0 unless it was read. is_local: runs whole only.
    is_expected: the runtime's own answer is the one that the suite has on record.
    """

    name: str
    outcome: str
    why: str = ""
    n_cuts: int = 0
    is_local: bool = False
    is_expected: bool = True


def main() -> None:
    chosen = parser("Which models of ONNX's backend suite are answered rightly").parse_args()
    report = Report("onnx-backend", "ONNX's backend suite, whole and at every cut", chosen)
    logging.disable(logging.WARNING)  # advice on branches that an input decides
    warnings.filterwarnings("ignore", category=RuntimeWarning)  # the suite divides by zero on purpose
    cases = collect_testcases(None)[:: EVERY_QUICK if chosen.quick else 1]
    tried = []
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(cases):
            if number % 200 == 0:
                progress(f"{number} of {len(cases)} models")
            tried.append(try_case(case, Path(folder)))
    report.data["right"] = {one.name: one.n_cuts for one in tried if one.outcome == RIGHT}
    report.data["others"] = [asdict(one) for one in tried if one.outcome != RIGHT]
    report.data["unexpected"] = [one.name for one in tried if not one.is_expected]
    report.data["whole_only"] = [one.name for one in tried if one.is_local]
    report.data["n"] = Counter(one.outcome for one in tried)
    tell(report, tried)
    report.finish()


def try_case(case: Case, folder: Path) -> Tried:
    """One model, three ways; its file and its stored form are gone afterwards."""
    frames = [
        dict(zip((value.name for value in case.model.graph.input), inputs, strict=False))
        for inputs, _ in case.data_sets
    ]
    try:
        expected = list(_plain(case, frames))
    except Exception as exc:  # the runtime's errors share no base, and each means: nothing to compare with
        return Tried(name=case.name, outcome=NOT_RUN, why=_short(exc))
    is_expected = all(
        _is_close(found, wanted, case) for found, (_, wanted) in zip(expected, case.data_sets, strict=True)
    )
    path = folder / "model.onnx"
    onnx.save(case.model, path)
    store = ModelStore(folder / "store")
    try:
        given = {name: value.shape for name, value in frames[0].items() if isinstance(value, np.ndarray)}
        stored = store.add(path, shapes=given)
    except SeamlineError as exc:
        return Tried(name=case.name, outcome=REFUSED, why=_short(exc), is_expected=is_expected)
    faults = [
        fault
        for frame, wanted in zip(frames, expected, strict=True)
        for fault in _faults(store, stored, frame, wanted, case)
    ]
    store.remove(stored.model_id)
    return Tried(
        name=case.name, outcome=WRONG if faults else RIGHT, why=faults[0] if faults else "",
        n_cuts=len(stored.cuts), is_local=stored.graph.is_local, is_expected=is_expected,
    )  # fmt: skip


def tell(report: Report, tried: Sequence[Tried]) -> None:
    """The counts, the reasons, and how often the models could be cut."""
    n = Counter(one.outcome for one in tried)
    ran = [one for one in tried if one.outcome != NOT_RUN]
    report.say(
        f"{len(tried)} models, {len(ran)} of which ONNX Runtime runs,",
        f"{sum(one.is_expected for one in ran)} of them as the suite expects.",
        "",
        f"**{n[RIGHT]} right whole and at every cut, {n[REFUSED]} refused, {n[WRONG]} wrong.**",
        "",
        f"{sum(one.n_cuts for one in ran)} cuts were tried, both ends of every model among them;",
        f"{sum(one.is_local for one in ran)} models take or give strings, sequences or optionals, and only run whole.",
        "",
    )
    for outcome in (WRONG, REFUSED, NOT_RUN):
        found = Counter(_kind(one.why) for one in tried if one.outcome == outcome)
        if found:
            report.table((outcome, "models"), [(why.replace("|", "/"), count) for why, count in found.most_common(12)])


def _plain(case: Case, frames: Sequence[Mapping[str, Any]]) -> Iterator[list[Any]]:
    session = plain_session(case.model)
    for frame in frames:
        yield session.run(None, dict(frame))


def _faults(
    store: ModelStore, stored: StoredModel, frame: Mapping[str, Any], expected: Sequence[Any], case: Case
) -> Iterator[str]:
    engine = OrtEngine(store, 1)
    names = [value.name for value in case.model.graph.output]
    ways = [("whole", [stored.whole])]
    ways += [(f"cut {at}", [Segment(0, at), Segment(at, stored.whole.stop)]) for at in range(len(stored.cuts))]
    for way, segments in ways:
        values: Mapping[str, Any] = {name: frame[name] for name in stored.graph.inputs}
        try:
            for segment in segments:
                values = engine.prepare(stored.model_id, segment).run(values)
        except SeamlineError as exc:
            yield f"{way}: {_short(exc)}"
            continue
        if not _is_close([values[name] for name in names], expected, case):
            yield f"{way}: another answer"


def _is_close(found: Any, expected: Any, case: Case) -> bool:
    if isinstance(expected, list | tuple):
        pairs = (
            zip(found, expected, strict=True)
            if isinstance(found, list | tuple) and len(found) == len(expected)
            else None
        )
        return pairs is not None and all(_is_close(*pair, case) for pair in pairs)
    if expected is None or is_local(np.asarray(expected)):
        return bool(is_same(found, expected)) or np.array_equal(np.asarray(found, str), np.asarray(expected, str))
    if not isinstance(found, np.ndarray | np.generic) or (found.shape, found.dtype) != (expected.shape, expected.dtype):
        return False
    rtol = max(case.rtol, HALF_ULPS) if expected.dtype == np.float16 else case.rtol
    wide = [np.asarray(value, np.complex128 if value.dtype.kind == "c" else np.float64) for value in (found, expected)]
    return bool(np.allclose(*wide, rtol=rtol, atol=case.atol, equal_nan=True))


def _short(exc: Exception) -> str:
    return str(exc).replace("\n", " ")[:300]


def _kind(why: str) -> str:
    """A reason without its names and numbers, so that models that share it are counted together."""
    return re.sub(r"\d+", "N", re.sub(r"`[^`]*`|'[^']*'|\([^)]*\)", "...", why.removeprefix("[ONNXRuntimeError] : ")))[
        :120
    ]


if __name__ == "__main__":
    main()
