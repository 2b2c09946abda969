"""Chapter about a simulation: policies side by side over the same frames and links."""

from __future__ import annotations

from seamline.cli.reporting.chapter import Chapter, latency_parts
from seamline.cli.reporting.facts import provenance_parts
from seamline.cli.shared.simulate_summary import PolicyFigures, SimulateSummary
from seamline.core.vocabulary.quantities import energy_text, seconds_text
from seamline.report.document import Parts, heading, numbers, plot, table, text
from seamline.report.points import Point, front_figure


def simulation_chapter(found: SimulateSummary) -> Chapter:
    """What every policy reached."""
    latencies = {_title(name, found): each.latency_percentiles_s for name, each in found.policies.items()}
    parts = text(
        f"{found.n_frames} frames in {found.seconds:g} s of virtual time, judged by {found.objective}; all figures are "
        f"modelled.{_regret(found)}"
    )
    parts += table(
        ("policy", "mean", "p95", "J/frame", "answered", "late", "dropped", "switches", "plan longest in use"),
        (_row(name, each, found) for name, each in found.policies.items()),
        "policies",
    )
    parts += heading("Latency") + latency_parts(latencies)
    parts += _front(found)
    if found.switches:
        rows = ((f"{each.at_s:.2f} s", each.from_plan, each.to_plan, each.reason) for each in found.switches)
        parts += heading("Switches of adaptive") + table(("at", "from", "to", "reason"), rows, "switches")
    facts = {"model": found.model, "objective": found.objective, "energy scope": found.energy_scope,
             "frames/s": found.fps, "private cuts": found.private, "seed": found.seed}  # fmt: skip
    return Chapter(
        f"{found.model}: policies side by side (simulated)",
        parts + provenance_parts(found.made_by, facts),
        latencies,
    )


def _regret(found: SimulateSummary) -> str:
    if found.regret_ratio is None:
        return ""
    return f" Adaptive is {100 * found.regret_ratio:.1f} % behind the oracle, which knows what comes."


def _title(name: str, found: SimulateSummary) -> str:
    return f"{name} (not allowed)" if name == "offload" and not found.offload_allowed else name


def _row(name: str, each: PolicyFigures, found: SimulateSummary) -> tuple[str, ...]:
    return (
        _title(name, found),
        seconds_text(each.latency_s.mean),
        seconds_text(each.latency_s.quantiles.p95),
        energy_text(each.energy_j_per_frame),
        str(each.frames_answered),
        str(each.frames_late),
        str(each.frames_dropped),
        str(each.switches),
        each.plan,
    )


def _front(found: SimulateSummary) -> Parts:
    """Policies by latency and energy."""
    known = {
        name: (each.latency_s.mean, each.energy_j_per_frame)
        for name, each in found.policies.items()
        if each.latency_s.mean is not None and each.energy_j_per_frame is not None
    }
    if len(known) < 2:
        return ()
    points = [Point(label=name, x=1e3 * latency_s, y=energy_j) for name, (latency_s, energy_j) in known.items()]
    caption = "Policies by mean latency and energy; hollow: another one is better in both."
    values = numbers("policies-front", ("policy", "latency_s", "energy_j"), ((k, *each) for k, each in known.items()))
    figure = front_figure(points, "mean latency (ms)", "energy (J per frame, modelled)")
    return heading("Latency and energy") + plot(figure, caption, values)
