"""Summary of `seamline verify`: what of file, whole model and cuts differs, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from seamline.cli.shared.model_flags import ModelIdentity


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
class VerifiedFile:
    """The model's own file in plain ONNX Runtime, beside the whole model that was read from it."""

    error: Annotated[str | None, "why it does not run there on this input, null when it does"]
    optimised_error: Annotated[float | None, "how far ONNX Runtime's optimisation moves its answers"]
    whole_error: Annotated[float | None, "how far the whole model is from the file, optimised as by default"]
    unoptimised_whole_error: Annotated[float | None, "how far the whole model is from the file without optimisation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySummary:
    """What `seamline verify --json` prints."""

    model: Annotated[ModelIdentity, "the model"]
    engine: Annotated[str, "what ran it, with version and provider"]
    against: Annotated[str | None, "what ran the whole and the tails, with --against; null when the same did"]
    differs: Annotated[
        tuple[str, ...],
        "what is beyond the tolerance: `file` (from itself without optimisation), `whole` (from the file), `cuts` "
        "(from the whole)",
    ]
    file: Annotated[VerifiedFile | None, "the file in plain ONNX Runtime; null with --reseed, which changes weights"]
    random_outputs: Annotated[
        tuple[str, ...], "outputs that the model draws at random: they change from run to run and are not compared"
    ]
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
        "measured only when something is beyond the tolerance, and accepted of whole and cuts as well; else null",
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
