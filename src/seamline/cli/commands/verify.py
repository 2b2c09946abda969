"""`seamline verify`: runs a model whole and split at every cut, and says how far the results are apart."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.shared.options import (
    JsonFlag,
    LayoutOption,
    MeanOption,
    ModelArgument,
    SeedOption,
    ShapeOption,
    SizeOption,
    StdOption,
    ThreadsOption,
    ValueOption,
)

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

JSON_KEYS = {
    "verify": {
        "model": "the model",
        "model.name": "its name",
        "model.id": "content id",
        "n_cuts": "cuts tried",
        "n_verified": "cuts that ran and stayed within the tolerance",
        "n_bit_equal": "cuts whose outputs equal the whole model's to the last bit",
        "max_relative_error": "largest deviation of any output of any cut, relative to the largest output",
        "worst_cut": "the cut where that happens, null when all are bit-equal",
        "uncut_deviation": "how far the whole model deviates from itself: optimised or not, input one rounding apart; "
        "measured only when a cut is beyond the tolerance, and accepted of a cut as well; else null",
        "n_constant_weights": "matrices and filters whose values are all the same; equal outputs then prove nothing",
        "reseeded": "whether those were replaced by random values for the check",
        "tolerance": "largest accepted deviation",
        "seed": "seed of the random input",
        "elapsed_s": "how long it took",
        "cuts": "every cut, in order",
        "cuts[].cut": "number of the cut",
        "cuts[].prepare_s": "seconds to make both segments runnable, null when they did not",
        "cuts[].max_relative_error": "its deviation, null when it did not run",
        "cuts[].bit_equal": "whether all outputs are equal to the last bit",
        "failed": "cuts beyond the tolerance, or that did not run",
        "failed[].cut": "number of the cut",
        "failed[].after": "last layer before it",
        "failed[].max_relative_error": "its deviation, null when it did not run",
        "failed[].error": "what went wrong, null when only the deviation is too large",
    }
}


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
        frame=parse_frame(size, layout, mean, std),
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
        summary = _summary(stored, checks, failed)
        state = {"uncut_deviation": uncut, "n_constant_weights": len(constant.names), "reseeded": reseed}
        print_json({**summary, **state, "tolerance": tolerance, "seed": seed, "elapsed_s": elapsed_s})
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


def _summary(stored: StoredModel, checks: Sequence[CutCheck], failed: Sequence[CutCheck]) -> dict[str, object]:
    ran = [check for check in checks if check.error is None]
    worst = max(ran, key=lambda check: check.max_relative_error, default=None)
    after = {cut.index: cut.after for cut in stored.cuts}
    return {
        "model": {"name": stored.name, "id": stored.model_id},
        "n_cuts": len(checks),
        "n_verified": len(checks) - len(failed),
        "n_bit_equal": sum(check.bit_equal for check in ran),
        "max_relative_error": worst.max_relative_error if worst is not None else None,
        "worst_cut": worst.cut if worst is not None and worst.max_relative_error > 0.0 else None,
        "cuts": [
            {
                "cut": check.cut,
                "prepare_s": check.prepare_s if check.error is None else None,
                "max_relative_error": check.max_relative_error if check.error is None else None,
                "bit_equal": check.bit_equal,
            }
            for check in checks
        ],
        "failed": [
            {
                "cut": check.cut,
                "after": after[check.cut],
                "max_relative_error": check.max_relative_error if check.error is None else None,
                "error": check.error,
            }
            for check in failed
        ],
    }
