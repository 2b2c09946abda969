"""Chapter about a sweep."""

from __future__ import annotations

from seamline.cli.reporting.chapter import Chapter
from seamline.cli.reporting.costs import best_cuts_table, cuts_parts
from seamline.cli.reporting.facts import provenance_parts
from seamline.runtime.lab.sweep_summary import SweepSummary


def sweep_chapter(swept: SweepSummary) -> Chapter:
    """Every cut over every link."""
    facts = {"model": swept.model, "origin": swept.origin, "target": swept.target, "codec": swept.codec}
    return Chapter(
        f"{swept.model}: every cut between {swept.origin} and {swept.target}",
        best_cuts_table(swept) + cuts_parts(swept) + provenance_parts(swept.made_by, facts),
    )
