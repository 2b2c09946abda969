"""Chapter about a replay: what was decided, and what the code of today decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seamline.cli.reporting.chapter import Chapter
from seamline.cli.reporting.replay_summary import ReplayedDecision, ReplaySummary
from seamline.report.document import Parts, table, text


def replay_chapter(found: ReplaySummary) -> Chapter:
    """Of `seamline replay --json`."""
    return Chapter(f"Replay of {found.file}", replay_parts(found.decisions, found.seconds))


def replay_parts(decisions: Sequence[ReplayedDecision], seconds: float) -> Parts:
    """How many decisions differ, and all that change something or differ, in a table."""
    n_different = sum(not each.is_same for each in decisions)
    words = f"{len(decisions)} decisions in {seconds:.1f} s were decided again by the code of today: "
    words += "all come to the same plan." if not n_different else f"{n_different} come to another plan."
    head = ("at", "about", "decided", "today", "reason")
    return text(words) + table(head, _rows(decisions), "decisions")


def _rows(decisions: Sequence[ReplayedDecision]) -> Iterator[tuple[str, ...]]:
    """Plans that were chosen or came into service, and whatever is otherwise today."""
    for each in decisions:
        then, today = each.recorded, each.today
        if each.is_same and (then is None or then.kind in ("keep", "begun")):
            continue
        decided = "-" if then is None else f"{then.kind}: {then.plan or 'the plan in use'}"
        otherwise = "nothing" if today is None else f"{today.kind}: {today.plan or 'the plan in use'}"
        reason = (then or today).reason if then or today else ""  # type: ignore[union-attr] # one of them is there
        yield (f"{each.at_s:.2f} s", each.about, decided, "same" if each.is_same else otherwise, reason)
