"""`seamline verify`: runs a model's own file, the whole model and both sides of its cuts, and says which differs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.shared.flag_groups import with_groups
from seamline.cli.shared.model_flags import ModelArgument, ModelFlags, ModelIdentity, cuts_named
from seamline.cli.shared.options import JsonFlag, ProviderOption, SeedOption, ThreadsOption, one_of
from seamline.cli.shared.verify_summary import FailedCut, VerifiedCut, VerifiedFile, VerifySummary
from seamline.core.vocabulary.documented import copied, key_docs
from seamline.core.vocabulary.providers import AUTO, PROVIDERS
from seamline.core.vocabulary.quantities import ratio_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rich.console import Console

    from seamline.core.vocabulary.ports import Engine
    from seamline.model.engine.original import FileCheck
    from seamline.model.engine.verify import CutCheck
    from seamline.model.locate import ModelOptions
    from seamline.model.store.models import StoredModel

TOLERANCE = 1e-4
"""Largest accepted deviation, relative to the largest output: an engine fuses and sums differently per segment."""

MAX_UNCUT_DEVIATION = 0.02
"""A model that deviates more from itself is not excused: its output on this input is noise, where mistakes could hide.
"""

FILE, WHOLE, CUTS = "file", "whole", "cuts"
"""What may differ: the file from itself without optimisation, the whole model from its file, cuts from the whole."""

MANY_CONSTANTS_RATIO = 0.5
"""From this share of constant values on, a model is taken for one whose weights were taken out."""


JSON_KEYS = {"verify": partial(key_docs, VerifySummary)}


def register(app: typer.Typer) -> None:
    app.command(name="verify")(verify)


@with_groups
def verify(
    model: ModelArgument,
    about: ModelFlags,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance", metavar="RATIO", min=0.0, help="Largest accepted deviation, relative to the largest output."
        ),
    ] = TOLERANCE,
    cuts: Annotated[str, typer.Option("--cuts", metavar="WHICH", help="candidates, all, or a list: 3,8,14.")] = "all",
    reseed: Annotated[
        bool, typer.Option("--reseed", help="Replace constant matrices and filters by random ones, for this check.")
    ] = False,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    provider: ProviderOption = AUTO,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="NAME",
            autocompletion=one_of(*PROVIDERS),
            help="Run the whole and the second half of every cut on that provider: what nodes that differ make of it.",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run MODEL's own file in plain ONNX Runtime, MODEL whole and split at every cut, on the same random input.

    Says which of the three differs. Exits 1 when the whole differs from the file, as it computes without optimisation,
    or a cut from the whole.
    """
    from seamline.cli.shared.output import TERMINAL, data_console, print_json, progress_console
    from seamline.model.engine.providers import open_engine, require
    from seamline.model.locate import resolve_model

    own, other = require(provider), None if against is None else require(against)
    store, stored = about.load(model, reseed=seed if reseed else None)
    constant = stored.constant_weights()
    if constant.ratio >= MANY_CONSTANTS_RATIO:
        progress_console().print(_warning(constant.names), style="yellow")
    request = _Request(
        engine=open_engine(own, store, threads),
        against=None if other is None else open_engine(other, store, threads),
        stored=stored,
        path=None if reseed else resolve_model(model, TERMINAL),
        said=about.options(),
        cuts=cuts_named(stored, cuts, inner_only=False),
        tolerance=tolerance,
        seed=seed,
    )
    outcome = _verified_model(request)
    if as_json:
        print_json(_summary(request, outcome, n_constant=len(constant.names), reseeded=reseed))
    else:
        _print(request, outcome, data_console())
    if outcome.is_wrong:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What is verified. path: the model's own file; None when the model is no longer what it says.

    against: what runs the whole and the tails; `engine` too when None.
    """

    engine: Engine
    against: Engine | None
    stored: StoredModel
    path: Path | None
    said: ModelOptions
    cuts: tuple[int, ...]
    tolerance: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What came of it. checks: by cut, ascending. accepted: the tolerance, or what the model deviates from itself by.

    uncut: measured only when something was beyond the tolerance.
    """

    file: FileCheck | None
    checks: tuple[CutCheck, ...]
    uncut: float | None
    accepted: float
    elapsed_s: float

    @property
    def failed(self) -> tuple[CutCheck, ...]:
        return tuple(check for check in self.checks if is_failure(check, self.accepted))

    @property
    def random_outputs(self) -> tuple[str, ...]:
        return self.file.random_outputs if self.file is not None else ()

    @property
    def differs(self) -> tuple[str, ...]:
        found = {FILE: False, WHOLE: False, CUTS: bool(self.failed)}
        if (file := self.file) is not None:
            found[FILE] = _is_beyond(file.optimised_error, self.accepted)
            # what the file says is what it computes without optimisation
            found[WHOLE] = bool(file.missing_outputs) or _is_beyond(file.unoptimised_whole_error, self.accepted)
        return tuple(name for name, is_so in found.items() if is_so)

    @property
    def is_wrong(self) -> bool:
        """Whether whole or cuts differ; where only the runtime moves what the file computes, both are right."""
        return any(name != FILE for name in self.differs)


