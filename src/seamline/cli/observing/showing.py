"""``--dashboard``: the page of a process's streams, as long as they run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.core.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from seamline.dashboard.picture import Newest
    from seamline.dashboard.server import Dashboard
    from seamline.runtime.node.node import Node

DashboardOption = Annotated[
    str | None,
    typer.Option(
        "--dashboard",
        metavar="[HOST:]PORT",
        help="Show a page there: nodes, links, cuts, latency, decisions; and move the cut. See docs/observing.md.",
    ),
]


PRIVATE = "No picture: --private keeps frames on this machine, and a page may be looked at from elsewhere."


def open_dashboard(
    node: Node, address: str | None, *, allow_insecure: bool, is_private: bool, newest: Mapping[str, Newest]
) -> Dashboard | None:
    """The page of the streams that start at `node`, shown until it closes; None without an address.

    newest: frame of each stream, not shown when they are private.

    Raises `UsageError` without the packages for it, and what `Dashboard` raises.
    """
    if address is None:
        return None
    from seamline.cli.observing.sign_in_links import LinkOffer
    from seamline.runtime.api.observer import StreamObserver

    dashboard = dashboard_kind()(
        StreamObserver(node, own_only=True),
        address,
        allow_insecure=allow_insecure,
        pictures={} if is_private else newest,
        why_no_picture=PRIVATE,
    )
    node.close_with(dashboard)
    node.close_with(LinkOffer(dashboard))
    return dashboard


def dashboard_kind() -> type[Dashboard]:
    """The class, whose packages are not everywhere. Raises `UsageError` where they are not."""
    try:
        from seamline.dashboard.server import Dashboard
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise UsageError(
            f"a dashboard needs the package {error.name}", hint="pip install 'seamline[dashboard]'"
        ) from error
    return Dashboard
