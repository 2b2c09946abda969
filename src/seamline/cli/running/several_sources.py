"""`seamline run` with several sources: a stream for each over the same nodes, all at once.

The streams plan, switch and count each for itself; they meet on the nodes. A source that fails ends its own stream
only. What is shown and saved of each is told apart by the name of its source.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from seamline.cli.observing.exporting import open_exporter
from seamline.cli.observing.showing import open_dashboard
from seamline.cli.observing.tracing import open_tracer
from seamline.cli.running.answering import Answering, saved_json
from seamline.cli.running.run_request import (
    RunRequest,
    check_words,
    exit_code,
    make_stream,
    print_summary,
    run_frames,
    warn_if_kept_here,
)
from seamline.cli.running.watching import Watcher
from seamline.cli.shared.output import TERMINAL, print_json, progress_console
from seamline.cli.shared.waiting import DRAIN_S, draining
from seamline.core.vocabulary.errors import UsageError
from seamline.model.locate import resolve_model
from seamline.runtime.api.cluster import Cluster
from seamline.runtime.api.stream import Stream
from seamline.runtime.node.starting import open_node
from seamline.runtime.origin.summary import RunSummary
from seamline.runtime.sources.frames import StampedSource
from seamline.runtime.sources.opening import open_source

LOOK_S = 0.1
"""How often signals are looked for while streams run on threads of their own."""


@dataclass
class _Run:
    """One source on its way: what is asked for it, what reads it, and what came of it."""

    request: RunRequest
    name: str
    source: StampedSource
    answering: Answering
    error: Exception | None = None
    summary: dict[str, Any] = field(default_factory=dict)

    def run(self, stream: Stream) -> None:
        """All frames; an error is kept."""
        self.answering.stop = stream.stop
        watching = Watcher(
            stream,
            title=self.name,
            duration_s=self.request.asked.seconds,
            as_events=False,
            is_quiet=self.request.as_json,
            parent_pid=self.request.own.parent_pid,
            name=self.name,
        )
        try:
            with watching as watcher:
                run_frames(self.request, stream, self.source, self.answering, watcher)
        except Exception as error:  # the other streams go on; it is said at the end
            self.error = error
        self.summary = stream.summary()
        warn_if_kept_here(self.request, stream, self.answering)


def execute_several(request: RunRequest, texts: Sequence[str]) -> int:
    """A stream for each source that `texts` name, to the end of all; their figures one after the other; the exit code.

    Raises the first error of a stream, after all have ended.
    """
    if request.asked.record is not None or request.asked.events:
        raise UsageError("--record and --events take a single --source", hint="run one source at a time")
    check_words(request)
    path = resolve_model(request.model, TERMINAL)
    with ExitStack() as opened:
        sources = [opened.enter_context(closing(open_source(text, loop=request.asked.loop))) for text in texts]
        for source in sources:
            source.first()  # one that cannot be read is said before anything starts
        names = told_apart([source.name for source in sources])
        slugs = told_apart([slug_of(name) for name in names])
        runs = [_run_of(request, *each, path) for each in zip(names, slugs, sources, strict=True)]
        signal_number = _run_all(request, runs, path)
    for run in runs:
        _print_figures(run)
    errors = [run.error for run in runs if run.error is not None]
    for other in errors[1:]:
        progress_console().print(f"warning: {other}", soft_wrap=True)
    return exit_code(signal_number, errors[0] if errors else None, [run.answering for run in runs])


def told_apart(names: Sequence[str]) -> list[str]:
    """`names`, those that are alike with a number behind them: ``cam-1``, ``cam-2``."""
    numbered = [f"{name}-{names[: at + 1].count(name)}" for at, name in enumerate(names)]
    return [new if names.count(name) > 1 else name for name, new in zip(names, numbered, strict=True)]


def slug_of(name: str) -> str:
    """`name` as part of a file's name or a topic."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "source"


def place_of(text: str, slug: str) -> str:
    """Where the answers of one source go, when `text` is asked for all: a file, folder or topic of its own.

    A web address, and stdout, get all answers; each says of which source it is.
    """
    scheme, separator, _ = text.partition("://")
    if text == "-" or (separator and scheme in ("http", "https")):
        return text
    if separator:
        address, mark, options = text.partition("?")
        return f"{address.rstrip('/')}/{slug}{mark}{options}"
    path = Path(text)
    if text.endswith("/") or path.is_dir():
        return f"{text.rstrip('/')}/{slug}/"
    return str(path.with_name(f"{path.stem}-{slug}{path.suffix}"))


def _run_of(request: RunRequest, name: str, slug: str, source: StampedSource, path: Path) -> _Run:
    save = tuple(place_of(text, slug) for text in request.answers.save)
    answering = Answering(
        replace(request.answers, save=save),
        source,
        model=path.stem,
        is_live=request.is_live(source),
        is_quiet=request.as_json,
        name=name,
    )
    return _Run(request, name, source, answering)


def _run_all(request: RunRequest, runs: Sequence[_Run], path: Path) -> int:
    """Join the cluster and run all streams to their ends; the number of the signal that ended them, 0 for none."""
    with ExitStack() as writing:
        for run in runs:
            writing.enter_context(run.answering)
        node = open_node(request.node)
        with Cluster(node, n_expected=len(request.node.connect)) as here:
            open_tracer(node, request.asked.trace_sample)
            exporter = open_exporter(node, request.own)
            streams = [make_stream(request, here, path, run.source, run.answering) for run in runs]
            if exporter is not None:
                progress_console().print(f"metrics: {exporter.url}", soft_wrap=True)
                for stream in streams:
                    exporter.watch(stream)
            for run, stream in zip(runs, streams, strict=True):
                stream.title = f"{stream.model.name}: {run.name}"
                run.answering.keeps_newest = request.shows_pictures
            dashboard = open_dashboard(
                node,
                request.asked.dashboard,
                allow_insecure=request.own.insecure,
                is_private=request.planning.private > 0,
                newest={stream.name: run.answering.seen_last for run, stream in zip(runs, streams, strict=True)},
            )
            if dashboard is not None:
                progress_console().print(f"dashboard: {dashboard.link()}", soft_wrap=True)

            def end() -> None:
                for run, stream in zip(runs, streams, strict=True):
                    stream.stop(within_s=DRAIN_S)
                    run.answering.hurry()

            threads = [
                threading.Thread(target=run.run, args=(stream,), name=f"run {run.name}")
                for run, stream in zip(runs, streams, strict=True)
            ]
            with draining(end) as signal_number:
                for thread in threads:
                    thread.start()
                for thread in threads:
                    while thread.is_alive():
                        thread.join(LOOK_S)
            return signal_number()


def _print_figures(run: _Run) -> None:
    if run.request.as_json:
        print_json({**run.summary, **saved_json(run.answering)})
        return
    out = run.answering.console
    out.print(f"{run.name}:")
    print_summary(msgspec.convert(run.summary, RunSummary), out)
    run.answering.print_saved()
