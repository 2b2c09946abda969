"""`seamline simulate`: policies side by side over recorded profiles and link traces, in virtual time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seamline.cli.shared.offline import PowersOption, SlowdownOption, parse_duration, parse_rate, profiles_of
from seamline.cli.shared.options import EnergyScopeOption, JsonFlag, SeedOption

if TYPE_CHECKING:
    from seamline.config import Trace
    from seamline.core.vocabulary.nodes import NodeId
    from seamline.core.vocabulary.profiles import Profile
    from seamline.sim import Comparison, Scene, SceneLink

DEFAULT_FPS = 10.0
DEFAULT_SECONDS = 300.0

WIDE_ENOUGH = 125
"""Columns of a terminal that shows the whole table."""

WORDS = frozenset({"policy", "plan longest in use"})
LEFT_OUT_WHEN_NARROW = frozenset({"p50", "p99", "answer age", "answered", "late", "dropped", "plan longest in use"})
"""Columns without which a terminal of 60 still has room for the rest."""

JSON_KEYS = {
    "simulate": {
        "model": "name of the model in the profiles",
        "objective": "what plans are judged by",
        "energy_scope": "whose joules count",
        "seconds": "how long frames came, in virtual time",
        "fps": "frames per second of the source",
        "private": "as given with --private",
        "seed": "of noise and losses",
        "n_frames": "frames the source brought to each policy",
        "policies.*.latency_s.mean": "from acceptance to answer, seconds, of answered frames; null without any",
        "policies.*.latency_s.p50": "its median",
        "policies.*.latency_s.p95": "its 95th percentile",
        "policies.*.latency_s.p99": "its 99th percentile",
        "policies.*.wait_s.mean": "from a frame, also a dropped one, to the first answer at least as new, seconds",
        "policies.*.wait_s.p50": "its median",
        "policies.*.wait_s.p95": "its 95th percentile",
        "policies.*.wait_s.p99": "its 99th percentile",
        "policies.*.energy_j_per_frame": "joules per answered frame, modelled; null without power figures",
        "energy_source": "`modelled`: nothing is metered here",
        "policies.*.throughput_fps": "answers per second",
        "policies.*.frames_answered": "frames accepted and answered",
        "policies.*.frames_late": "of these, how many missed their deadline and were run again",
        "policies.*.frames_dropped": "frames a newer one replaced before there was room",
        "policies.*.switches": "how often the plan changed",
        "policies.*.plan": "the plan longest in use",
        "offload_allowed": "whether the constraints allow `offload`, which is measured in any case",
        "regret_ratio": "by how much adaptive was worse than the oracle in the objective, 0.03 for 3 %",
        "gain_ratio": "the share of the oracle's gain over static_at_start that adaptive has; null without a gain",
        "switches[].at_s": "when adaptive switched",
        "switches[].from_plan": "the plan before",
        "switches[].to_plan": "the plan after",
        "switches[].reason": "why, in words and numbers",
        "trace.times_s": "with --generate: when each rate begins",
        "trace.rates_bps": "with --generate: bits per second, 0 for an outage",
        "trace.length_s": "with --generate: how long the trace is",
    }
}


def register(app: typer.Typer) -> None:
    """Add `simulate` to `app`."""
    app.command("simulate")(simulate)


def simulate(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="Name of the model in the profiles; a file or zoo name for --slowdown."),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option("--profile", metavar="NODE=FILE", help="What the model costs on a node; the first is the origin."),
    ] = None,
    slowdown: SlowdownOption = None,
    power: PowersOption = None,
    trace: Annotated[
        list[str] | None,
        typer.Option("--trace", metavar="A:B=FILE", help="A link's rates: CSV, mahimahi, or KIND:SEED:SECONDS."),
    ] = None,
    link: Annotated[
        list[str] | None,
        typer.Option(
            "--link",
            metavar="A:B=RATE[,DELAY]",
            help="A steady link, or with a trace its one-way delay: edge:fog=20mbps,2ms, or bare Mbit/s and ms.",
        ),
    ] = None,
    testbed: Annotated[
        Path | None, typer.Option("--testbed", metavar="FILE", help="Take links, changes and loads from a testbed.")
    ] = None,
    objective: Annotated[str, typer.Option("--objective", metavar="WHAT", help="latency, throughput or energy.")] = (
        "latency"
    ),
    energy_scope: EnergyScopeOption = "all",
    private: Annotated[
        int, typer.Option("--private", metavar="N", min=0, help="0 lets raw frames leave the origin, 1 does not.")
    ] = 0,
    fps: Annotated[float, typer.Option("--fps", metavar="F", min=0.01, help="Frames per second.")] = DEFAULT_FPS,
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="S", min=1.0, help="Length; the longest trace's if not given.")
    ] = None,
    policy: Annotated[
        list[str] | None, typer.Option("--policy", metavar="NAME", help="Only these policies; may be repeated.")
    ] = None,
    noise: Annotated[
        float, typer.Option("--noise", metavar="R", min=0.0, max=1.0, help="Relative scatter of compute times.")
    ] = 0.03,
    seed: SeedOption = 0,
    generate: Annotated[
        str | None, typer.Option("--generate", metavar="KIND:SEED:SECONDS", help="Only print such a trace as CSV.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Play policies side by side over recorded profiles and link traces, hundreds of times faster than real time."""
    from seamline.cli.shared.output import print_json, progress_console
    from seamline.core.cost.problem import EnergyScope
    from seamline.core.vocabulary.constraints import Constraints
    from seamline.core.vocabulary.errors import UsageError
    from seamline.sim import POLICIES, Scene, compare_at_once, generated

    if generate is not None:
        _print_trace(generated(generate), json)
        return
    if math.inf in (fps, seconds):
        raise UsageError("a simulation has an end", hint="--fps and --seconds are numbers")
    profiles = _profiles(model, profile or [], slowdown or [], power or [])
    links, seconds = _links(trace or [], link or [], testbed, seconds)
    scene = Scene(
        origin=next(iter(profiles)),
        profiles=profiles,
        links=links,
        fps=fps,
        duration_s=seconds,
        objective=_objective(objective),
        energy_scope=EnergyScope.parse(energy_scope).among(list(profiles)),
        constraints=Constraints(n_private_cuts=private),
        slowdowns=_loads(testbed, seconds),
        noise_ratio=noise,
        seed=seed,
    )
    console = progress_console()
    for node in _powerless(scene):
        console.print(f"`{node}` has no power figures, so no plan over it has joules; give --power", markup=False)
    with console.status("simulating") as status:
        wanted = _policies(policy, POLICIES)
        comparison = compare_at_once(scene, wanted, told=lambda name: status.update(f"simulating {name}"))
    data = _report(scene, comparison)
    if json:
        print_json(data)
    else:
        _print_report(data)


