"""Request of `seamline run`, and its execution: a node joins, a stream runs to its end, its figures are printed.

The flags that a request is made of are read in `commands/run.py`; how a running stream is shown is `watching.py`'s.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from seamline.cli.shared.output import TERMINAL, data_console, print_json
from seamline.cli.shared.render import switches_table
from seamline.cli.shared.waiting import draining
from seamline.cli.shared.watching import Watcher
from seamline.core.vocabulary.plans import Codec
from seamline.core.vocabulary.quantities import energy_text, milliseconds
from seamline.model import FrameRecipe
from seamline.model.locate import resolve_model
from seamline.runtime.api.cluster import Cluster
from seamline.runtime.api.stream import Stream
from seamline.runtime.inputs.source import ArraySource
from seamline.runtime.node.starting import NodeOptions, open_node
from seamline.runtime.origin.summary import RunSummary
from seamline.runtime.shared.sources import FrameSource, open_source
from seamline.testbed.slowdown import slowdown_from


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """All that a run is asked for, read and checked as far as words go; nothing has been opened.

    shapes, values, frame: how the model is added, see `ModelStore.add`. source, loop: see `open_source`. feed_back
    to seconds: see `Stream.run`. node: this one, the origin. over to record: see `Cluster.stream`; policy may be a plan
    to pin. follow_loads: slowdowns of this node come on standard input. as_events, as_json: what stdout gets.
    parent_pid: the run ends when that process is gone.
    """

    model: str
    shapes: Mapping[str, tuple[int, ...]]
    values: Mapping[str, float]
    frame: FrameRecipe | None
    source: str
    feed_back: Mapping[str, str]
    loop: bool
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
    follow_loads: bool
    as_events: bool
    as_json: bool
    parent_pid: int | None


def execute(request: RunRequest) -> int:
    """Join the cluster, run the stream to its end, print its figures; the exit code."""
    source = open_source(request.source, loop=request.loop)
    path = resolve_model(request.model, TERMINAL)
    pace = slowdown_from(sys.stdin.fileno(), request.node.slowdown) if request.follow_loads else None
    node = open_node(replace(request.node, pace=pace))
    with Cluster(node, n_expected=len(request.node.connect)) as here:
        stream = _stream(request, here, path, source)
        signal_number = _run(request, stream, source)
        summary = stream.summary()
    if request.as_events:
        print_json({"event": "summary", **summary})
    elif request.as_json:
        print_json(summary)
    else:
        _print_summary(msgspec.convert(summary, RunSummary))
    return 128 + signal_number if signal_number else 0


def _stream(request: RunRequest, here: Cluster, path: Path, source: FrameSource | ArraySource) -> Stream:
    """The stream, ready to run: the model added, nodes profiled, the first plan chosen."""
    stored = here.add_model(path, shapes=request.shapes, values=request.values, preprocess=request.frame, first=source)
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


def _run(request: RunRequest, stream: Stream, source: FrameSource | ArraySource) -> int:
    """All frames, watched; the number of the signal that ended it, 0 for none."""
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
    with draining(stream.stop) as signal_number, watching as watcher:  # whoever sees it run may end it
        results = stream.run(
            source, fps=request.fps, n_frames=request.n_frames, seconds=request.seconds, feed_back=request.feed_back
        )
        for result in results:
            watcher.answered(result)
    return signal_number()


def _print_summary(summary: RunSummary) -> None:
    counts, latency, energy = summary.frames, summary.latency_s, summary.energy
    out = data_console()
    if summary.switches:
        out.print(switches_table(summary.switches))
    if energy.j_per_frame is not None:
        out.print(f"energy {energy_text(energy.j_per_frame)} a frame ({energy.source})", markup=False)
    if energy.total_j_per_frame is not None:
        each = ", ".join(f"{name} {energy_text(drew.j_per_frame)}" for name, drew in energy.nodes.items())
        together = "" if len(energy.nodes) < 2 else f", together {energy_text(energy.total_j_per_frame)}"
        out.print(f"drawn a frame, idling included: {each}{together} ({energy.total_source})", markup=False)
    took = ""
    if latency.mean is not None and latency.p95 is not None:
        took = f"; latency {milliseconds(latency.mean)} mean, {milliseconds(latency.p95)} p95"
    out.print(
        f"{counts.answered} of {counts.accepted} accepted frames answered, {counts.lost} lost, "
        f"{counts.dropped_before_acceptance} dropped before acceptance{took}"
    )