def _verified_model(request: _Request) -> _Outcome:
    """Run everything, with a bar and with what fails said as it comes: a model may have many cuts."""
    from seamline.cli.shared.output import progress_console, track
    from seamline.model.engine.original import check_file
    from seamline.model.engine.verify import uncut_deviation, verify_cuts

    started_s = time.monotonic()
    engine, stored, seed, tolerance = request.engine, request.stored, request.seed, request.tolerance
    file = None
    if request.path is not None:
        with progress_console().status(f"running {request.path.name} itself"):
            file = check_file(
                engine, stored, request.path, seed=seed, values=request.said.values, shapes=request.said.shapes
            )
    without = file.random_outputs if file is not None else ()
    found = verify_cuts(
        engine, stored, seed, _candidates_first(stored, request.cuts), without=without, against=request.against
    )
    excuse = _Excuse(tolerance, lambda: uncut_deviation(stored, seed, without=without))
    checks = []
    for check in track(found, len(request.cuts), f"verifying {stored.name}"):
        checks.append(check)
        if is_failure(check, tolerance) and is_failure(check, excuse.accepted() if check.error is None else tolerance):
            progress_console().print(_failure_text(check, stored))
    checks.sort(key=lambda check: check.cut)
    if file is not None and any(_is_beyond(error, tolerance) for error in file.errors):
        excuse.accepted()
    return _Outcome(
        file=file,
        checks=tuple(checks),
        uncut=excuse.uncut,
        accepted=tolerance if excuse.uncut is None else excuse.accepted(),
        elapsed_s=time.monotonic() - started_s,
    )


class _Excuse:
    """The tolerance, widened by what the model deviates from itself; measured when first asked for.

    uncut: that deviation, None when nobody has asked.
    """

    def __init__(self, tolerance: float, measure: Callable[[], float]) -> None:
        self.uncut: float | None = None
        self._tolerance = tolerance
        self._measure = measure

    def accepted(self) -> float:
        if self.uncut is None:
            self.uncut = self._measure()
        return max(self._tolerance, self.uncut) if self.uncut <= MAX_UNCUT_DEVIATION else self._tolerance


def _candidates_first(stored: StoredModel, cuts: Sequence[int]) -> list[int]:
    """`cuts` with those first that a planner would choose from: whoever stops early has seen what matters."""
    return sorted(cuts, key=lambda cut: (not stored.cuts[cut].is_candidate, cut))


def _summary(request: _Request, outcome: _Outcome, *, n_constant: int, reseeded: bool) -> VerifySummary:
    ran = [check for check in outcome.checks if check.error is None]
    worst = max(ran, key=lambda check: check.max_relative_error, default=None)
    file = outcome.file
    return VerifySummary(
        model=ModelIdentity(name=request.stored.name, id=request.stored.model_id),
        engine=request.engine.name,
        against=None if request.against is None else request.against.name,
        differs=outcome.differs,
        file=None if file is None else copied(VerifiedFile, file),
        random_outputs=outcome.random_outputs,
        n_cuts=len(outcome.checks),
        n_verified=len(outcome.checks) - len(outcome.failed),
        n_bit_equal=sum(check.bit_equal for check in ran),
        max_relative_error=worst.max_relative_error if worst is not None else None,
        worst_cut=worst.cut if worst is not None and worst.max_relative_error > 0.0 else None,
        uncut_deviation=outcome.uncut,
        n_constant_weights=n_constant,
        reseeded=reseeded,
        tolerance=request.tolerance,
        seed=request.seed,
        elapsed_s=outcome.elapsed_s,
        cuts=tuple(_verified(check) for check in outcome.checks),
        failed=tuple(_failed(check, request.stored) for check in outcome.failed),
    )