def _powerless(scene: Scene) -> Sequence[NodeId]:
    """Nodes that plans cannot be judged over, where energy is what counts."""
    from seamline.core.vocabulary.objectives import counts_energy

    if not counts_energy(scene.objective):
        return ()
    weight = scene.energy_scope.weight
    profiles = scene.profiles.items()
    return [node for node, known in profiles if weight(node, scene.origin) > 0.0 and known.device.busy_w is None]


def _profiles(
    model: str | None, files: Sequence[str], slowdowns: Sequence[str], powers: Sequence[str]
) -> dict[NodeId, Profile]:
    """By node, in the order given. Raises `UsageError` when there is none or they are not of one model."""
    from seamline.core.vocabulary.errors import UsageError

    # without a slowdown MODEL is only a name: the profiles are enough
    profiles = profiles_of(model if slowdowns else None, files, slowdowns, powers=powers)
    names = {known.model.name for known in profiles.values()} | ({model} if model and not slowdowns else set())
    if len(names) > 1:
        raise UsageError(f"the profiles are of different models: {', '.join(sorted(names))}")
    return profiles


def _links(
    traces: Sequence[str], steady: Sequence[str], testbed: Path | None, seconds: float | None
) -> tuple[tuple[SceneLink, ...], float]:
    """All links, later ones in place of earlier ones between the same nodes, and how long the run is."""
    from seamline.cli.shared.output import progress_console
    from seamline.config import load_testbed
    from seamline.sim import SceneLink
    from seamline.sim.from_testbed import left_out, links_of

    found: dict[frozenset[str], SceneLink] = {}
    lengths: list[float] = []
    if testbed is not None:
        bed = load_testbed(testbed)
        lengths.append(seconds or bed.seconds or DEFAULT_SECONDS)
        found = {frozenset(link.between): link for link in links_of(bed, lengths[0])}
        for what in left_out(bed):
            progress_console().print(f"not simulated: {what}", markup=False)
    for text in steady:
        one, other, values = _ends(text, "A:B=RATE[,DELAY], e.g. edge:fog=20mbps,2ms")
        rate_bps, delay_s = _rate_and_delay(values, text)
        found[frozenset((one, other))] = SceneLink.steady(one, other, rate_bps, delay_s)
    for text in traces:
        one, other, value = _ends(text, "A:B=FILE, e.g. edge:fog=trace.csv")
        before = found.get(frozenset((one, other)))
        read = _trace(value)
        found[frozenset((one, other))] = SceneLink(
            between=(one, other), trace=read, delay_s=before.delay_s if before is not None else 0.0
        )
        lengths += [read.length_s] if math.isfinite(read.length_s) else []
    return tuple(found.values()), seconds or max(lengths, default=DEFAULT_SECONDS)


