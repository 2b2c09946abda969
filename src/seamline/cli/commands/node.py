"""`seamline node` and `seamline nodes`: be one node of a cluster, and see who is in it."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.cli.membership.tokens import AddressOption, begin_cluster, join_by, show_token, token_text
from seamline.cli.observing.exporting import open_exporter
from seamline.cli.observing.tracing import open_tracer
from seamline.cli.shared.flag_groups import with_groups
from seamline.cli.shared.logs import JsonLines, is_json
from seamline.cli.shared.node_flags import EngineFlags, NodeFlags
from seamline.cli.shared.observer import USUAL_ENDPOINT, DoorOption, observing
from seamline.cli.shared.options import ClusterOption, DiscoverFlag, InsecureFlag, JsonFlag, one_of
from seamline.cli.shared.output import data_console, print_json, progress_console
from seamline.cli.shared.render import NodeDrew, NodeGpu, NodeRow, nodes_table
from seamline.core.vocabulary.documented import copied, key_docs
from seamline.core.vocabulary.errors import FabricError, UsageError
from seamline.core.vocabulary.nodes import as_node_name
from seamline.core.vocabulary.quantities import energy_text, parse_size

if TYPE_CHECKING:
    from seamline.core.vocabulary.links import LinkEstimate
    from seamline.fabric.messages import Status
    from seamline.runtime.api.cluster import Cluster

WIDE_ENOUGH = 110
"""Columns that a row of `seamline nodes` takes with all that is known."""


MEASURED_AFTER_S = 1.0
"""Whoever is asked to measure a link has done so by then; sooner nothing is said of one that is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReady:
    """What `seamline node --json` prints."""

    name: Annotated[str, "the node's name"]
    tier: Annotated[str, "its tier label"]
    listen: tuple[Annotated[str, "where others can connect to it"], ...]
    metrics: Annotated[str | None, "with `--metrics`, where they are read"] = None
    token: Annotated[str | None, "with `--invite`, what the next machine joins by; good once, for an hour"] = None
    event: Annotated[str, "`ready`, printed once the node takes part; the command then runs until it is ended"] = (
        "ready"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesSummary:
    """What `seamline nodes --json` prints."""

    nodes: tuple[NodeRow, ...]
    unusable: Mapping[str, Annotated[str, "why no stream can use that node, though it is there"]]


JSON_KEYS = {"node": partial(key_docs, NodeReady), "nodes": partial(key_docs, NodesSummary)}


def register(app: typer.Typer) -> None:
    app.command("node")(node)
    app.command("nodes")(nodes)


@with_groups
def node(
    own: NodeFlags,
    engine: EngineFlags,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            envvar="SEAMLINE_NAME",
            help="Its name, unique in the cluster; the host's if not given.",
        ),
    ] = None,
    tier: Annotated[
        str,
        typer.Option(
            "--tier",
            metavar="TIER",
            envvar="SEAMLINE_TIER",
            autocompletion=one_of("edge", "fog", "cloud"),
            help="edge, fog, cloud or any other label.",
        ),
    ] = "cloud",
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory",
            metavar="SIZE",
            envvar="SEAMLINE_MEMORY",
            help="What models may use here, e.g. 512MB; all when not given.",
        ),
    ] = None,
    invite: Annotated[
        bool,
        typer.Option(
            "--invite", help="Begin a cluster on this machine if it is in none, and print a token for the next machine."
        ),
    ] = False,
    address: AddressOption = (),
    check: Annotated[bool, typer.Option("--check", help="Only check what was given, and leave.")] = False,
    json: JsonFlag = False,
) -> int:
    """Take part as a node: prepare and run the segments that streams ask for, until ended (Ctrl-C).

    Who joins and leaves, which streams begin and end here, and what fails is said on stderr, a line each.
    """
    from seamline.cli.shared.waiting import wait_for_end
    from seamline.runtime.identity.refusals import saying_refusals
    from seamline.runtime.node.starting import check_options, open_node
    from seamline.runtime.shared.news import LOGGER as NEWS

    if own.insecure and (invite or own.join is not None):
        raise UsageError("--insecure does without certificates", hint="leave out either it, or --invite and --join")
    own_name = name or as_node_name(socket.gethostname())
    if own.join is not None and not check:
        own_name = join_by(own.join, name)
    elif invite and not check:
        own_name = begin_cluster(own.cluster, own_name)
    memory_bytes = parse_size(memory) if memory is not None else None
    options = own.options(own_name, tier, own.orders(), memory_bytes, secure=invite, serves=True)
    options = replace(options, elsewhere=engine.elsewhere())
    if check:
        check_options(options)
        return 0
    with wait_for_end(own.parent_pid) as wait, showing_news(), saying_refusals(NEWS.info):
        running = open_node(options)
        try:
            exporter = open_exporter(running, own)
            open_tracer(running)
            metrics = None if exporter is None else exporter.url
            endpoints = running.endpoints
            token = token_text(own.cluster, address) if invite else None
            if json:
                print_json(NodeReady(name=own_name, tier=tier, listen=tuple(endpoints), metrics=metrics, token=token))
            else:
                data_console().print(f"{own_name} ({tier}) is ready on {', '.join(endpoints)}", soft_wrap=True)
                if metrics is not None:
                    data_console().print(f"metrics: {metrics}", soft_wrap=True)
                if token is not None:
                    show_token(token)
            if own.insecure:
                progress_console().print("peers are NOT authenticated: use this on a network you trust", style="red")
            number = wait()
        finally:
            running.close()
    return 128 + number if number else 0


