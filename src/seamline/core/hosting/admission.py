"""Admission of segments to a node: how many generations an origin and a stream may hold, and what memory they need.

The planner of an origin knows what a node reports; here the node itself says no, in words that the origin shows. The
node's own streams are its user's, and are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from seamline.core.cost.feasibility import MEMORY_HEADROOM_RATIO, memory_bytes
from seamline.core.switching.named import PreparationMode
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.profiles import Cut

MAX_PER_STREAM = 16
"""Generations of one stream: one serves, one is prepared, one stands by, and some drain."""

MAX_PER_ORIGIN = 48
MAX_IN_ALL = 192
MAX_WAITING = 64
"""Questions of one origin that wait for a model, or for their turn."""

_SHARED_WEIGHTS = (PreparationMode.SHARED, PreparationMode.PRIVATE_SESSION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one generation of a stream needs here."""

    stream: str
    model_id: str
    segments: tuple[Segment, ...]
    mode: PreparationMode


def why_too_many(n_of_stream: int, n_of_origin: int, n_in_all: int) -> str | None:
    """Reason why one more generation is refused; None when it is not."""
    for n_held, most, whose in (
        (n_of_stream, MAX_PER_STREAM, "of this stream"),
        (n_of_origin, MAX_PER_ORIGIN, "of streams that start there"),
        (n_in_all, MAX_IN_ALL, "of all streams"),
    ):
        if n_held >= most:
            return f"{n_held} generations {whose} are held here, the most is {most}; hint: release some"
    return None


def why_no_memory(
    new: Need, held: Iterable[Need], cuts: Mapping[str, tuple[Cut, ...]], usable_bytes: int | None
) -> str | None:
    """Reason why the memory here does not do for `new` beside `held`; None when it does, or is not known.

    Of one stream the generations before it are on their way out: the largest of a stream counts. Modelled, as the
    planner does it.
    """
    if usable_bytes is None or new.model_id not in cuts:
        return None
    alone = sum(memory_bytes(segment, cuts[new.model_id]) for segment in new.segments)
    largest: dict[str, Need] = {new.stream: new}
    for need in held:
        if need.stream != new.stream and need.model_id in cuts:
            known = largest.get(need.stream)
            if known is None or _alone_bytes(need, cuts) > _alone_bytes(known, cuts):
                largest[need.stream] = need
    wanted_bytes = needed_bytes(largest.values(), cuts)
    if wanted_bytes <= usable_bytes:
        return None
    beside = len(largest) - 1
    others = f" beside those of {beside} other stream{'s' if beside != 1 else ''}" if beside else ""
    return (
        f"its segments need {alone / 1e6:.1f} MB here{others}, {wanted_bytes / 1e6:.1f} MB together, and "
        f"{usable_bytes / 1e6:.1f} may be used; hint: cut so that this node runs fewer layers"
    )


def needed_bytes(needs: Iterable[Need], cuts: Mapping[str, tuple[Cut, ...]]) -> int:
    """Memory that all of `needs` take together: weights that are shared count once."""
    total, shared = 0.0, dict[str, set[int]]()
    for need in needs:
        of_model = cuts[need.model_id]
        for segment in need.segments:
            if need.mode not in _SHARED_WEIGHTS:
                total += memory_bytes(segment, of_model)
                continue
            total += memory_bytes(segment, of_model) - (1.0 + MEMORY_HEADROOM_RATIO) * _weights(segment, of_model)
            shared.setdefault(need.model_id, set()).update(range(segment.start, segment.stop))
    for model_id, steps in shared.items():
        of_model = cuts[model_id]
        weights = sum(_weights(Segment(at, at + 1), of_model) for at in steps)
        total += (1.0 + MEMORY_HEADROOM_RATIO) * weights
    return math.ceil(total)


def _alone_bytes(need: Need, cuts: Mapping[str, tuple[Cut, ...]]) -> int:
    return sum(memory_bytes(segment, cuts[need.model_id]) for segment in need.segments)


def _weights(segment: Segment, cuts: tuple[Cut, ...]) -> int:
    return cuts[segment.stop].weights_before_bytes - cuts[segment.start].weights_before_bytes
