"""`seamline top`: a running cluster and the wheel in a terminal; elsewhere one look as text or JSON."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from seamline.cli.shared.flag_groups import with_groups
from seamline.cli.shared.observer import DoorOption, observing, require_nodes, why_only_looks
from seamline.cli.shared.options import ClusterOption, InsecureFlag, JsonFlag
from seamline.cli.shared.output import data_console, print_result
from seamline.core.vocabulary.documented import key_docs

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER_S = 5.0


def _keys() -> Mapping[str, str]:
    from seamline.cli.observing.top_view import TopSummary

    return key_docs(TopSummary)


JSON_KEYS = {"top": _keys}


def register(app: typer.Typer) -> None:
    app.command("top")(top)


@with_groups
def top(
    connect: DoorOption = (),
    cluster: ClusterOption = "default",
    insecure: InsecureFlag = False,
    json: JsonFlag = False,
) -> None:
    """Show the nodes, links, streams and decisions of a running cluster, and pin, release and judge by keys.

    Where output is no terminal, and with --json, it looks once. With an observer's certificate keys change nothing.
    """
    from seamline.cli.observing.screen import Screen
    from seamline.cli.observing.top_view import summary_of, top_view
    from seamline.runtime.api.observer import StreamObserver

    with observing(connect, cluster, insecure) as here:
        require_nodes(here, cluster)
        observer = StreamObserver(here.node)
        screen = Screen(observer, why_only_looks(cluster, insecure))
        if not json and sys.stdin.isatty() and sys.stdout.isatty():
            screen.run(data_console())
            return
        screen.look()
        state = screen.state()
        observer.refresh(tuple(observer.briefs), with_costs=(state.chosen,), wait_s=ANSWER_S)
        state = screen.state()
        print_result(summary_of(state), as_json=json, words=lambda: top_view(state))