@contextmanager
def showing_news() -> Iterator[None]:
    """Within it, the news of this process's node are lines on stderr, each with its time."""
    from seamline.runtime.shared.news import LOGGER, Bounded

    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Bounded())
    plain = logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S")
    handler.setFormatter(JsonLines() if is_json() else plain)
    before = LOGGER.level, LOGGER.propagate
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False  # with --verbose they would be there twice
    LOGGER.addHandler(handler)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(before[0])
        LOGGER.propagate = before[1]


@with_groups
def nodes(
    connect: DoorOption = (),
    cluster: ClusterOption = "default",
    insecure: InsecureFlag = False,
    discover: DiscoverFlag = False,
    wait: Annotated[
        float, typer.Option("--wait", metavar="S", min=0.1, max=60.0, help="Seconds to listen before printing.")
    ] = 1.5,
    watch: Annotated[
        bool, typer.Option("--watch", help="Print again whenever who is there, or why not, has changed, until ended.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """List the nodes of a cluster and how they fare, as seen from here; and why some cannot be used."""
    with observing(connect, cluster, insecure, discover=discover) as here:
        summary = _seen(here, wait)
        hint = None if summary.nodes or summary.unusable else _why_nobody(discover)
        if watch:
            _watch(here, summary, wait, json)
            return
    if hint is not None:
        where = ", ".join(connect or [USUAL_ENDPOINT]) + (" or by multicast" if discover else "")
        raise FabricError(f"no node of cluster `{cluster}` answered at {where} within {wait:g} s", hint=hint)
    _show(summary, json)


def _seen(here: Cluster, wait_s: float) -> NodesSummary:
    """Who is there after listening for `wait_s`."""
    from seamline.runtime.node.status import OBSERVER

    statuses = here.nodes(wait_s=wait_s)
    links = {estimate.target: estimate for estimate in here.node.links.estimates()}
    return NodesSummary(
        nodes=tuple(
            _row(peer, status, links.get(peer)) for peer, status in sorted(statuses.items()) if status.tier != OBSERVER
        ),
        unusable={str(name): why for name, why in here.unusable(is_measured=wait_s >= MEASURED_AFTER_S).items()},
    )


def _why_nobody(discover: bool) -> str:
    from seamline.fabric.discovery import why_closed

    if discover and (why := why_closed()) is not None:
        return f"{why}; --connect tcp/HOST:PORT needs no multicast"
    return "`seamline node` prints where it listens; --connect tcp/HOST:PORT takes that"


def _watch(here: Cluster, summary: NodesSummary, wait_s: float, as_json: bool) -> None:
    """Print whoever is there, and again when somebody came, went or became unusable. Ends with Ctrl-C."""
    shown: object = None
    with suppress(KeyboardInterrupt):
        while True:
            now = ([(row.name, row.tier, row.version) for row in summary.nodes], dict(summary.unusable))
            if now != shown:
                _show(summary, as_json)
                shown = now
            summary = _seen(here, max(wait_s, MEASURED_AFTER_S))


def _show(summary: NodesSummary, as_json: bool) -> None:
    if as_json:
        print_json(summary)
        return
    _print_nodes(summary.nodes)
    for name, why in summary.unusable.items():
        data_console().print(f"{name} cannot be used: {why}", soft_wrap=True)


def _row(name: str, status: Status, link: LinkEstimate | None) -> NodeRow:
    energy = status.energy
    return copied(
        NodeRow,
        status,
        name=name,
        rtt_s=link.rtt_s if link else None,
        goodput_bps=link.goodput_bps if link else None,
        gpu=None if status.gpu is None else copied(NodeGpu, status.gpu),
        energy=None if energy is None else copied(NodeDrew, energy),
    )


def _print_nodes(rows: Sequence[NodeRow]) -> None:
    out = data_console()
    out.print(nodes_table(rows, is_narrow=out.width < WIDE_ENOUGH))
    for row in rows:
        for stream in row.streams:
            out.print(f"stream {stream}")
    for row in rows:
        if (energy := row.energy) is not None:
            drew = f"{energy_text(energy.energy_j)} since it started ({energy.source}, {energy.scope})"
            out.print(f"{row.name} drew {drew}", soft_wrap=True)
