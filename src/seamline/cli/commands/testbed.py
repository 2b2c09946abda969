"""`seamline testbed`: testbed files, checked before anything is started from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seamline.cli.shared.options import JsonFlag

JSON_KEYS = {
    "testbed check": {
        "name": "name of the testbed",
        "nodes": "its machines",
        "nodes[].name": "name of the node",
        "nodes[].tier": "its tier",
        "nodes[].slowdown": "how many times longer computing takes than on this machine",
        "nodes[].threads": "threads for computing, 0 for all cores",
        "nodes[].power": "what it draws, as for `seamline node --power`; null when the file does not say",
        "links": "its links, the same in both directions",
        "links[].between": "the two nodes",
        "links[].rate_bps": "bits per second, null when not shaped",
        "links[].delay_s": "one-way delay",
        "links[].jitter_s": "how far the delay varies to either side",
        "links[].loss_ratio": "share of packets lost",
        "links[].trace": "file of recorded rates, null when there is none",
        "changes": "how links change during a run; null leaves a value as it is",
        "changes[].between": "the two nodes of the link",
        "changes[].at_s": "when, after the beginning of the run; null when `at_ratio` says it",
        "changes[].at_ratio": "when, as a share of the run; null when `at_s` says it",
        "changes[].rate_bps": "bits per second from then on",
        "changes[].delay_s": "one-way delay from then on",
        "changes[].loss_ratio": "share of packets lost from then on",
        "changes[].silent": "whether the link carries nothing from then on",
        "loads": "which machines become slower or quicker during a run",
        "loads[].node": "name of the node",
        "loads[].at_s": "when, after the beginning of the run; null when `at_ratio` says it",
        "loads[].at_ratio": "when, as a share of the run; null when `at_s` says it",
        "loads[].slowdown": "how many times longer computing takes from then on than on this machine",
    }
}


def register(app: typer.Typer) -> None:
    """Add the `testbed` group to `app`."""
    group = typer.Typer()
    group.callback()(_group)
    group.command(name="check")(check)
    app.add_typer(group, name="testbed", help="Check testbed files.")


def _group() -> None:
    # A group with one command would otherwise lose the command's name.
    return


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A testbed as TOML.", show_default=False)],
    as_json: JsonFlag = False,
) -> None:
    """Read FILE, say what is wrong with it, or print what it describes."""
    from seamline.cli.shared.output import data_console, print_json
    from seamline.cli.shared.tables import testbed_tables
    from seamline.config import load_testbed

    testbed = load_testbed(file)
    if not as_json:
        data_console().print(testbed_tables(testbed))
        return
    print_json(
        {
            "name": testbed.name,
            "nodes": [
                {
                    "name": node.name,
                    "tier": node.tier,
                    "slowdown": node.slowdown,
                    "threads": node.threads,
                    "power": None if node.power_spec is None else node.power_spec.to_text(),
                }
                for node in testbed.nodes
            ],
            "links": [
                {
                    "between": list(link.between),
                    "rate_bps": link.rate_bps or None,
                    "delay_s": link.delay_s,
                    "jitter_s": link.jitter_s,
                    "loss_ratio": link.loss_ratio,
                    "trace": None if link.trace is None else str(link.trace),
                }
                for link in testbed.links
            ],
            "changes": [
                {
                    "between": list(change.between),
                    "at_s": change.at_s,
                    "at_ratio": change.at_ratio,
                    "rate_bps": change.rate_bps,
                    "delay_s": change.delay_s,
                    "loss_ratio": change.loss_ratio,
                    "silent": change.silent,
                }
                for change in testbed.changes
            ],
            "loads": [
                {"node": load.node, "at_s": load.at_s, "at_ratio": load.at_ratio, "slowdown": load.slowdown}
                for load in testbed.loads
            ],
        }
    )
