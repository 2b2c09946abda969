"""Observers of a running cluster: commands that join it, ask one node, and leave."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from seamline.cli.shared.options import ClusterOption
from seamline.core.vocabulary.errors import FabricError, PeerLost, UsageError
from seamline.core.vocabulary.nodes import NodeId, node_id

if TYPE_CHECKING:
    from seamline.runtime.api.cluster import Cluster
    from seamline.runtime.node.peer_client import PeerClient

USUAL_ENDPOINT = "tcp/127.0.0.1:7447"

DoorOption = Annotated[
    tuple[str, ...],
    typer.Option(
        "--connect",
        metavar="ENDPOINT",
        envvar="SEAMLINE_CONNECT",
        help=f"Where a node listens; {USUAL_ENDPOINT} if not given.",
    ),
]
SEARCH_S = 5.0
ANOTHER_S = 0.7
"""Nodes say twice a second which streams start there: so long until another one would have been seen."""

_Answer = TypeVar("_Answer")


@contextmanager
def observing(connect: Sequence[str], cluster: str) -> Iterator[Cluster]:
    """Within it, the cluster behind `connect` as seen by a node of its own that takes no part in streams."""
    import secrets

    import seamline
    from seamline.runtime.node.status import OBSERVER

    name = f"{OBSERVER}-{secrets.token_hex(4)}"
    with seamline.connect(
        *(connect or [USUAL_ENDPOINT]), name=name, tier=OBSERVER, cluster=cluster, n_threads=1
    ) as here:
        yield here


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFlags:
    """A running stream, and where to look for it."""

    stream: Annotated[
        str | None,
        typer.Option("--stream", metavar="STREAM", help="As `seamline nodes` shows it; not needed where there is one."),
    ] = None
    connect: DoorOption = ()
    cluster: ClusterOption = "default"

    def ask(
        self, question: Callable[[PeerClient, NodeId, str], Future[_Answer]], timeout_s: float
    ) -> tuple[str, _Answer]:
        """(name of the stream, what its origin answers). question: asks an origin about a stream.

        Raises as `find_stream`; `PeerLost` after `timeout_s` without an answer; the error that is the answer.
        """
        if self.stream is not None:
            origin_of(self.stream)  # a name that can be none is said before anything starts
        with observing(self.connect, self.cluster) as here:
            origin, stream = find_stream(here, self.stream)
            try:
                return stream, question(here.node.client, origin, stream).result(timeout=timeout_s)
            except TimeoutError:
                raise PeerLost(
                    f"`{origin}` did not answer within {timeout_s:.0f} s", hint="`seamline nodes` shows how it fares"
                ) from None


def origin_of(stream: str) -> NodeId:
    """The node where `stream` starts, whose name it carries. Raises `UsageError` when it is no stream's name."""
    origin, dash, _ = stream.rpartition("-")
    if not dash:
        raise UsageError(f"`{stream}` is not a stream's name", hint="`seamline nodes` shows them")
    return node_id(origin)


def find_stream(here: Cluster, stream: str | None) -> tuple[NodeId, str]:
    """(its origin, its name) of `stream`, of the only one there is when None; its origin is there.

    Raises `UsageError` when the origin is not there or several streams run, `FabricError` when none does.
    """
    if stream is None:
        stream = _only_stream(here)
    origin = origin_of(stream)
    here.wait_nodes([origin])
    return origin, stream


def _only_stream(here: Cluster) -> str:
    until_s = time.monotonic() + SEARCH_S
    while not (found := _streams(here)):
        if time.monotonic() > until_s:
            nodes = ", ".join(sorted(here.nodes())) or "none"
            raise FabricError(
                f"no stream runs in the cluster; nodes seen: {nodes}",
                hint="`seamline run` starts one; --connect and --cluster say where to look",
            )
        time.sleep(0.05)
    time.sleep(ANOTHER_S)
    found |= _streams(here)
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} streams run: {', '.join(sorted(found))}", hint=f"name one: --stream {min(found)}"
        )
    return found.pop()


def _streams(here: Cluster) -> set[str]:
    return {stream for status in here.nodes().values() for stream in status.streams}
