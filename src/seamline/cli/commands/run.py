"""`seamline run`: frames from a source through a model, cut over the named nodes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from seamline.cli.commands.node import (
    ClusterOption,
    ConnectOption,
    InsecureFlag,
    LeaseOption,
    ListenOption,
    LoadsFlag,
    MeterOption,
    NoRelayFlag,
    PowerOption,
    SlowdownOption,
)
from seamline.cli.shared.limits import (
    ForbidOption,
    MemoryOption,
    ObjectiveOption,
    PinOption,
    PrivateOption,
    SloOption,
    TrustOption,
    WeighOption,
    goal_of,
    pins_by_layer,
    sizes_by_node,
)
from seamline.cli.shared.lossiness import DEFAULT_CODECS, CodecsOption, codecs_named
from seamline.cli.shared.options import (
    EnergyScopeOption,
    JsonFlag,
    LayoutOption,
    MeanOption,
    ModelArgument,
    ShapeOption,
    SizeOption,
    StdOption,
    ThreadsOption,
    ValueOption,
)
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.plans import Codec

SUMMARY_KEYS = {
    "frames.accepted": "frames that entered the pipeline",
    "frames.answered": "frames with an answer; equal to accepted when nothing was lost",
    "frames.dropped_before_acceptance": "camera frames replaced by a newer one before there was room",
    "frames.lost": "accepted without an answer",
    "frames.duplicated": "answers delivered twice",
    "frames.out_of_order": "answers delivered after a later frame's",
    "frames.completed_elsewhere": "frames run again because a node died, refused or took too long",
    "frames.late_answers_ignored": "answers that came after the frame had been answered otherwise",
    "frames.failed": "frames whose answer is an error",
    "latency_s.mean": "mean seconds from acceptance to answer",
    "latency_s.p50": "median",
    "latency_s.p95": "95th percentile",
    "latency_s.n": "answers behind these figures",
    "energy.j_per_frame": "mean joules of a frame: stages above idle, radios, the origin's idling; null if unknown",
    "energy.n_frames": "frames behind that: those since `counted` was set whose stages all have joules",
    "energy.counted": "whose joules these are: `all` nodes', the `origin`'s, or weighted; frames since that was set",
    "energy.source": "where these come from: `measured:METER`, `modelled:PROFILE`, joined by + over nodes, or mixed",
    "energy.nodes.*.j": "all that the node drew while frames flowed, idling included",
    "energy.nodes.*.j_per_frame": "the same over the answered frames",
    "energy.nodes.*.source": "`measured:METER` or `modelled:PROFILE`",
    "energy.nodes.*.scope": "what the joules are of, e.g. `whole board` or `processor packages`",
    "energy.total_j": "sum over the nodes, null when none has a meter or power figures",
    "energy.total_j_per_frame": "the same over the answered frames",
    "energy.total_source": "where the sum comes from",
    "longest_gap_s": "longest time between two answers",
    "switches[].at_s": "when it was decided, seconds since the stream began",
    "switches[].from_plan": "plan before",
    "switches[].to_plan": "plan after",
    "switches[].reason": "why, in words and numbers",
    "switches[].prepare_s": "from the decision to the new plan serving; the old one serves meanwhile",
    "switches[].switch_s": "how long the swap itself kept frames from being accepted",
    "switches[].strategy": "how it was done, see `seamline switch`",
    "switches[].pause_s": "how long nothing was accepted before the swap, by design of the strategy",
    "switches[].load_s": "what the slowest node spent on preparing",
    "switches[].sent_bytes": "bytes of messages to other nodes for the switch",
    "switches[].gap_s": "longest time between two answers around it, less the usual interval",
    "plan_timeline[].at_s": "when a plan came into use",
    "plan_timeline[].plan": "the plan",
}
JSON_KEYS = {"run": SUMMARY_KEYS}


def register(app: typer.Typer) -> None:
    app.command("run")(run)


def run(
    model: ModelArgument,
    source: Annotated[
        str, typer.Option("--source", metavar="SOURCE", help="Video file, camera index, or folder of images.")
    ],
    over: Annotated[
        str, typer.Option("--over", metavar="NODES", help="Nodes that may take part, the origin (this one) first.")
    ] = "edge",
    objective: ObjectiveOption = "latency",
    slo: SloOption = None,
    weigh: WeighOption = None,
    energy_scope: EnergyScopeOption = "all",
    private: PrivateOption = 0,
    trust: TrustOption = None,
    memory: MemoryOption = None,
    pin: PinOption = None,
    forbid: ForbidOption = None,
    codecs: CodecsOption = DEFAULT_CODECS,
    fps: Annotated[
        float | None, typer.Option("--fps", metavar="F", min=0.01, help="Frames per second of a video.")
    ] = None,
    frames: Annotated[int | None, typer.Option("--frames", metavar="N", min=1, help="Stop after N frames.")] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="S", min=0.1, help="Stop after S seconds.")
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Start over when the video or folder ends.")] = False,
    policy: Annotated[
        str, typer.Option("--policy", metavar="NAME", help="adaptive, static (best at the start), local or offload.")
    ] = "adaptive",
    plan: Annotated[
        str | None, typer.Option("--plan", metavar="PLAN", help="Hold this plan: 'edge[0:14]f16 > cloud[14:45]'.")
    ] = None,
    strategy: Annotated[
        str, typer.Option("--strategy", metavar="NAME", help="How the cut moves; `seamline switch --help` lists them.")
    ] = "live",
    shape: ShapeOption = None,
    value: ValueOption = None,
    size: SizeOption = None,
    layout: LayoutOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    tier: Annotated[str, typer.Option("--tier", metavar="TIER", help="Tier label of this node.")] = "edge",
    connect: ConnectOption = None,
    listen: ListenOption = None,
    threads: ThreadsOption = None,
    slowdown: SlowdownOption = 1.0,
    cluster: ClusterOption = "default",
    cache: Annotated[Path | None, typer.Option("--cache", metavar="DIR", help="Where models are kept.")] = None,
    no_relay: NoRelayFlag = False,
    insecure: InsecureFlag = False,
    power: PowerOption = None,
    meter: MeterOption = None,
    lease_s: LeaseOption = 0.4,
    events: Annotated[bool, typer.Option("--events", help="JSON lines on stdout while it runs.", hidden=True)] = False,
    follow_loads: LoadsFlag = False,
    parent_pid: Annotated[int | None, typer.Option("--parent-pid", metavar="PID", hidden=True)] = None,
    json: JsonFlag = False,
) -> int:
    """Run frames of SOURCE through MODEL, cut where it is best, and show where the cut is and why.

    Ctrl-C takes no more frames, waits for the answers that are due, and prints the figures.
    """
    from seamline.cli.shared.models import parse_frame, parse_shapes, parse_values, resolve_model
    from seamline.cli.shared.output import print_json, progress_console
    from seamline.cli.shared.waiting import draining
    from seamline.cli.shared.watching import Watcher
    from seamline.runtime.api.cluster import connect as join
    from seamline.runtime.shared.sources import open_source
    from seamline.testbed.slowdown import slowdown_from

    nodes = _nodes_of(over, connect)
    allowed, goal = codecs_named(codecs), goal_of(objective, slo, weigh)
    sizes, pins = sizes_by_node(memory or ()), pins_by_layer(pin or ())
    frame_source = open_source(source, loop=loop)
    path = resolve_model(model)
    console = progress_console()
    with join(
        *(connect or ()), name=nodes[0], tier=tier, listen=listen or ("tcp/127.0.0.1:0",), n_threads=threads,
        cluster=cluster, slowdown=slowdown, cache=cache, relay=not no_relay, allow_insecure=insecure,
        power=power, meter=meter, lease_s=lease_s,
        pace=slowdown_from(sys.stdin.fileno(), slowdown) if follow_loads else None,
    ) as here:  # fmt: skip
        stored = here.add_model(
            path, shapes=parse_shapes(shape or ()), values=parse_values(value or ()),
            preprocess=parse_frame(size, layout, mean, std), first=frame_source,
        )  # fmt: skip
        with console.status(f"measuring {stored.name} on {', '.join(nodes)}"):
            stream = here.stream(
                stored,
                over=nodes,
                objective=str(goal),
                energy_scope=energy_scope,
                private=private,
                trust=trust or (),
                memory_bytes=sizes,
                pins=pins,
                forbid=forbid or (),
                codecs=allowed if plan is None else tuple(Codec),  # a plan by hand is allowed what it says
                policy=plan if plan is not None else policy,
                strategy=strategy,
            )
        if events:
            print_json({"event": "started"})
        watching = Watcher(
            stream,
            title=f"{stored.name}: {frame_source.name}",
            duration_s=seconds,
            as_events=events,
            is_quiet=json,
            parent_pid=parent_pid,
        )
        with draining(stream.stop) as signal_number, watching as watcher:  # whoever sees it run may end it
            for result in stream.run(frame_source, fps=fps, n_frames=frames, seconds=seconds):
                watcher.answered(result)
        summary: dict[str, Any] = stream.summary()
    if events:
        print_json({"event": "summary", **summary})
    elif json:
        print_json(summary)
    else:
        _print_summary(summary)
    return 128 + signal_number() if signal_number() else 0


def _print_summary(summary: Mapping[str, Any]) -> None:
    from seamline.cli.shared.output import data_console
    from seamline.cli.shared.render import switches_table
    from seamline.cli.shared.watching import switches_of
    from seamline.core.vocabulary.quantities import energy_text

    counts, latency = summary["frames"], summary["latency_s"]
    out = data_console()
    if summary["switches"]:
        out.print(switches_table(switches_of(summary)))
    energy = summary["energy"]
    if energy["j_per_frame"] is not None:
        out.print(f"energy {energy_text(energy['j_per_frame'])} a frame ({energy['source']})", markup=False)
    if energy["total_j_per_frame"] is not None:
        each = ", ".join(f"{name} {energy_text(drew['j_per_frame'])}" for name, drew in energy["nodes"].items())
        together = "" if len(energy["nodes"]) < 2 else f", together {energy_text(energy['total_j_per_frame'])}"
        out.print(f"drawn a frame, idling included: {each}{together} ({energy['total_source']})", markup=False)
    took = f"; latency {1e3 * latency['mean']:.1f} ms mean, {1e3 * latency['p95']:.1f} ms p95" if latency["n"] else ""
    out.print(
        f"{counts['answered']} of {counts['accepted']} accepted frames answered, {counts['lost']} lost, "
        f"{counts['dropped_before_acceptance']} dropped before acceptance{took}"
    )


def _nodes_of(over: str, connect: Sequence[str] | None) -> list[str]:
    """The names in `over`, the origin first. Raises `UsageError` when there are none, or --connect has no use."""
    nodes = [name.strip() for name in over.split(",") if name.strip()]
    if not nodes:
        raise UsageError("--over names no node", hint="write --over edge,fog: this node first, then the others")
    if connect and len(nodes) == 1:
        raise UsageError(
            f"--connect is given, but --over names only this node, `{nodes[0]}`",
            hint=f"write --over {nodes[0]},NAME; `seamline nodes --connect {connect[0]}` lists the names",
        )
    return nodes