def _print(request: _Request, outcome: _Outcome, console: Console) -> None:
    from seamline.cli.shared.tables import verify_report

    stored = request.stored
    after = {cut.index: cut.after for cut in stored.cuts}
    title = stored.name if request.against is None else f"{stored.name}, {request.engine.name} > {request.against.name}"
    report = verify_report(title, outcome.checks, outcome.failed, after, outcome.accepted, outcome.elapsed_s)
    console.print(report)
    for line, is_good in _file_lines(outcome):
        console.print(line, style=None if is_good else "bold red")
    if outcome.uncut is not None:
        console.print(f"the whole model, uncut, deviates from itself by {outcome.uncut:.1e} on this input")


def _file_lines(outcome: _Outcome) -> Iterator[tuple[str, bool]]:
    """What is said about the file, and whether it is good news."""
    file = outcome.file
    if file is None:
        return
    if file.random_outputs:
        names = ", ".join(f"`{name}`" for name in file.random_outputs)
        rest = "only the others are compared" if file.n_compared else "all that is certain is that every cut runs"
        yield f"random: the model draws {names} anew in every run, so {rest}", True
    if file.n_compared == 0 and file.error is None:
        return
    if file.error is not None:
        yield f"not compared with the file itself: {file.error}", True
        return
    if file.blank_outputs:
        names = ", ".join(f"`{name}`" for name in file.blank_outputs)
        yield f"{names}: no finite number on this input, so equal outputs prove little; try another --seed", False
    if file.missing_outputs:
        yield f"the whole model lacks outputs of the file: {', '.join(file.missing_outputs)}", False
    if FILE in outcome.differs:
        words = "ONNX Runtime's own optimisation changes the answers of the file"
        yield f"{words}, by {ratio_text(file.optimised_error)}", WHOLE not in outcome.differs
    optimised, plain = ratio_text(file.whole_error), ratio_text(file.unoptimised_whole_error)
    if WHOLE in outcome.differs:
        words = (
            f"the whole model differs from the file in plain ONNX Runtime by {plain}, by {optimised} from it optimised"
        )
        is_theirs = FILE in outcome.differs and not _is_beyond(file.whole_error, outcome.accepted)
        blame = "it does as the optimised file" if is_theirs else "Seamline reads this file wrongly, please report it"
        yield f"{words}: {blame}", False
    else:
        yield f"the whole model is within {plain} of the file in plain ONNX Runtime, {optimised} of it optimised", True


def _failure_text(check: CutCheck, stored: StoredModel) -> str:
    what = check.error or f"deviates by {ratio_text(check.max_relative_error)}"
    return f"cut {check.cut} after {stored.cuts[check.cut].after}: {what}"


def _is_beyond(error: float | None, tolerance: float) -> bool:
    return error is not None and not error <= tolerance


def _warning(constant: Sequence[str]) -> str:
    some = ", ".join(constant[:3]) + (", ..." if len(constant) > 3 else "")
    return f"{len(constant)} weights are constants ({some}): equal outputs prove little; `--reseed` makes them random"


def is_failure(check: CutCheck, tolerance: float) -> bool:
    """Whether the cut did not run or deviates by more than `tolerance`; NaN counts as a deviation."""
    return check.error is not None or not check.max_relative_error <= tolerance


def _verified(check: CutCheck) -> VerifiedCut:
    return VerifiedCut(
        cut=check.cut,
        prepare_s=check.prepare_s if check.error is None else None,
        max_relative_error=check.max_relative_error if check.error is None else None,
        bit_equal=check.bit_equal,
    )


def _failed(check: CutCheck, stored: StoredModel) -> FailedCut:
    return FailedCut(
        cut=check.cut,
        after=stored.cuts[check.cut].after,
        max_relative_error=check.max_relative_error if check.error is None else None,
        error=check.error,
    )
