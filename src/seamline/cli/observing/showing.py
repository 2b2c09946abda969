"""``--dashboard``: the page of a process's streams, as long as they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.core.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from seamline.dashboard.server import Dashboard
    from seamline.runtime.api.stream import Stream
    from seamline.runtime.node.node import Node

DashboardOption = Annotated[
    str | None,
    typer.Option(
        "--dashboard",
        metavar="[HOST:]PORT",
        help="Show a page there: nodes, links, cuts, latency, decisions; and move the cut. See docs/observing.md.",
    ),
]


def open_dashboard(
    node: Node, streams: Sequence[tuple[str, Stream]], address: str | None, *, allow_insecure: bool
) -> Dashboard | None:
    """The page of `streams` with their titles, shown until `node` closes; None without an address.

    Raises `UsageError` without the packages for it, and what `Dashboard` raises.
    """
    if address is None:
        return None
    try:
        from seamline.dashboard.server import Dashboard
        from seamline.dashboard.state import StreamWatch
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise UsageError(
            f"--dashboard needs the package {error.name}", hint="pip install 'seamline[dashboard]'"
        ) from error
    watches = [StreamWatch(stream, node, title) for title, stream in streams]
    dashboard = Dashboard(watches, address, allow_insecure=allow_insecure)
    node.close_with(dashboard)
    return dashboard
