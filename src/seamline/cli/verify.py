"""`seamline verify`: runs a model whole and split at every cut, and says how far the results are apart."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.options import JsonFlag, ModelArgument, SeedOption, ShapeOption, ThreadsOption, ValueOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seamline.model.store import StoredModel
    from seamline.model.verify import CutCheck

TOLERANCE = 1e-4
"""Largest accepted deviation, relative to the largest output: an engine fuses and sums differently per segment."""

JSON_KEYS = {
    "verify": {
        "model": "the model",
        "model.name": "its name",
        "model.id": "content id",
        "n_cuts": "cuts tried",
        "n_bit_equal": "cuts whose outputs equal the whole model's to the last bit",
        "max_relative_error": "largest deviation of any output of any cut, relative to the largest output",
        "worst_cut": "the cut where that happens, null when all are bit-equal",
        "tolerance": "largest accepted deviation",
        "seed": "seed of the random input",
        "elapsed_s": "how long it took",
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
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance", metavar="RATIO", min=0.0, help="Largest accepted deviation, relative to the largest output."
        ),
    ] = TOLERANCE,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Run MODEL whole and split at every cut on random input; exit 1 when any result deviates."""
    from seamline.cli.models import load_model
    from seamline.cli.output import data_console, print_json, track
    from seamline.cli.tables import verify_report
    from seamline.model.engine import OrtEngine
    from seamline.model.verify import verify_cuts

    store, stored = load_model(model, shapes=shape or (), values=value or ())
    started_s = time.monotonic()
    checks = list(
        track(verify_cuts(OrtEngine(store, threads), stored, seed=seed), len(stored.cuts), f"verifying {stored.name}")
    )
    elapsed_s = time.monotonic() - started_s
    failed = [check for check in checks if is_failure(check, tolerance)]
    if as_json:
        summary = _summary(stored, checks, failed)
        print_json({**summary, "tolerance": tolerance, "seed": seed, "elapsed_s": elapsed_s})
    else:
        after = {cut.index: cut.after for cut in stored.cuts}
        data_console().print(verify_report(stored.name, checks, failed, after, tolerance, elapsed_s))
    if failed:
        raise typer.Exit(1)


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
        "n_bit_equal": sum(check.bit_equal for check in ran),
        "max_relative_error": worst.max_relative_error if worst is not None else None,
        "worst_cut": worst.cut if worst is not None and worst.max_relative_error > 0.0 else None,
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
