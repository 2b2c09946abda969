"""`seamline dashboard`: the page of a whole cluster, of streams that other processes and machines run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from seamline.cli.observing.showing import dashboard_kind
from seamline.cli.shared.flag_groups import with_groups
from seamline.cli.shared.observer import DoorOption, observing, require_nodes, why_only_looks
from seamline.cli.shared.options import ClusterOption, InsecureFlag, JsonFlag
from seamline.cli.shared.output import data_console, print_json, print_result
from seamline.config.paths import cache_dir
from seamline.core.vocabulary.documented import key_docs


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardReady:
    """What `seamline dashboard --json` prints."""

    url: Annotated[str, "where whoever reaches it may look"]
    link: Annotated[str, "what makes the first browser that opens it one that may steer"]
    only_looks: Annotated[str, "why nothing can be changed there; empty where it can"]
    event: Annotated[str, "`ready`, printed once the page is there; the command then runs until it is ended"] = "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardLink:
    """What `seamline dashboard --link --json` prints."""

    link: Annotated[str, "good for one browser"]


JSON_KEYS = {"dashboard": partial(key_docs, DashboardReady)}


def register(app: typer.Typer) -> None:
    app.command("dashboard")(dashboard)


@with_groups
def dashboard(
    connect: DoorOption = (),
    cluster: ClusterOption = "default",
    insecure: InsecureFlag = False,
    at: Annotated[
        str, typer.Option("--at", metavar="[HOST:]PORT", help="Where the page is; beyond this machine with --insecure.")
    ] = "8080",
    link: Annotated[
        bool, typer.Option("--link", help="Print another link that lets one browser steer the page that runs there.")
    ] = False,
    json: JsonFlag = False,
) -> int:
    """Show a page of all streams of a running cluster, until ended (Ctrl-C): see docs/observing.md.

    With the certificate of an observer the page shows everything and changes nothing.
    """
    from seamline.cli.observing.sign_in_links import LinkOffer
    from seamline.cli.shared.waiting import wait_for_end
    from seamline.runtime.api.observer import StreamObserver

    if link:
        return _print_link(at, json)
    make = dashboard_kind()
    only_looks = why_only_looks(cluster, insecure)
    with wait_for_end() as wait, observing(connect, cluster, insecure) as here:
        require_nodes(here, cluster)
        page = make(
            StreamObserver(here.node),
            at,
            allow_insecure=insecure,
            history=_history(cluster),
            only_looks=only_looks,
            option="--at",
        )
        here.node.close_with(page)
        here.node.close_with(LinkOffer(page))
        ready = DashboardReady(url=page.url, link=page.link(), only_looks=only_looks)
        if json:
            print_json(ready)
        else:
            data_console().print(f"dashboard: {ready.link}", soft_wrap=True)
        number = wait()
    return 128 + number if number else 0


def _print_link(at: str, as_json: bool) -> int:
    """Of the page of this user that runs on this machine, of a run as of a cluster."""
    from seamline.cli.observing.sign_in_links import ask_link
    from seamline.runtime.identity.web_address import parse_web_address

    made = ask_link(parse_web_address(at, "--at").port)
    print_result(DashboardLink(link=made), as_json=as_json, words=lambda: made)
    return 0


def _history(cluster: str) -> Path:
    """Where the figures of a day are kept, 64 MB at most; one file for all dashboards of a cluster on this machine."""
    folder = cache_dir() / "history"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{cluster}.sqlite3"
