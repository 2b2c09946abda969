"""`seamline verify`: runs a model whole and split at every cut, and says how far the results are apart."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.shared.models import ModelIdentity
from seamline.cli.shared.options import (
    ChannelsOption,
    FitOption,
    JsonFlag,
    LayoutOption,
    MeanOption,
    ModelArgument,
    PreprocessOption,
    SeedOption,
    ShapeOption,
    SizeOption,
    StdOption,
    ThreadsOption,
    ValueOption,
)
from seamline.core.vocabulary.documented import key_docs, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seamline.model.engine.verify import CutCheck
    from seamline.model.store.models import StoredModel

TOLERANCE = 1e-4
"""Largest accepted deviation, relative to the largest output: an engine fuses and sums differently per segment."""

MAX_UNCUT_DEVIATION = 0.02
"""A model that deviates more from itself is not excused: its output on this input is noise, where mistakes could hide.
"""

MANY_CONSTANTS_RATIO = 0.5
"""From this share of constant values on, a model is taken for one whose weights were taken out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedCut:
    """What came of one cut."""

    cut: Annotated[int, "number of the cut"]
    prepare_s: Annotated[float | None, "seconds to make both segments runnable, null when they did not"]
    max_relative_error: Annotated[float | None, "its deviation, null when it did not run"]
    bit_equal: Annotated[bool, "whether all outputs are equal to the last bit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedCut:
    """A cut beyond the tolerance, or that did not run."""

    cut: Annotated[int, "number of the cut"]
    after: Annotated[str, "last layer before it"]
    max_relative_error: Annotated[float | None, "its deviation, null when it did not run"]
    error: Annotated[str | None, "what went wrong, null when only the deviation is too large"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySummary:
    """What `seamline verify --json` prints."""

    model: Annotated[ModelIdentity, "the model"]
    n_cuts: Annotated[int, "cuts tried"]
    n_verified: Annotated[int, "cuts that ran and stayed within the tolerance"]
    n_bit_equal: Annotated[int, "cuts whose outputs equal the whole model's to the last bit"]
    max_relative_error: Annotated[
        float | None, "largest deviation of any output of any cut, relative to the largest output"
    ]
    worst_cut: Annotated[int | None, "the cut where that happens, null when all are bit-equal"]
    uncut_deviation: Annotated[
        float | None,
        "how far the whole model deviates from itself: optimised or not, input one rounding apart; "
        "measured only when a cut is beyond the tolerance, and accepted of a cut as well; else null",
    ]
    n_constant_weights: Annotated[
        int, "matrices and filters whose values are all the same; equal outputs then prove nothing"
    ]
    reseeded: Annotated[bool, "whether those were replaced by random values for the check"]
    tolerance: Annotated[float, "largest accepted deviation"]
    seed: Annotated[int, "seed of the random input"]
    elapsed_s: Annotated[float, "how long it took"]
    cuts: Annotated[tuple[VerifiedCut, ...], "every cut, in order"]
    failed: Annotated[tuple[FailedCut, ...], "cuts beyond the tolerance, or that did not run"]


JSON_KEYS = {"verify": partial(key_docs, VerifySummary)}


def register(app: typer.Typer) -> None:
    """Add `verify` to `app`."""
    app.command(name="verify")(verify)


def verify(
    model: ModelArgument,
    shape: ShapeOption = None,
    value: ValueOption = None,
    size: SizeOption = None,
    layout: LayoutOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    preprocess: PreprocessOption = None,
    fit: FitOption = None,
    channels: ChannelsOption = None,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance", metavar="RATIO", min=0.0, help="Largest accepted deviation, relative to the largest output."
        ),
    ] = TOLERANCE,
    reseed: Annotated[
        bool, typer.Option("--reseed", help="Replace constant matrices and filters by random ones, for this check.")
    ] = False,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Run MODEL whole and split at every cut on random input; exit 1 when any result deviates."""
    from seamline.cli.shared.models import load_model, parse_frame
    from seamline.cli.shared.output import data_console, print_json, progress_console, track
    from seamline.cli.shared.tables import verify_report
    from seamline.model.engine.ort import OrtEngine
    from seamline.model.engine.verify import uncut_deviation, verify_cuts

    store, stored = load_model(
        model,
        shapes=shape or (),
        values=value or (),
        frame=parse_frame(size, layout, mean, std, preprocess=preprocess, fit=fit, channels=channels),
        reseed=seed if reseed else None,
    )
    constant = stored.constant_weights()
    if constant.ratio >= MANY_CONSTANTS_RATIO:
        progress_console().print(_warning(constant.names), style="yellow")
    started_s = time.monotonic()
    checks = list(
        track(verify_cuts(OrtEngine(store, threads), stored, seed=seed), len(stored.cuts), f"verifying {stored.name}")
    )
    failed = [check for check in checks if is_failure(check, tolerance)]
    uncut = uncut_deviation(stored, seed) if any(check.error is None for check in failed) else None
    accepted = max(tolerance, uncut) if uncut is not None and uncut <= MAX_UNCUT_DEVIATION else tolerance
    failed = [check for check in failed if is_failure(check, accepted)]
    elapsed_s = time.monotonic() - started_s
    if as_json:
        ran = [check for check in checks if check.error is None]
        worst = max(ran, key=lambda check: check.max_relative_error, default=None)
        summary = VerifySummary(
            model=ModelIdentity(name=stored.name, id=stored.model_id),
            n_cuts=len(checks),
            n_verified=len(checks) - len(failed),
            n_bit_equal=sum(check.bit_equal for check in ran),
            max_relative_error=worst.max_relative_error if worst is not None else None,
            worst_cut=worst.cut if worst is not None and worst.max_relative_error > 0.0 else None,
            uncut_deviation=uncut,
            n_constant_weights=len(constant.names),
            reseeded=reseed,
            tolerance=tolerance,
            seed=seed,
            elapsed_s=elapsed_s,
            cuts=tuple(_verified(check) for check in checks),
            failed=tuple(_failed(check, stored) for check in failed),
        )
        print_json(to_json(summary))
    else:
        after = {cut.index: cut.after for cut in stored.cuts}
        data_console().print(verify_report(stored.name, checks, failed, after, accepted, elapsed_s))
        if uncut is not None:
            data_console().print(f"the whole model, uncut, deviates from itself by {uncut:.1e} on this input")
    if failed:
        raise typer.Exit(1)


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
