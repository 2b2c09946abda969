"""Choice of cuts by words: ``candidates``, ``all``, or numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seamline.core.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from seamline.model.store.models import StoredModel


def cuts_named(model: StoredModel, text: str, *, inner_only: bool) -> tuple[int, ...]:
    """Cuts that `text` names, ascending: ``candidates``, ``all``, or numbers such as ``3,8,14``.

    inner_only: without the first and the last, where all of the model lies on one side. Raises `UsageError` for
    anything else.
    """
    cuts = model.cuts[1:-1] if inner_only else model.cuts
    if text == "all":
        return tuple(cut.index for cut in cuts)
    if text == "candidates":
        return tuple(cut.index for cut in cuts if cut.is_candidate)
    try:
        numbers = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise UsageError(f"`{text}` names no cuts", hint="write candidates, all, or numbers: 3,8,14") from None
    known = {cut.index for cut in cuts}
    if missing := [number for number in numbers if number not in known]:
        kind = "inner cut" if inner_only else "cut"
        span = f"{kind}s are {min(known)} to {max(known)}" if known else f"it has no {kind}s"
        raise UsageError(f"`{model.name}` has no {kind} {missing[0]}", hint=f"{span}; `seamline inspect` lists them")
    return tuple(numbers)