def _loads(testbed: Path | None, seconds: float) -> Mapping[NodeId, tuple[tuple[float, float], ...]]:
    """How nodes slow down during the run, where a testbed says so."""
    from seamline.config import load_testbed
    from seamline.sim.from_testbed import loads_of

    return {} if testbed is None else loads_of(load_testbed(testbed), seconds)


def _ends(text: str, form: str) -> tuple[NodeId, NodeId, str]:
    from seamline.core.vocabulary.errors import UsageError
    from seamline.core.vocabulary.nodes import node_id

    ends, separator, value = text.partition("=")
    one, colon, other = ends.partition(":")
    if not (separator and colon and value):
        raise UsageError(f"`{text}` is not a link", hint=f"write {form}")
    if one == other:
        raise UsageError(f"`{text}` links `{one}` to itself", hint="name two nodes")
    return node_id(one), node_id(other), value


def _rate_and_delay(values: str, text: str) -> tuple[float, float]:
    """``20mbps,2ms``, or ``20,2`` for the same. A link is up: what is down at times is a trace."""
    from seamline.core.vocabulary.errors import UsageError

    rate, _, delay = (part.strip() for part in values.partition(","))
    rate_bps = parse_rate(f"{rate}mbps" if _is_number(rate) else rate)
    delay_s = parse_duration(f"{delay}ms" if _is_number(delay) else delay) if delay else 0.0
    if rate_bps <= 0.0:
        raise UsageError(f"`{text}` carries nothing", hint="write A:B=RATE[,DELAY], e.g. edge:fog=20mbps,2ms")
    return rate_bps, delay_s


def _is_number(text: str) -> bool:
    return text[-1:].isdecimal()  # a unit ends in a letter


def _trace(value: str) -> Trace:
    """A file, or a generated trace by its name."""
    from seamline.config import read_trace
    from seamline.sim import KINDS, generated

    is_generated = value.partition(":")[0] in KINDS and not Path(value).exists()
    return generated(value) if is_generated else read_trace(Path(value))


