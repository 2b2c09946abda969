"""`seamline simulate`: policies side by side over recorded profiles and link traces, in virtual time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.shared.flag_groups import with_groups
from seamline.cli.shared.options import JsonFlag, choice
from seamline.cli.shared.output import data_console, print_json, progress_console
from seamline.cli.shared.simulate_flags import SimulateFlags
from seamline.cli.shared.tables import add_row, new_table
from seamline.core.vocabulary.documented import key_docs
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.quantities import ABSENT, seconds_text

if TYPE_CHECKING:
    from seamline.cli.shared.simulate_summary import PolicyFigures, SimulateSummary
    from seamline.config import Trace
    from seamline.core.vocabulary.nodes import NodeId
    from seamline.sim import Comparison, Scene

WIDE_ENOUGH = 125
"""Columns of a terminal that shows the whole table."""

WORDS = frozenset({"policy", "plan longest in use"})
LEFT_OUT_WHEN_NARROW = frozenset({"p50", "p99", "answer age", "answered", "late", "dropped", "plan longest in use"})
"""Columns without which a terminal of 60 still has room for the rest."""


def _keys() -> Mapping[str, str]:
    from seamline.cli.shared.simulate_summary import GenerateSummary, SimulateSummary

    return key_docs(SimulateSummary) | key_docs(GenerateSummary)


JSON_KEYS = {"simulate": _keys}


def register(app: typer.Typer) -> None:
    app.command("simulate")(simulate)


@with_groups
def simulate(
    flags: SimulateFlags,
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="Name of the model in the profiles; a file or zoo name for --slowdown."),
    ] = None,
    policy: Annotated[
        tuple[str, ...], typer.Option("--policy", metavar="NAME", help="Only these policies; may be repeated.")
    ] = (),
    generate: Annotated[
        str | None, typer.Option("--generate", metavar="KIND:SEED:SECONDS", help="Only print such a trace as CSV.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Play policies side by side over recorded profiles and link traces, hundreds of times faster than real time."""
    from seamline.cli.shared.simulate_scene import scene_of
    from seamline.cli.shared.simulate_summary import simulate_summary
    from seamline.sim import POLICIES, generated

    if generate is not None:
        _print_trace(generated(generate), json)
        return
    if flags.seconds == math.inf:
        raise UsageError("a simulation has an end", hint="--seconds is a number")
    policies = [choice(name, POLICIES, "a policy of the simulator") for name in policy]
    scene = scene_of(model, flags)
    summary = simulate_summary(scene, _compared(scene, policies or POLICIES))
    if json:
        print_json(summary)
    else:
        _print_report(summary)


def _compared(scene: Scene, policies: Sequence[str]) -> Comparison:
    """Every policy's run, with a word on nodes that nothing is known of, and one on what goes on."""
    from seamline.sim import compare_at_once

    console = progress_console()
    for node in _powerless(scene):
        console.print(f"`{node}` has no power figures, so no plan over it has joules; give --power")
    with console.status("simulating") as status:
        return compare_at_once(scene, policies, told=lambda name: status.update(f"simulating {name}"))


def _powerless(scene: Scene) -> Sequence[NodeId]:
    """Nodes that plans cannot be judged over, where energy is what counts."""
    from seamline.core.vocabulary.objectives import counts_energy

    if not counts_energy(scene.objective):
        return ()
    weight = scene.energy_scope.weight
    profiles = scene.profiles.items()
    return [node for node, known in profiles if weight(node, scene.origin) > 0.0 and known.device.busy_w is None]


def _print_report(summary: SimulateSummary) -> None:
    out = data_console()
    left_out = LEFT_OUT_WHEN_NARROW if out.width < WIDE_ENOUGH else frozenset()
    rows = [
        _row(figures, f"{name} (not allowed)" if name == "offload" and not summary.offload_allowed else name)
        for name, figures in summary.policies.items()
    ]
    columns = [column for column in rows[0] if column not in left_out]
    table = new_table(
        *columns,
        title=f"{summary.model}, {summary.n_frames} frames in {summary.seconds:g} s, modelled; by {summary.objective}",
        right=[column for column in columns if column not in WORDS],
    )
    for row in rows:
        add_row(table, *(row[column] for column in columns))
    out.print(table)
    if summary.regret_ratio is not None:
        gain = summary.gain_ratio
        gained = "" if gain is None else f"; it has {100 * gain:.0f} % of the oracle's gain over static_at_start"
        out.print(f"adaptive is {100 * summary.regret_ratio:.1f} % behind the oracle{gained}")


def _row(figures: PolicyFigures, name: str) -> dict[str, str]:
    """One policy's cells by column."""
    latency, joules = figures.latency_s, figures.energy_j_per_frame
    return {
        "policy": name,
        "mean": seconds_text(latency.mean),
        "p50": seconds_text(latency.quantiles.p50),
        "p95": seconds_text(latency.quantiles.p95),
        "p99": seconds_text(latency.quantiles.p99),
        "answer age": seconds_text(figures.wait_s.mean),
        "J/frame": ABSENT if joules is None else f"{joules:.3g}",
        "answered": str(figures.frames_answered),
        "late": str(figures.frames_late),
        "dropped": str(figures.frames_dropped),
        "switches": str(figures.switches),
        "plan longest in use": figures.plan,
    }


def _print_trace(trace: Trace, as_json: bool) -> None:
    from seamline.cli.shared.simulate_summary import generate_summary
    from seamline.sim import csv_lines

    if as_json:
        print_json(generate_summary(trace))
    else:
        typer.echo("\n".join(csv_lines(trace)))
