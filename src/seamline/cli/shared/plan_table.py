"""What `seamline plan` prints as tables: where the time goes, and the rivals. Pure functions of its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from seamline.cli.shared.tables import add_row, new_table
from seamline.core.vocabulary.quantities import ABSENT, bytes_text, energy_text, seconds_text


def plan_report(data: Mapping[str, Any]) -> RenderableType:
    """The whole report from what `--json` prints."""
    lines: list[RenderableType] = [Text(f"{data['model']}: {data['plan']['text']}", style="bold")]
    lines.append(Text(_costs_text(data)))
    if any(joules is not None for joules in data["energy_nodes_j"].values()):
        drawn = ", ".join(f"{node} {energy_text(joules)}" for node, joules in data["energy_nodes_j"].items())
        counted = "" if data["energy_scope"] == "all" else f"; {data['energy_scope']} counts"
        lines.append(Text(f"drawn (modelled): {drawn}{counted}"))
    if data["refusal"] is not None:
        lines.append(Text(f"may not be used: {data['refusal']}", style="red"))
    if data["best"] is not None:
        lines.append(Text(f"best: {data['best']['text']}   {_costs_text(data['best'])}"))
    for each in data["front"] or ():
        lines.append(Text(f"unbeaten: {each['plan']}   {_costs_text(each)}"))
    lines += [Text(), _parts_table(data["parts"]), Text(), _rivals_table(data), Text(), Text(data["why"])]
    return Group(*lines)


def _costs_text(costs: Mapping[str, Any]) -> str:
    joules = ABSENT if costs["energy_j"] is None else f"{energy_text(costs['energy_j'])} (modelled)"
    return f"{seconds_text(costs['latency_s'])}, {costs['throughput_fps']:.1f} frames/s, {joules} a frame"


def _parts_table(parts: Mapping[str, Any]) -> Table:
    table = new_table("part", "what", "time", "bytes", right=("time", "bytes"))
    links = [*parts["links"], *([parts["answer"]] if parts["answer"] else [])]
    for number, stage in enumerate(parts["stages"]):
        for key, what in (
            ("queue_s", "wait"),
            ("decode_s", "decode"),
            ("compute_s", "compute"),
            ("encode_s", "encode"),
        ):
            if stage[key] > 0.0 or key == "compute_s":
                segment = f"{stage['node']}[{stage['start']}:{stage['stop']}]"
                add_row(table, segment, what, seconds_text(stage[key]), ABSENT)
        if number < len(links):
            link = links[number]
            what = link["codec"] or "answer"
            name, time = f"{link['source']} > {link['target']}", seconds_text(link["transfer_s"])
            add_row(table, name, what, time, bytes_text(link["payload_bytes"]))
    return table


def _rivals_table(data: Mapping[str, Any]) -> Table:
    table = new_table("kind", "latency", "frames/s", "modelled", "plan", right=("latency", "frames/s", "modelled"))
    for rival in data["alternatives"]:
        if rival["plan"] is None:
            add_row(table, rival["name"], ABSENT, ABSENT, ABSENT, rival["refusal"])
            continue
        rate = f"{rival['throughput_fps']:.1f}"
        words = rival["plan"] + ("" if rival["refusal"] is None else f" ({rival['refusal']})")
        add_row(table, rival["name"], seconds_text(rival["latency_s"]), rate, energy_text(rival["energy_j"]), words)
    return table