def _objective(text: str) -> Any:
    from seamline.core.vocabulary.errors import UsageError
    from seamline.core.vocabulary.objectives import Objective

    try:
        return Objective(text)
    except ValueError:
        raise UsageError(f"`{text}` is not an objective", hint=f"one of {', '.join(Objective)}") from None


def _policies(wanted: Sequence[str] | None, known: Sequence[str]) -> Sequence[str]:
    from seamline.core.vocabulary.errors import UsageError

    for name in wanted or ():
        if name not in known:
            raise UsageError(f"`{name}` is not a policy of the simulator", hint=f"one of {', '.join(known)}")
    return wanted or known


def _report(scene: Scene, comparison: Comparison) -> dict[str, Any]:
    from seamline.sim import summary

    adaptive = comparison.runs.get("adaptive")
    return {
        "model": scene.profiles[scene.origin].model.name,
        "objective": str(scene.objective),
        "energy_scope": str(scene.energy_scope),
        "energy_source": "modelled",
        "seconds": scene.duration_s,
        "fps": scene.fps,
        "private": scene.constraints.n_private_cuts,
        "seed": scene.seed,
        "n_frames": scene.n_frames,
        "policies": {name: summary(run) for name, run in comparison.runs.items()},
        "offload_allowed": comparison.is_offload_allowed,
        "regret_ratio": comparison.regret_ratio,
        "gain_ratio": comparison.gain_ratio,
        "switches": [
            {
                "at_s": switch.at_s,
                "from_plan": str(switch.from_plan),
                "to_plan": str(switch.to_plan),
                "reason": switch.reason,
            }
            for switch in (adaptive.switches if adaptive is not None else ())
        ],
    }


def _print_report(data: Mapping[str, Any]) -> None:
    from seamline.cli.shared.output import data_console
    from seamline.cli.shared.tables import add_row, new_table

    out = data_console()
    left_out = LEFT_OUT_WHEN_NARROW if out.width < WIDE_ENOUGH else frozenset()
    rows = [_row(name, figures, data) for name, figures in data["policies"].items()]
    columns = [column for column in rows[0] if column not in left_out]
    table = new_table(
        *columns,
        title=f"{data['model']}, {data['n_frames']} frames in {data['seconds']:g} s, modelled; by {data['objective']}",
        right=[column for column in columns if column not in WORDS],
    )
    for row in rows:
        add_row(table, *(row[column] for column in columns))
    out.print(table)
    if data["regret_ratio"] is not None:
        gain = data["gain_ratio"]
        gained = "" if gain is None else f"; it has {100 * gain:.0f} % of the oracle's gain over static_at_start"
        out.print(f"adaptive is {100 * data['regret_ratio']:.1f} % behind the oracle{gained}")


def _row(name: str, figures: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, str]:
    """One policy's cells by column."""
    from seamline.core.vocabulary.quantities import seconds_text

    latency, joules = figures["latency_s"], figures["energy_j_per_frame"]
    is_forbidden = name == "offload" and not data["offload_allowed"]
    return {
        "policy": f"{name} (not allowed)" if is_forbidden else name,
        **{key: seconds_text(latency[key]) for key in ("mean", "p50", "p95", "p99")},
        "answer age": seconds_text(figures["wait_s"]["mean"]),
        "J/frame": "-" if joules is None else f"{joules:.3g}",
        "answered": str(figures["frames_answered"]),
        "late": str(figures["frames_late"]),
        "dropped": str(figures["frames_dropped"]),
        "switches": str(figures["switches"]),
        "plan longest in use": figures["plan"],
    }


def _print_trace(trace: Trace, as_json: bool) -> None:
    from seamline.cli.shared.output import print_json
    from seamline.sim import csv_lines

    if not as_json:
        typer.echo("\n".join(csv_lines(trace)))
        return
    lists = {"times_s": list(trace.times_s), "rates_bps": list(trace.rates_bps), "length_s": trace.length_s}
    print_json({"trace": lists})
