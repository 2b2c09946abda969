"""Flags of `seamline run`: which frames flow and how the cut moves; how answers are read, and where they go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from seamline.cli.observing.showing import DashboardOption
from seamline.cli.observing.tracing import TraceSampleOption
from seamline.cli.shared.options import one_of, one_of_later, strategies
from seamline.core.vocabulary.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteFlags:
    """Over which nodes frames go, and how the cut moves."""

    over: Annotated[
        str, typer.Option("--over", metavar="NODES", help="Nodes that may take part, the origin (this one) first.")
    ] = "edge"
    policy: Annotated[
        str,
        typer.Option(
            "--policy",
            metavar="NAME",
            autocompletion=one_of("adaptive", "static", "local", "offload"),
            help="adaptive, static (best at the start), local or offload.",
        ),
    ] = "adaptive"
    plan: Annotated[
        str | None, typer.Option("--plan", metavar="PLAN", help="Hold this plan: 'edge[0:14]f16 > cloud[14:45]'.")
    ] = None
    strategy: Annotated[
        str,
        typer.Option(
            "--strategy",
            metavar="NAME",
            autocompletion=one_of_later(strategies),
            help="How the cut moves; `seamline switch --help` lists them.",
        ),
    ] = "live"
    priority: Annotated[
        int,
        typer.Option(
            "--priority",
            metavar="N",
            min=-4,
            max=4,
            help="Of its frames where others wait too: each step halves the time that they count as having left.",
        ),
    ] = 0
    dashboard: DashboardOption = None

    @property
    def policy_or_plan(self) -> str:
        """A plan to hold, or a policy's name."""
        return self.policy if self.plan is None else self.plan

    def nodes(self) -> tuple[str, ...]:
        """The names in --over, the origin first. Raises `UsageError` when there are none."""
        names = tuple(name.strip() for name in self.over.split(",") if name.strip())
        if not names:
            raise UsageError("--over names no node", hint="write --over edge,fog: this node first, then the others")
        return names


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFlags(RouteFlags):
    """Which frames flow, over which nodes, and how the cut moves."""

    fps: Annotated[
        float | None,
        typer.Option("--fps", metavar="F", min=0.01, max=1e6, help="Frames a second of the source's time to use."),
    ] = None
    frames: Annotated[int | None, typer.Option("--frames", metavar="N", min=1, help="Stop after N frames.")] = None
    seconds: Annotated[float | None, typer.Option("--seconds", metavar="S", min=0.1, help="Stop after S seconds.")] = (
        None
    )
    loop: Annotated[bool, typer.Option("--loop", help="Start over when the video or folder ends.")] = False
    every_frame: Annotated[
        bool, typer.Option("--every-frame", help="Drop none: a recording is read as fast as frames are answered.")
    ] = False
    live: Annotated[
        bool, typer.Option("--live", help="The newest frame wins, as from a camera (default for all but images).")
    ] = False
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="FILE", help="Write what is measured and decided, for `seamline replay`."),
    ] = None
    trace_sample: TraceSampleOption = None
    feed_back: Annotated[
        tuple[str, ...],
        typer.Option(
            "--feed-back", metavar="OUT=IN", help="Feed an output of each frame into an input of the next. Repeatable."
        ),
    ] = ()
    wait_to_begin: Annotated[
        bool, typer.Option("--wait-to-begin", help="No frame before standard input says so.", hidden=True)
    ] = False
    events: Annotated[bool, typer.Option("--events", help="JSON lines on stdout while it runs.", hidden=True)] = False

    def is_live(self) -> bool | None:
        """Whether the newest frame wins; None leaves it to the source. Raises `UsageError` when both are said."""
        if self.every_frame and self.live:
            raise UsageError("--every-frame and --live exclude each other", hint="give one of them, or none")
        return True if self.live else False if self.every_frame else None

    def feed_backs(self) -> dict[str, str]:
        """Inputs by the outputs they take. Raises `UsageError` for what does not read so."""
        pairs: dict[str, str] = {}
        for text in self.feed_back:
            output, _, given = text.partition("=")
            if not output or not given or output in pairs:
                raise UsageError(f"`{text}` feeds nothing back", hint="write OUTPUT=INPUT, each output once")
            pairs[output] = given
        return pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFlags:
    """What is asked of answers: how they are read, see `AnswerReader`, and where they go."""

    save: Annotated[
        tuple[str, ...],
        typer.Option(
            "--save",
            metavar="PLACE",
            help="Where answers go, repeatable: FILE.jsonl, .csv, .npz; FILE.mp4, .webm or FOLDER/ with answers drawn "
            "in; mqtt://HOST/TOPIC; http://HOST/PATH; - for JSON lines on stdout. See docs/answers.md.",
        ),
    ] = ()
    head: Annotated[
        str,
        typer.Option(
            "--head",
            metavar="HEAD",
            help="What the outputs are read as: classify, detect, segment or raw; auto asks the file.",
            autocompletion=one_of("auto", "classify", "detect", "segment", "raw"),
        ),
    ] = "auto"
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="Names of the classes: lines, JSON or a YOLO data file."),
    ] = None
    score: Annotated[
        float | None,
        typer.Option(
            "--score", metavar="S", min=0.0, max=1.0, help="Least score of a label, box or mask; 0.25 for boxes."
        ),
    ] = None
    top: Annotated[
        int | None, typer.Option("--top", metavar="N", min=1, help="Most labels (5) or boxes (300) of a frame.")
    ] = None
    prints: Annotated[
        str,
        typer.Option(
            "--print", metavar="WHICH", help="Lines on stdout: all answers, changes of what is seen, or none."
        ),
    ] = "all"
