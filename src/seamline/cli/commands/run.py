"""`seamline run`: frames from a source through a model, cut over the named nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from seamline.cli.running.answer_options import (
    HeadOption,
    LabelsOption,
    PrintOption,
    SaveOption,
    ScoreOption,
    TopOption,
)
from seamline.cli.shared.completion import one_of, one_of_later, strategies
from seamline.cli.shared.models import parse_feed_back, parse_frame, parse_shapes, parse_values
from seamline.cli.shared.options import (
    ChannelsOption,
    ClusterOption,
    ConnectOption,
    DeployableArgument,
    EnergyScopeOption,
    FitOption,
    InsecureFlag,
    JsonFlag,
    LayoutOption,
    LeaseOption,
    ListenOption,
    LoadsFlag,
    MeanOption,
    MeterOption,
    NoRelayFlag,
    PowerOption,
    PreprocessOption,
    ShapeOption,
    SizeOption,
    SlowdownOption,
    StdOption,
    ThreadsOption,
    ValueOption,
)
from seamline.cli.shared.planning_options import (
    MOST_LOSSY_BY_DEFAULT,
    CodecsOption,
    ForbidOption,
    MemoryOption,
    ObjectiveOption,
    PinOption,
    PrivateOption,
    SloOption,
    TrustOption,
    WeighOption,
    checked_codecs,
    goal_of,
    pins_by_layer,
    sizes_by_node,
)
from seamline.core.vocabulary.documented import key_docs
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.plans import Codec


def _keys() -> Mapping[str, str]:
    from seamline.cli.running.answering import SavedFigures
    from seamline.runtime.origin.summary import RunSummary

    return {**key_docs(RunSummary), **key_docs(SavedFigures)}


JSON_KEYS = {"run": _keys}


def register(app: typer.Typer) -> None:
    app.command("run")(run)


def run(
    model: DeployableArgument,
    source: Annotated[
        list[str],
        typer.Option(
            "--source",
            metavar="SOURCE",
            help="Video, image, .npy, .npz, .jsonl, .wav, folder or 'pattern' of these, camera (0), rtsp:// or http:// "
            "address, pipe, or - (video, or lines of JSON). Repeatable: a stream for each, all at once.",
        ),
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
    codecs: CodecsOption = MOST_LOSSY_BY_DEFAULT,
    fps: Annotated[
        float | None, typer.Option("--fps", metavar="F", min=0.01, help="Frames a second of the source's time to use.")
    ] = None,
    frames: Annotated[int | None, typer.Option("--frames", metavar="N", min=1, help="Stop after N frames.")] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="S", min=0.1, help="Stop after S seconds.")
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Start over when the video or folder ends.")] = False,
    every_frame: Annotated[
        bool, typer.Option("--every-frame", help="Drop none: a recording is read as fast as frames are answered.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="The newest frame wins, as from a camera (default for all but images).")
    ] = False,
    policy: Annotated[
        str,
        typer.Option(
            "--policy",
            metavar="NAME",
            autocompletion=one_of("adaptive", "static", "local", "offload"),
            help="adaptive, static (best at the start), local or offload.",
        ),
    ] = "adaptive",
    plan: Annotated[
        str | None, typer.Option("--plan", metavar="PLAN", help="Hold this plan: 'edge[0:14]f16 > cloud[14:45]'.")
    ] = None,
    strategy: Annotated[
        str,
        typer.Option(
            "--strategy",
            metavar="NAME",
            autocompletion=one_of_later(strategies),
            help="How the cut moves; `seamline switch --help` lists them.",
        ),
    ] = "live",
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="FILE", help="Write what is measured and decided, for `seamline replay`."),
    ] = None,
    save: SaveOption = None,
    head: HeadOption = "auto",
    labels: LabelsOption = None,
    score: ScoreOption = None,
    top: TopOption = None,
    prints: PrintOption = "all",
    shape: ShapeOption = None,
    value: ValueOption = None,
    feed_back: Annotated[
        list[str] | None,
        typer.Option(
            "--feed-back", metavar="OUT=IN", help="Feed an output of each frame into an input of the next. Repeatable."
        ),
    ] = None,
    size: SizeOption = None,
    layout: LayoutOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    preprocess: PreprocessOption = None,
    fit: FitOption = None,
    channels: ChannelsOption = None,
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
    """Run frames of SOURCE through MODEL, cut where it is best; show and save the answers, where the cut is and why.

    A deployment file in MODEL's place says what flags would (`seamline config show FILE`); flags count before it.
    Ctrl-C takes no more frames, waits for the answers that are due, and prints the figures.
    """
    from seamline.cli.running.answering import AnswerRequest
    from seamline.cli.running.run_request import RunRequest, execute
    from seamline.cli.running.several_sources import execute_several
    from seamline.cli.shared.output import require_writable
    from seamline.runtime.node.starting import NodeOptions
    from seamline.sinks.opening import require_apart

    require_apart(save or (), [*source, model, *([] if labels is None else [str(labels)])])
    nodes = _nodes_of(over, connect)
    if every_frame and live:
        raise UsageError("--every-frame and --live exclude each other", hint="give one of them, or none")
    if record is not None:
        require_writable(record, "--record")
    request = RunRequest(
        model=model,
        shapes=parse_shapes(shape or ()),
        values=parse_values(value or ()),
        frame=parse_frame(size, layout, mean, std, preprocess=preprocess, fit=fit, channels=channels),
        source=source[0],
        feed_back=parse_feed_back(feed_back or ()),
        loop=loop,
        live=True if live else False if every_frame else None,
        fps=fps,
        n_frames=frames,
        seconds=seconds,
        node=NodeOptions(
            name=nodes[0],
            tier=tier,
            connect=tuple(connect or ()),
            listen=tuple(listen or ("tcp/127.0.0.1:0",)),
            cluster=cluster,
            n_threads=threads,
            slowdown=slowdown,
            cache=cache,
            relay=not no_relay,
            allow_insecure=insecure,
            power=power,
            meter=meter,
            lease_s=lease_s,
        ),
        over=tuple(nodes),
        objective=str(goal_of(objective, slo, weigh)),
        energy_scope=energy_scope,
        n_private_cuts=private,
        trust=tuple(trust or ()),
        memory_bytes=sizes_by_node(memory or ()),
        pins=pins_by_layer(pin or ()),
        forbid=tuple(forbid or ()),
        codecs=checked_codecs(codecs) if plan is None else tuple(Codec),  # a plan is allowed what it says
        policy=plan if plan is not None else policy,
        strategy=strategy,
        record=record,
        answers=AnswerRequest(head=head, labels=labels, score=score, top=top, save=tuple(save or ()), prints=prints),
        follow_loads=follow_loads,
        as_events=events,
        as_json=json,
        parent_pid=parent_pid,
    )
    return execute(request) if len(source) == 1 else execute_several(request, source)


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
