"""The demo while it runs, as text for a terminal of 80 columns and 24 lines or more: pure functions of a frozen value.

Top down: where in the story we are; the pipeline with what each node and link takes; where the network is cut; the
picture and the answer; latency over time of the policies that the scene compares; the last decision; the links.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from seamline.cli.demo.story import ADAPTIVE, LOCAL, OFFLOAD, STATIC, TITLES, Answer, Scene, SceneFigures
from seamline.cli.shared.tables import add_row, new_table
from seamline.core.vocabulary.quantities import rate_text, seconds_text
from seamline.runtime.api.snapshot import LinkSnapshot, StreamSnapshot

COLOURS: Mapping[str, str] = {ADAPTIVE: "cyan", STATIC: "yellow", LOCAL: "magenta", OFFLOAD: "blue"}
_LEVELS = " ▁▂▃▄▅▆▇█"
_LABEL_WIDTH = 13
_VALUE_WIDTH = 9
_GAP_WIDTH = 9
_CAP_S = 1.0
"""Where a latency line ends at the least: lines of a quiet run would otherwise show noise at full height."""

TALL = 34
"""From so many lines on latency lines are three lines high, and the table of policies is there."""

_STAGE = re.compile(r"(?P<node>[^\[\s]+)\[(?P<start>\d+):(?P<stop>\d+)\](?P<codec>\w*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoState:
    """All that is shown at one moment. machines: what each node imitates. n_cuts: number of the network's last cut.

    stream: of the adaptive policy. answers: of every policy so far. changes: when something was done to the testbed.
    shows: what the last answered picture shows; label, score_ratio: what the network says it does.
    """

    model: str
    at_s: float
    duration_s: float
    scenes: Sequence[Scene]
    machines: Mapping[str, str]
    n_cuts: int
    stream: StreamSnapshot
    answers: Mapping[str, Sequence[Answer]]
    changes: Sequence[float] = ()
    shows: str | None = None
    label: str | None = None
    score_ratio: float | None = None
    is_offload_allowed: bool = False


def demo_panel(state: DemoState, width: int, height: int) -> RenderableType:
    """The whole view for a terminal of `width` columns and `height` lines."""
    is_tall = height >= TALL
    gap = [Text("")] if is_tall else []
    return Group(
        *_headline(state, width),
        *gap,
        *_pipeline(state, width),
        *gap,
        _network(state, width),
        *gap,
        *_seen(state),
        *gap,
        *_latencies(state, width, n_rows=3 if is_tall else 1, keys=tuple(TITLES) if is_tall else (ADAPTIVE, STATIC)),
        *gap,
        *_others(state, is_tall=is_tall),
        *_decision(state, width, n_lines=3 if is_tall else 2),
        *gap,
        links_table(state.stream.links),
    )


def scene_at(state: DemoState) -> tuple[int, Scene]:
    """Number, from 1, and scene of the moment."""
    numbered = [(number, scene) for number, scene in enumerate(state.scenes, 1) if scene.from_s <= state.at_s]
    return numbered[-1] if numbered else (1, state.scenes[0])


def sparkline(values: Sequence[float | None], cap: float, n_rows: int = 1) -> list[str]:
    """`values` as bars of up to `n_rows` lines, the upper ones first; None leaves a hole, more than `cap` is full."""
    steps = len(_LEVELS) - 1
    heights = [0 if value is None else max(1, round(min(value, cap) / cap * steps * n_rows)) for value in values]
    return [
        "".join(_LEVELS[min(steps, max(0, height - row * steps))] for height in heights)
        for row in reversed(range(n_rows))
    ]


def columns_of(answers: Sequence[Answer], duration_s: float, width: int) -> list[float | None]:
    """Mean latency of the frames of each of `width` equal stretches of the run; one without keeps what was before."""
    found: list[list[float]] = [[] for _ in range(width)]
    for one in answers:
        found[min(width - 1, int(one.at_s / duration_s * width))].append(one.latency_s)
    last = max((at for at, values in enumerate(found) if values), default=-1)
    columns: list[float | None] = []
    for at, values in enumerate(found):
        before = columns[-1] if columns else None
        columns.append(sum(values) / len(values) if values else before if at <= last else None)
    return columns


def short_decision(stream: StreamSnapshot) -> str | None:
    """The last switch in one short sentence: when, where to, and the first reason; None when there was none."""
    if not stream.switches:
        return None
    last = stream.switches[-1]
    first = last.reason.partition(";")[0]
    if first.startswith(last.to_plan):  # nothing moved much: what it saves is the reason
        first = "it" + first.removeprefix(last.to_plan).partition(", uncertainty")[0]
    return f"{last.at_s:.0f} s: {place_words(last.to_plan)}, because {first.replace('`', '')}"


def place_words(plan: str) -> str:
    """``cut at 16, edge to cloud``, ``all on edge``, ``frames as jpeg to cloud``."""
    stages = [match for match in _STAGE.finditer(plan) if match["start"] != match["stop"]]
    first = _STAGE.search(plan)
    if first is not None and first["start"] == first["stop"]:
        return f"frames as {first['codec']} to {stages[0]['node']}"
    if len(stages) == 1:
        return f"all on {stages[0]['node']}"
    cuts = " and ".join(stage["stop"] for stage in stages[:-1])
    return f"cut at {cuts}, {' to '.join(stage['node'] for stage in stages)}"


def links_table(links: Sequence[LinkSnapshot]) -> Table:
    """Both directions of a link in one line: out on the left, back on the right."""
    table = Table.grid(padding=(0, 3))
    table.add_column(width=len("links"))
    pairs: dict[frozenset[str], list[LinkSnapshot]] = {}
    for link in links:
        pairs.setdefault(frozenset((link.source, link.target)), []).append(link)
    for number, directions in enumerate(pairs.values()):
        ordered = sorted(directions, key=lambda link: (link.source == "cloud", link.source != "edge"))
        table.add_row("links" if number == 0 else "", *(_link_text(link) for link in ordered))
    return table


def _link_text(link: LinkSnapshot) -> Text:
    if link.goodput_bps <= 0.0:
        return Text(f"{link.source}>{link.target} down", style="red")
    return Text(f"{link.source}>{link.target} {rate_text(link.goodput_bps)} rtt {seconds_text(link.rtt_s)}")


def _headline(state: DemoState, width: int) -> list[Text]:
    number, scene = scene_at(state)
    time = f"{min(state.at_s, state.duration_s):.0f} of {state.duration_s:.0f} s"
    left = f"seamline demo  {state.model}, machines imitated on this one"
    first = Text(left[: width - len(time) - 2].ljust(width - len(time)) + time, style="dim")
    return [first, Text(f"scene {number} of {len(state.scenes)}: {scene.name}", style="bold", no_wrap=True)]


def _pipeline(state: DemoState, width: int) -> list[Text]:
    """Every node with what it does and takes, in the testbed's order, and an arrow for each hop of the plan."""
    stages = list(_STAGE.finditer(state.stream.plan))
    took = {part.name: part.duration_s for part in state.stream.parts}
    transfer_s = next((part.duration_s for part in state.stream.parts if part.is_transfer), None)
    places = {node: at for at, node in enumerate(state.machines)}
    hops = [(places[here["node"]], places[there["node"]]) for here, there in pairwise(stages)]
    inner = max(8, min(22, (width - len(places) * 2 - (len(places) - 1) * _GAP_WIDTH) // len(places)))
    lines = [Text(no_wrap=True) for _ in range(6)]
    for node, at in places.items():
        if at:
            _append_gap(lines, at - 1, hops, transfer_s)
        stage = next((stage for stage in stages if stage["node"] == node), None)
        is_gone = _is_gone(state, node)
        style = "red" if is_gone else "dim" if stage is None else "bold"
        does = "gone" if is_gone else "idle" if stage is None else _does(stage)
        is_passed = stage is None and any(min(hop) < at < max(hop) for hop in hops)
        takes = seconds_text(took.get(node)) if stage is not None else "-" * inner if is_passed else ""
        rows = (node, state.machines[node], does, takes)
        lines[0].append("┌" + "─" * inner + "┐", style=style)
        for line, row in zip(lines[1:5], rows, strict=True):
            line.append("│" + row[:inner].center(inner) + "│", style=style)
        lines[5].append("└" + "─" * inner + "┘", style=style)
    return lines


def _append_gap(lines: Sequence[Text], left: int, hops: Sequence[tuple[int, int]], transfer_s: float | None) -> None:
    """What stands between the nodes at `left` and beside it: the arrows of the hops that cross, and what they take."""
    crossing = [hop for hop in hops if min(hop) <= left < max(hop)]
    arrow = {"><": "<-->", ">": "---->", "<": "<----"}.get("".join(sorted(_signs(crossing), reverse=True)), "")
    words = seconds_text(transfer_s) if crossing and hops.index(crossing[0]) == 0 and left == hops[0][0] else ""
    texts = ("", "", "", words, arrow, "")
    for line, text in zip(lines, texts, strict=True):
        line.append(text.center(_GAP_WIDTH)[:_GAP_WIDTH], style="bold")


def _signs(hops: Sequence[tuple[int, int]]) -> set[str]:
    return {">" if here < there else "<" for here, there in hops}


def _does(stage: re.Match[str]) -> str:
    return f"layers {stage['start']}-{stage['stop']}" if stage["start"] != stage["stop"] else "camera"


def _is_gone(state: DemoState, node: str) -> bool:
    """Whether the origin sees no way to `node` now."""
    origin = next(iter(state.machines))
    ways = [link for link in state.stream.links if (link.source, link.target) == (origin, node)]
    return node != origin and bool(state.stream.links) and not any(link.goodput_bps > 0.0 for link in ways)


def _network(state: DemoState, width: int) -> Text:
    """The network as a bar from its first layer to its last, cut where it is."""
    room = width - _LABEL_WIDTH - 22
    text = Text("network".ljust(_LABEL_WIDTH), no_wrap=True)
    cuts: list[str] = []
    stages = list(_STAGE.finditer(state.stream.plan))
    for number, stage in enumerate(stages):
        start, stop = int(stage["start"]), int(stage["stop"])
        n_cells = round(room * stop / state.n_cuts) - round(room * start / state.n_cuts)
        if n_cells:
            text.append("█▓▒░"[number % 4] * n_cells, style=("cyan", "green", "magenta", "blue")[number % 4])
        if number < len(stages) - 1:
            text.append("|")
            cuts.append(stage["stop"])
    text.append(f"  cut at {' and '.join(cuts)} of {state.n_cuts}" if cuts else "  not cut")
    return text


def _seen(state: DemoState) -> list[Text]:
    if state.label is None:
        note = "   (this network names no classes)" if state.answers.get(ADAPTIVE) else ""
        return [Text("picture".ljust(_LABEL_WIDTH) + (state.shows or "-") + note, no_wrap=True)]
    score = "" if state.score_ratio is None else f" {state.score_ratio:.0%}".replace("%", " %")
    shows = "" if state.shows is None else f"{state.shows}   answer: "
    return [Text(f"{('picture' if shows else 'answer').ljust(_LABEL_WIDTH)}{shows}{state.label}{score}", no_wrap=True)]


def _latencies(state: DemoState, width: int, *, n_rows: int, keys: Sequence[str]) -> list[Text]:
    room = width - _LABEL_WIDTH - _VALUE_WIDTH
    shown = [key for key in keys if key in state.answers]
    columns = {key: columns_of(state.answers[key], state.duration_s, room) for key in shown}
    known = sorted(value for key in (ADAPTIVE, STATIC) for value in columns.get(key, ()) if value is not None)
    cap_s = max(_CAP_S, known[int(0.9 * (len(known) - 1))]) if known else _CAP_S
    lines: list[Text] = []
    for key in shown:
        rows = sparkline(columns[key], cap_s, n_rows if key in (ADAPTIVE, STATIC) else 1)
        for number, row in enumerate(rows):
            is_last = number == len(rows) - 1
            label = TITLES[key] if is_last else ""
            value = seconds_text(_latest_s(state, key)).rjust(_VALUE_WIDTH) if is_last else ""
            line = Text(label.ljust(_LABEL_WIDTH), no_wrap=True)
            lines.append(line.append(row, style=COLOURS[key]).append(value))
    return [*lines, _marks(state, room)]


def _marks(state: DemoState, room: int) -> Text:
    """What happened, below the moment when it did, and the names of the scenes that have begun."""
    text = [" "] * room
    for at_s in state.changes:
        text[min(room - 1, int(at_s / state.duration_s * room))] = "^"
    for scene in state.scenes[1:]:
        column, stop = (min(room, int(at_s / state.duration_s * room)) for at_s in (scene.from_s, scene.to_s))
        words = f"^{scene.name}"[: max(0, stop - column)]
        if scene.from_s <= state.at_s:
            text[column : column + len(words)] = words
    return Text(" " * _LABEL_WIDTH + "".join(text), style="dim", no_wrap=True)


def _latest_s(state: DemoState, key: str) -> float | None:
    """Mean of the last two seconds of answers; None in the first second."""
    recent = [one.latency_s for one in state.answers[key] if one.at_s + one.latency_s >= state.at_s - 2.0]
    return sum(recent) / len(recent) if recent and state.at_s >= 1.0 else None


def _others(state: DemoState, *, is_tall: bool) -> list[Text]:
    if is_tall:
        note = "" if state.is_offload_allowed else "JPEG offload is not allowed here: raw frames stay on the edge"
        return [Text(note, style="dim")] if note and OFFLOAD in state.answers else []
    words = [f"{TITLES[key]} {seconds_text(_latest_s(state, key))}" for key in (LOCAL, OFFLOAD) if key in state.answers]
    if OFFLOAD in state.answers and not state.is_offload_allowed:
        words[-1] += " (not allowed)"
    return [Text("beside".ljust(_LABEL_WIDTH) + ", ".join(words), no_wrap=True)] if words else []


def _decision(state: DemoState, width: int, *, n_lines: int) -> list[Text]:
    words = short_decision(state.stream) or "the best plan at the start serves"
    table = Text("decision".ljust(_LABEL_WIDTH))
    room = width - _LABEL_WIDTH
    wrapped = _wrapped(words, room)[:n_lines]
    return [
        table.append(wrapped[0], style="green"),
        *(Text(" " * _LABEL_WIDTH + line, style="green") for line in wrapped[1:]),
    ]


def _wrapped(words: str, width: int) -> list[str]:
    return textwrap.wrap(words, max(10, width)) or [""]


def scenes_table(scenes: Sequence[SceneFigures], *, is_offload_allowed: bool, is_narrow: bool = False) -> Table:
    """The closing table: every policy's mean latency per scene, and what became of adaptive's frames.

    is_narrow: adaptive and the static split alone, which is what fits a terminal of 40 columns.
    """
    shown = (ADAPTIVE, STATIC) if is_narrow else tuple(TITLES)
    keys = [key for key in shown if any(key in scene.policies for scene in scenes)]
    names = [TITLES[key] + ("" if key != OFFLOAD or is_offload_allowed else "\n(not allowed)") for key in keys]
    frames = () if is_narrow else ("lost", "longest\ngap")
    table = new_table("scene", *names, *frames, right=(*names, *frames))
    for scene in scenes:
        mine = scene.policies[ADAPTIVE]
        means = [seconds_text(scene.mean_s(key)) for key in keys]
        add_row(table, scene.name, *means, *(str(mine.lost), seconds_text(mine.longest_gap_s))[: len(frames)])
    return table
