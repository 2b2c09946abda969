"""Observers of a running cluster: commands that join it, ask one node, and leave."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from seamline.cli.shared.node_flags import FOUND, HERE
from seamline.cli.shared.options import ClusterOption, InsecureFlag
from seamline.core.vocabulary.errors import FabricError, IdentityError, UsageError
from seamline.core.vocabulary.nodes import NodeId

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
        help=f"Where a node listens; where this machine joined, or {USUAL_ENDPOINT}, if not given.",
    ),
]
SEARCH_S = 5.0
LISTEN_S = 1.5
ANOTHER_S = 0.7
"""Nodes say twice a second which streams start there: so long until another one would have been seen."""

_Answer = TypeVar("_Answer")


@contextmanager
def observing(
    connect: Sequence[str], cluster: str, insecure: bool = False, *, steers: bool = False, discover: bool = False
) -> Iterator[Cluster]:
    """Within it, the cluster behind `connect` as seen by a node of its own that takes no part in streams.

    steers: it will ask for changes, which a certificate of the role observer does not allow. discover: look on the
    local network, too.
    """
    import secrets

    import seamline
    from seamline.runtime.node.status import OBSERVER

    name, usual = f"{OBSERVER}-{secrets.token_hex(4)}", [USUAL_ENDPOINT]
    if not insecure and (owner := own_member(cluster)) is not None:
        name, usual = f"{name}-{owner}", usual_doors(cluster, owner)
        if steers:
            require_steering(cluster, owner)
    with seamline.connect(
        *(connect or usual),
        name=name,
        tier=OBSERVER,
        listen=(FOUND if discover else HERE,),
        cluster=cluster,
        n_threads=1,
        allow_insecure=insecure,
        discover=discover,
    ) as here:
        yield here


def require_nodes(here: Cluster, cluster: str) -> None:
    """Listen for a moment. Raises `FabricError` when no node answers meanwhile."""
    if not here.nodes(wait_s=LISTEN_S):
        raise FabricError(
            f"no node of cluster `{cluster}` answered within {LISTEN_S:g} s",
            hint="`seamline node` prints where it listens; --connect tcp/HOST:PORT takes that",
        )


def own_member(cluster: str) -> str | None:
    """The first member of `cluster` that this user may be."""
    from seamline.identity.kept import names

    return next(iter(names(cluster)), None)


def usual_doors(cluster: str, name: str) -> list[str]:
    """Where member `name` of this machine finds its cluster: where it joined, or the node here."""
    from seamline.identity.kept import load

    return list(load(cluster, name).contact.nodes) or ["tls/127.0.0.1:7447"]


def require_steering(cluster: str, name: str) -> None:
    """Raise `IdentityError` when member `name` of this machine may only look."""
    from seamline.identity.kept import load
    from seamline.identity.members import Role

    if load(cluster, name).member.role is Role.OBSERVER:
        raise IdentityError(
            f"the certificate of `{name}` is for the role observer: it may look, not change a stream",
            hint="do it where an origin or a node has joined",
        )


def why_only_looks(cluster: str, insecure: bool) -> str:
    """Why whoever observes from here may change nothing, in words; empty when they may."""
    try:
        if not insecure and (owner := own_member(cluster)) is not None:
            require_steering(cluster, owner)
    except IdentityError as error:
        return error.message
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFlags:
    """A running stream, and where to look for it."""

    stream: Annotated[
        str | None,
        typer.Option("--stream", metavar="STREAM", help="As `seamline nodes` shows it; not needed where there is one."),
    ] = None
    connect: DoorOption = ()
    cluster: ClusterOption = "default"
    insecure: InsecureFlag = False

    def ask(
        self, question: Callable[[PeerClient, NodeId, str], Future[_Answer]], timeout_s: float
    ) -> tuple[str, _Answer]:
        """(name of the stream, what its origin answers). question: asks an origin about a stream.

        Raises as `find_stream`; `PeerLost` after `timeout_s` without an answer; the error that is the answer.
        """
        from seamline.runtime.api.observer import answered, origin_of

        if self.stream is not None:
            origin_of(self.stream)  # a name that can be none is said before anything starts
        with observing(self.connect, self.cluster, self.insecure, steers=True) as here:
            origin, stream = find_stream(here, self.stream)
            return stream, answered(question(here.node.client, origin, stream), origin, timeout_s)


def find_stream(here: Cluster, stream: str | None) -> tuple[NodeId, str]:
    """(its origin, its name) of `stream`, of the only one there is when None; its origin is there.

    Raises `UsageError` when the origin is not there or several streams run, `FabricError` when none does.
    """
    from seamline.runtime.api.observer import origin_of

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
