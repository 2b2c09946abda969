"""`seamline testbed`: testbed files, checked before anything is started from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from seamline.cli.shared.options import JsonFlag
from seamline.config import ChangeSpec, LifeSpec, LoadSpec, SceneSpec, Testbed
from seamline.core.vocabulary.documented import copied, key_docs


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """One machine of a testbed."""

    name: Annotated[str, "name of the node"]
    tier: Annotated[str, "its tier"]
    machine: Annotated[str | None, "the machine with published times that it imitates, null when it has none"]
    slowdown: Annotated[float, "how many times longer computing takes than on `machine`, or than here without one"]
    threads: Annotated[int, "threads for computing, 0 for all cores"]
    power: Annotated[str | None, "what it draws, as for `seamline node --power`; null when the file does not say"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFacts:
    """One link of a testbed."""

    between: Annotated[tuple[str, ...], "the two nodes"]
    rate_bps: Annotated[float | None, "bits per second, null when not shaped"]
    delay_s: Annotated[float, "one-way delay"]
    jitter_s: Annotated[float, "how far the delay varies to either side"]
    loss_ratio: Annotated[float, "share of packets lost"]
    trace: Annotated[str | None, "file of recorded rates, null when there is none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TestbedSummary:
    """What `seamline testbed check --json` prints."""

    name: Annotated[str, "name of the testbed"]
    nodes: Annotated[tuple[NodeFacts, ...], "its machines"]
    links: Annotated[tuple[LinkFacts, ...], "its links, the same in both directions"]
    changes: Annotated[tuple[ChangeSpec, ...], "how links change during a run; null leaves a value as it is"]
    loads: Annotated[tuple[LoadSpec, ...], "which machines become slower or quicker during a run"]
    lives: Annotated[tuple[LifeSpec, ...], "which machines are killed or started again during a run"]
    scenes: Annotated[tuple[SceneSpec, ...], "the scenes of a run by time, none when it is one"]


JSON_KEYS = {"testbed check": partial(key_docs, TestbedSummary)}


def register(app: typer.Typer) -> None:
    group = typer.Typer()
    group.command(name="check")(check)
    app.add_typer(group, name="testbed", help="Check testbed files.")


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A testbed as TOML.", show_default=False)],
    as_json: JsonFlag = False,
) -> None:
    """Read FILE, say what is wrong with it, or print what it describes."""
    from seamline.cli.shared.output import print_result
    from seamline.cli.shared.tables import testbed_tables
    from seamline.config import load_testbed

    testbed = load_testbed(file)
    print_result(_summary(testbed), as_json=as_json, words=lambda: testbed_tables(testbed))


def _summary(testbed: Testbed) -> TestbedSummary:
    return TestbedSummary(
        name=testbed.name,
        nodes=tuple(
            copied(NodeFacts, node, power=None if node.power_spec is None else node.power_spec.to_text())
            for node in testbed.nodes
        ),
        links=tuple(
            copied(
                LinkFacts,
                link,
                rate_bps=link.rate_bps or None,
                trace=None if link.trace is None else str(link.trace),
            )
            for link in testbed.links
        ),
        changes=testbed.changes,
        loads=testbed.loads,
        lives=testbed.lives,
        scenes=testbed.scenes,
    )
