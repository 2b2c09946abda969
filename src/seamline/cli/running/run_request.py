"""Request of `seamline run`, and its execution: a node joins, a stream runs to its end, its figures are printed.

The flags that a request is made of are read in `commands/run.py`; how a running stream is shown is `watching.py`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console

from seamline.cli.observing.exporting import open_exporter
from seamline.cli.observing.showing import open_dashboard
from seamline.cli.observing.tracing import open_tracer
from seamline.cli.running.answering import Answering, saved_json
from seamline.cli.running.run_flags import AnswerFlags, RouteFlags, RunFlags
from seamline.cli.running.watching import Watcher
from seamline.cli.shared.model_flags import ModelFlags
from seamline.cli.shared.node_flags import NodeFlags
from seamline.cli.shared.output import TERMINAL, print_json
from seamline.cli.shared.planning_options import PlanningFlags, as_usage, checked_codecs
from seamline.cli.shared.render import switches_table
from seamline.cli.shared.waiting import DRAIN_S, draining
from seamline.core.adaptation.policy import policy_named
from seamline.core.cost.problem import EnergyScope
from seamline.core.switching import strategy_named
from seamline.core.vocabulary.errors import PlanError, SeamlineError, SourceError, UsageError
from seamline.core.vocabulary.nodes import node_id
from seamline.core.vocabulary.plans import EIGHT_BIT_CODECS, Plan
from seamline.core.vocabulary.quantities import energy_text, milliseconds
from seamline.model import StoredModel
from seamline.model.locate import resolve_model
from seamline.runtime.api.cluster import Cluster
from seamline.runtime.api.stream import Stream
from seamline.runtime.identity.web_address import parse_web_address
from seamline.runtime.node.starting import NodeOptions, open_node
from seamline.runtime.origin.answer_reading import AnswerReading
from seamline.runtime.origin.summary import AuditFigures, RunSummary
from seamline.runtime.sources.frames import StampedSource
from seamline.runtime.sources.health import trouble_text
from seamline.runtime.sources.opening import open_source


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """All that a run is asked for; nothing has been opened. node: this one, the origin. as_json: what stdout gets.

    own: the flags it was made of. begun: set when frames may begin, None when they may at once.
    """

    model: str
    source: str
    about: ModelFlags
    asked: RunFlags
    planning: PlanningFlags
    answers: AnswerFlags
    node: NodeOptions
    own: NodeFlags
    begun: threading.Event | None
    as_json: bool

    @property
    def shows_pictures(self) -> bool:
        """Whether a page shows frames: never those that are private."""
        return self.asked.dashboard is not None and self.planning.private == 0

    def is_live(self, source: StampedSource) -> bool:
        """Whether the newest frame wins."""
        asked = self.asked.is_live()
        return source.is_live if asked is None else asked


def execute(request: RunRequest) -> int:
    """Join the cluster, run the stream to its end, print its figures; the exit code."""
    check_words(request)
    source = open_source(request.source, loop=request.asked.loop)
    path = resolve_model(request.model, TERMINAL)
    with closing(source):
        source.first()  # one that cannot be read is said before anything starts
        answering = Answering(
            request.answers,
            source,
            model=path.stem,
            is_live=request.is_live(source),
            is_quiet=request.as_json or request.asked.events,
        )
        return _with_source(request, path, source, answering)


def _with_source(request: RunRequest, path: Path, source: StampedSource, answering: Answering) -> int:
    with answering, Cluster(open_node(request.node), n_expected=len(request.node.connect)) as here:
        exporter = open_exporter(here.node, request.own)
        open_tracer(here.node, request.asked.trace_sample)
        stream = make_stream(request, here, path, source, answering)
        if exporter is not None:
            exporter.watch(stream)
            answering.warn(exporter.url, word="metrics")
        title = f"{stream.model.name}: {source.name}"
        stream.title = title
        answering.keeps_newest = request.shows_pictures
        dashboard = open_dashboard(
            here.node,
            request.asked.dashboard,
            allow_insecure=request.own.insecure,
            is_private=request.planning.private > 0,
            newest={stream.name: answering.seen_last},
        )
        link = None if dashboard is None else dashboard.link()
        if request.asked.events:
            print_json({"event": "ready", "dashboard": link})
        elif link is not None:
            answering.warn(link, word="dashboard")
        if request.begun is not None:
            request.begun.wait()
        signal_number, error = _run(request, stream, source, answering, title)
        summary = stream.summary()
        warn_if_kept_here(request, stream, answering)
    if request.asked.events:
        print_json({"event": "summary", **summary, **saved_json(answering)})
    elif request.as_json:
        print_json({**summary, **saved_json(answering)})
    else:
        print_summary(msgspec.convert(summary, RunSummary), answering.console)
        answering.print_saved()
    return exit_code(signal_number, error, [answering])


def exit_code(signal_number: int, error: Exception | None, answerings: Sequence[Answering]) -> int:
    """Of a run that has ended: by a signal, 0 for none. Raises `error`, or why answers are missing somewhere."""
    if error is None and not signal_number:
        error = next((failed for each in answerings if (failed := each.error())), None)
    if error is not None:
        raise error
    return 128 + signal_number if signal_number else 0


def check_words(request: RunRequest) -> None:
    """Raise `UsageError` for flags that can mean nothing, before a node is started and a model is measured."""
    request.asked.is_live()
    request.asked.feed_backs()
    check_route(request.asked, request.planning, request.about)


def check_route(asked: RouteFlags, planning: PlanningFlags, about: ModelFlags) -> None:
    """The same for the flags about plans and models."""
    limits = planning.limits()
    nodes = [node_id(name) for name in asked.nodes()]
    if asked.dashboard is not None:
        parse_web_address(asked.dashboard, "--dashboard")
    about.options()
    planning.goal()
    checked_codecs(planning.codecs)
    try:
        policy_named(asked.policy_or_plan)
    except PlanError as error:
        raise as_usage(error) from error
    strategy_named(asked.strategy)
    EnergyScope.parse(planning.energy_scope).among(nodes)
    limited = {*limits["trust"], *limits["memory_bytes"], *limits["pins"].values()}
    if unknown := sorted(limited - set(nodes)):
        raise UsageError(
            f"a limit names `{unknown[0]}`, which is not among the nodes", hint=f"one of {', '.join(nodes)}"
        )


def make_stream(request: RunRequest, here: Cluster, path: Path, source: StampedSource, answering: Answering) -> Stream:
    """The stream, ready to run: the model added, nodes profiled, the first plan chosen."""
    said = request.about.options()
    stored = here.add_model(path, shapes=said.shapes, values=said.values, preprocess=said.frame, first=source)
    answering.choose_head(stored)
    return open_stream(
        here, stored, request.asked, request.planning, record=request.asked.record, reading=answering.reading
    )


def open_stream(
    here: Cluster,
    stored: StoredModel,
    asked: RouteFlags,
    planning: PlanningFlags,
    *,
    record: Path | None = None,
    reading: AnswerReading | None = None,
) -> Stream:
    """A stream of `stored` as the flags say. record, reading: as of `Cluster.stream`."""
    with TERMINAL.working(f"measuring {stored.name} on {', '.join(asked.nodes())}"):
        return here.stream(
            stored,
            over=asked.nodes(),
            objective=str(planning.goal()),
            energy_scope=planning.energy_scope,
            private=planning.private,
            codecs=planning.codecs if asked.plan is None else EIGHT_BIT_CODECS,  # a plan is allowed what it says
            min_agreement=planning.min_agreement,
            policy=asked.policy_or_plan,
            strategy=asked.strategy,
            record=record,
            reading=reading,
            priority=asked.priority,
            **planning.limits(),
        )


def run_frames(
    request: RunRequest, stream: Stream, source: StampedSource, answering: Answering, watcher: Watcher
) -> None:
    """All frames of `source` through `stream`, to whoever watches and to the places where answers go."""
    asked = request.asked
    results = stream.run(
        source,
        fps=asked.fps,
        n_frames=asked.frames,
        seconds=asked.seconds,
        live=asked.is_live(),
        feed_back=asked.feed_backs(),
        keep_pictures=answering.draws,
    )
    for result in results:
        watcher.answered(result, answering.take(result, is_shown=watcher.is_shown))


def warn_if_kept_here(request: RunRequest, stream: Stream, answering: Answering) -> None:
    """Say so where frames should have been offloaded, and none was."""
    plans = [Plan.parse(used["plan"]) for used in stream.summary()["plan_timeline"]]
    if request.asked.policy_or_plan == "offload" and not any(plan.is_offload for plan in plans):
        answering.warn(f"--policy offload sent no frame: {stream.snapshot().decision}")


def _run(
    request: RunRequest, stream: Stream, source: StampedSource, answering: Answering, title: str
) -> tuple[int, SeamlineError | None]:
    """All frames, watched; the number of the signal that ended it, 0 for none, and why the source ended early."""
    error: SeamlineError | None = None
    if request.asked.events:
        print_json({"event": "started"})
    watching = Watcher(
        stream,
        title=title,
        duration_s=request.asked.seconds,
        as_events=request.asked.events,
        is_quiet=request.as_json,
        parent_pid=request.own.parent_pid,
    )
    answering.stop = stream.stop

    def end() -> None:
        stream.stop(within_s=DRAIN_S)
        answering.hurry()

    with draining(end) as signal_number, watching as watcher:  # whoever sees it run may end it
        if watcher.aside is not None:
            answering.show_beside(watcher.aside)
        try:
            run_frames(request, stream, source, answering, watcher)
        except SourceError as exc:  # what could be read has been answered, and its figures are printed all the same
            error = exc
    return signal_number(), error


def print_summary(summary: RunSummary, out: Console) -> None:
    """The figures of a run, in words."""
    counts, latency, energy = summary.frames, summary.latency_s, summary.energy
    if summary.switches:
        out.print(switches_table(summary.switches))
    if energy.j_per_frame is not None:
        out.print(f"energy {energy_text(energy.j_per_frame)} a frame ({energy.source})")
    if energy.total_j_per_frame is not None:
        each = ", ".join(f"{name} {energy_text(drew.j_per_frame)}" for name, drew in energy.nodes.items())
        together = "" if len(energy.nodes) < 2 else f", together {energy_text(energy.total_j_per_frame)}"
        out.print(f"drawn a frame, idling included: {each}{together} ({energy.total_source})")
    if summary.source is not None and (trouble := trouble_text(summary.source)):
        out.print(trouble)
    if summary.audit is not None:
        out.print(audit_text(summary.audit))
    took = ""
    if latency.mean is not None and latency.p95 is not None:
        took = f"; latency {milliseconds(latency.mean)} mean, {milliseconds(latency.p95)} p95"
    out.print(
        f"{counts.answered} of {counts.accepted} accepted frames answered, {counts.lost} lost, "
        f"{counts.dropped_before_acceptance} dropped before acceptance{took}"
    )


def audit_text(audit: AuditFigures) -> str:
    """What audits found, in words."""
    share = "" if audit.agreement_ratio is None else f", {audit.agreement_ratio:.1%} of their answers agree"
    return "; ".join((f"{audit.n_frames} frames also ran unsplit{share}", *audit.withdrawn))
