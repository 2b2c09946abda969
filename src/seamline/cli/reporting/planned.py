"""Chapter about a plan: where the time of a frame goes, what else could be done, and the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping

from seamline.cli.reporting.chapter import Chapter
from seamline.cli.reporting.costs import Costed, energy_parts, front_parts
from seamline.cli.reporting.facts import provenance_parts
from seamline.cli.shared.plan_summary import PlanSummary
from seamline.core.vocabulary.documented import copied
from seamline.core.vocabulary.quantities import energy_text, seconds_text
from seamline.report.bars import stacked_figure
from seamline.report.document import Parts, heading, numbers, plot, table, text


def plan_chapter(found: PlanSummary) -> Chapter:
    """The plan, its parts, its alternatives, and with ``--front`` the plans that no other beats."""
    parts = text(f"{found.plan.text}: {found.why}") + _parts_of(found)
    parts += heading("Alternatives") + table(
        ("", "plan", "latency", "throughput", "energy", "why not"),
        (
            (
                each.name,
                each.plan or "-",
                seconds_text(each.costs.latency_s),
                f"{each.costs.throughput_fps:.1f} /s",
                energy_text(each.costs.energy_j),
                each.refusal or "",
            )
            for each in found.alternatives
        ),
        "alternatives",
    )
    if found.front is not None:
        costed = [copied(Costed, each.costs, plan=each.plan) for each in found.front]
        parts += heading("Pareto front") + front_parts(costed)
    drawn: Mapping[str, float] = {
        str(node): joules for node, joules in found.energy_nodes_j.items() if joules is not None
    }
    energy = energy_parts({found.plan.text: drawn}, "Joules of one frame by node, above idle (modelled).")
    parts += heading("Energy by node") + energy if energy else ()
    facts = {"model": found.model, "origin": found.origin, "objective": found.objective,
             "energy scope": found.energy_scope}  # fmt: skip
    return Chapter(f"{found.model}: the best plan", parts + provenance_parts(found.made_by, facts))


def _parts_of(found: PlanSummary) -> Parts:
    """One bar: seconds on every node and link."""
    times = {
        f"{each.node}": each.queue_s + each.decode_s + each.compute_s + each.encode_s for each in found.parts.stages
    }
    for each in (*found.parts.links, *([found.parts.answer] if found.parts.answer else [])):
        times[f"{each.source} to {each.target}"] = each.transfer_s
    figure = stacked_figure([""], {name: [1e3 * seconds] for name, seconds in times.items()}, "ms")
    caption = "Where the time of one frame goes (modelled)."
    return plot(figure, caption, numbers("parts", ("part", "seconds"), times.items()))
