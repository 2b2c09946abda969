"""Request of `seamline run`, and its execution: a node joins, a stream runs to its end, its figures are printed.

The flags that a request is made of are read in `commands/run.py`; how a running stream is shown is `watching.py`'s.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from rich.console import Console

from seamline.cli.running.answering import Answering, AnswerRequest, saved_json
from seamline.cli.running.watching import Watcher
from seamline.cli.shared.output import TERMINAL, print_json
from seamline.cli.shared.planning_options import as_usage
from seamline.cli.shared.render import switches_table
from seamline.cli.shared.waiting import draining
from seamline.core.adaptation.policy import policy_named
from seamline.core.cost.problem import EnergyScope
from seamline.core.switching import strategy_named
from seamline.core.vocabulary.errors import PlanError, SeamlineError, SourceError, UsageError
from seamline.core.vocabulary.nodes import node_id
from seamline.core.vocabulary.plans import Codec
from seamline.core.vocabulary.quantities import energy_text, milliseconds
from seamline.model import FrameRecipe
from seamline.model.locate import resolve_model
from seamline.runtime.api.cluster import Cluster
from seamline.runtime.api.stream import Stream
from seamline.runtime.node.starting import NodeOptions, open_node
from seamline.runtime.origin.summary import RunSummary
from seamline.runtime.sources.frames import StampedSource
from seamline.runtime.sources.health import trouble_text
from seamline.runtime.sources.opening import open_source
from seamline.testbed.slowdown import slowdown_from


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """All that a run is asked for, read and checked as far as words go; nothing has been opened.

    shapes, values, frame: how the model is added, see `ModelStore.add`. source, loop: see `open_source`. feed_back to
    seconds: see `Stream.run`. node: this one, the origin. over to record: see `Cluster.stream`; policy may be a plan to
    pin. follow_loads: slowdowns of this node come on standard input. as_events, as_json: what stdout gets. parent_pid:
    the run ends when that process is gone.
    """

    model: str
    shapes: Mapping[str, tuple[int, ...]]
    values: Mapping[str, float]
    frame: FrameRecipe | None
    source: str
    loop: bool
    feed_back: Mapping[str, str]
    live: bool | None
    fps: float | None
    n_frames: int | None
    seconds: float | None
    node: NodeOptions
    over: tuple[str, ...]
    objective: str
    energy_scope: str
    n_private_cuts: int
    trust: tuple[str, ...]
    memory_bytes: Mapping[str, int]
    pins: Mapping[str, str]
    forbid: tuple[str, ...]
    codecs: str | tuple[Codec, ...]
    policy: str
    strategy: str
    record: Path | None
    answers: AnswerRequest
    follow_loads: bool
    as_events: bool
    as_json: bool
    parent_pid: int | None


def execute(request: RunRequest) -> int:
    """Join the cluster, run the stream to its end, print its figures; the exit code."""
    check_names(request)
    source = open_source(request.source, loop=request.loop)
    path = resolve_model(request.model, TERMINAL)
    with closing(source):
        source.first()  # one that cannot be read is said before anything starts
        answering = Answering(
            request.answers,
            source,
            model=path.stem,
            is_live=source.is_live if request.live is None else request.live,
            is_quiet=request.as_json or request.as_events,
        )
        return _with_source(request, path, source, answering)


def _with_source(request: RunRequest, path: Path, source: StampedSource, answering: Answering) -> int:
    pace = slowdown_from(sys.stdin.fileno(), request.node.slowdown) if request.follow_loads else None
    with answering:
        node = open_node(replace(request.node, pace=pace))
        with Cluster(node, n_expected=len(request.node.connect)) as here:
            stream = make_stream(request, here, path, source, answering)
            signal_number, error = _run(request, stream, source, answering)
            summary = stream.summary()
    if request.as_events:
        print_json({"event": "summary", **summary, **saved_json(answering)})
    elif request.as_json:
        print_json({**summary, **saved_json(answering)})
    else:
        print_summary(msgspec.convert(summary, RunSummary), answering.console)
        answering.print_saved()
    if error is None and not signal_number:
        error = answering.error()
    if error is not None:
        raise error
    return 128 + signal_number if signal_number else 0


def check_names(request: RunRequest) -> None:
    """Raise `UsageError` for a name that can mean nothing, before a node is started and a model is measured."""
    nodes = [node_id(name) for name in request.over]
    try:
        policy_named(request.policy)
    except PlanError as error:
        raise as_usage(error) from error
    strategy_named(request.strategy)
    EnergyScope.parse(request.energy_scope).among(nodes)
    limited = {*request.trust, *request.memory_bytes, *request.pins.values()}
    if unknown := sorted(limited - set(nodes)):
        raise UsageError(
            f"a limit names `{unknown[0]}`, which is not among the nodes", hint=f"one of {', '.join(nodes)}"
        )


def make_stream(request: RunRequest, here: Cluster, path: Path, source: StampedSource, answering: Answering) -> Stream:
    """The stream, ready to run: the model added, nodes profiled, the first plan chosen."""
    stored = here.add_model(path, shapes=request.shapes, values=request.values, preprocess=request.frame, first=source)
    answering.choose_head(stored)
    with TERMINAL.working(f"measuring {stored.name} on {', '.join(request.over)}"):
        return here.stream(
            stored,
            over=request.over,
            objective=request.objective,
            energy_scope=request.energy_scope,
            private=request.n_private_cuts,
            trust=request.trust,
            memory_bytes=request.memory_bytes,
            pins=request.pins,
            forbid=request.forbid,
            codecs=request.codecs,
            policy=request.policy,
            strategy=request.strategy,
            record=request.record,
        )


def _run(
    request: RunRequest, stream: Stream, source: StampedSource, answering: Answering
) -> tuple[int, SeamlineError | None]:
    """All frames, watched; the number of the signal that ended it, 0 for none, and why the source ended early."""
    error: SeamlineError | None = None
    if request.as_events:
        print_json({"event": "started"})
    watching = Watcher(
        stream,
        title=f"{stream.model.name}: {source.name}",
        duration_s=request.seconds,
        as_events=request.as_events,
        is_quiet=request.as_json,
        parent_pid=request.parent_pid,
    )
    answering.stop = stream.stop

    def end() -> None:
        stream.stop()
        answering.hurry()

    with draining(end) as signal_number, watching as watcher:  # whoever sees it run may end it
        if watcher.aside is not None:
            answering.show_beside(watcher.aside)
        results = stream.run(
            source,
            fps=request.fps,
            n_frames=request.n_frames,
            seconds=request.seconds,
            live=request.live,
            feed_back=request.feed_back,
            keep_pictures=answering.draws,
        )
        try:
            for result in results:
                watcher.answered(result, answering.take(result, is_shown=watcher.is_shown))
        except SourceError as exc:  # what could be read has been answered, and its figures are printed all the same
            error = exc
    return signal_number(), error


def print_summary(summary: RunSummary, out: Console) -> None:
    """The figures of a run, in words."""
    counts, latency, energy = summary.frames, summary.latency_s, summary.energy
    if summary.switches:
        out.print(switches_table(summary.switches))
    if energy.j_per_frame is not None:
        out.print(f"energy {energy_text(energy.j_per_frame)} a frame ({energy.source})", markup=False)
    if energy.total_j_per_frame is not None:
        each = ", ".join(f"{name} {energy_text(drew.j_per_frame)}" for name, drew in energy.nodes.items())
        together = "" if len(energy.nodes) < 2 else f", together {energy_text(energy.total_j_per_frame)}"
        out.print(f"drawn a frame, idling included: {each}{together} ({energy.total_source})", markup=False)
    if summary.source is not None and (trouble := trouble_text(summary.source)):
        out.print(trouble, markup=False)
    took = ""
    if latency.mean is not None and latency.p95 is not None:
        took = f"; latency {milliseconds(latency.mean)} mean, {milliseconds(latency.p95)} p95"
    out.print(
        f"{counts.answered} of {counts.accepted} accepted frames answered, {counts.lost} lost, "
        f"{counts.dropped_before_acceptance} dropped before acceptance{took}"
    )
