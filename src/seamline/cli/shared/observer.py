"""Observers of a running cluster: commands that join it, ask one node, and leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from seamline.core.vocabulary.errors import PeerLost, UsageError
from seamline.core.vocabulary.nodes import NodeId, node_id

if TYPE_CHECKING:
    from seamline.runtime.api.cluster import Cluster

USUAL_ENDPOINT = "tcp/127.0.0.1:7447"

DoorOption = Annotated[
    list[str] | None,
    typer.Option("--connect", metavar="ENDPOINT", help=f"Where a node listens; {USUAL_ENDPOINT} if not given."),
]
StreamOption = Annotated[
    str, typer.Option("--stream", metavar="STREAM", help="The stream, as `seamline nodes` shows it.")
]
_Answer = TypeVar("_Answer")


@contextmanager
def observing(connect: Sequence[str] | None, cluster: str) -> Iterator[Cluster]:
    """Within it, the cluster behind `connect` as seen by a node of its own that takes no part in streams."""
    import secrets

    import seamline
    from seamline.runtime.node.status import OBSERVER

    name = f"{OBSERVER}-{secrets.token_hex(4)}"
    with seamline.connect(
        *(connect or [USUAL_ENDPOINT]), name=name, tier=OBSERVER, cluster=cluster, n_threads=1
    ) as here:
        yield here


def origin_of(stream: str) -> NodeId:
    """The node where `stream` starts, whose name it carries. Raises `UsageError` when it is no stream's name."""
    origin, dash, _ = stream.rpartition("-")
    if not dash:
        raise UsageError(f"`{stream}` is not a stream's name", hint="`seamline nodes` shows them")
    return node_id(origin)


def wait_answer(asked: NodeId, answer: Future[_Answer], timeout_s: float) -> _Answer:
    """What `asked` says. Raises `PeerLost` when that takes longer than `timeout_s`, else the error it answers with."""
    try:
        return answer.result(timeout=timeout_s)
    except TimeoutError:
        raise PeerLost(
            f"`{asked}` did not answer within {timeout_s:.0f} s", hint="`seamline nodes` shows how it fares"
        ) from None
