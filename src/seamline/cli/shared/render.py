"""A running stream and its end as tables and text: pure functions of frozen values, no terminal, no clock, no I/O.

A running stream is shown from its snapshot (`runtime.api.snapshot`). `watching.py` redraws it while frames flow,
`tables.py` draws models and testbeds, `quantities.py` knows units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from seamline.cli.shared.tables import add_row, new_table
from seamline.core.vocabulary.quantities import ABSENT, bytes_text, energy_text, rate_text, seconds_text

if TYPE_CHECKING:
    from seamline.runtime.api.snapshot import LinkSnapshot, StreamSnapshot, SwitchSnapshot
    from seamline.runtime.origin.record import LatencyPart, NodeEnergy
    from seamline.runtime.origin.summary import SwitchFigures

N_SWITCHES_SHOWN = 4
BAR_WIDTH = 40
_SHADES = "█▓▒░"
_COLOURS = ("cyan", "magenta", "green", "blue")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDrew:
    """What a node drew, and who says so."""

    source: Annotated[str, "`measured:METER` or `modelled:PROFILE`"]
    scope: Annotated[str, "what the joules are of"]
    energy_j: Annotated[float, "joules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGpu:
    """The GPU of a node."""

    name: Annotated[str, "its name"]
    memory_bytes: Annotated[int, "its memory"]
    free_memory_bytes: Annotated[int, "what nobody has taken of it"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """One node of a cluster, as `seamline nodes` shows it."""

    name: Annotated[str, "the node's name"]
    tier: Annotated[str, "its tier label"]
    engine: Annotated[str, "what computes there, with version"]
    threads: Annotated[int, "threads it computes with"]
    n_cores: Annotated[int, "processor cores that it may use"]
    provider: Annotated[str, "what it computes with: cpu, cuda, openvino, ..."]
    gpu: Annotated[NodeGpu | None, "the GPU it computes on, null when it has no memory of its own"]
    memory_bytes: Annotated[int, "memory it may use"]
    free_memory_bytes: Annotated[int, "memory available to it now"]
    queue_s: Annotated[float, "seconds a new frame would wait there before it is computed"]
    models: Annotated[tuple[str, ...], "content ids of the models it keeps"]
    rtt_s: Annotated[float | None, "round trip from here, null when not measured yet"]
    goodput_bps: Annotated[float | None, "measured goodput from here, bits per second, null when not measured yet"]
    streams: Annotated[tuple[str, ...], "names of the streams that start there, for `seamline switch`"]
    energy: Annotated[NodeDrew | None, "joules since it started, null without a meter or power figures"]
    version: Annotated[str, "its Seamline version"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveState:
    """All that is shown of a running stream at one moment.

    duration_s: how long it will run, None when open. label: what the model saw last, with its score in 0-1.
    """

    title: str
    stream: StreamSnapshot
    duration_s: float | None = None
    label: str | None = None
    score_ratio: float | None = None


def live_panel(state: LiveState) -> RenderableType:
    """The whole live view of one stream, for a terminal of any width."""
    stream = state.stream
    pinned = ", pinned" if stream.is_pinned else ""
    lines: list[RenderableType] = [
        _headline(state),
        Text(f"plan {stream.generation}{pinned}: {stream.plan}", style="bold"),
    ]
    lines.append(_latency_line(stream))
    if stream.parts:
        lines.append(latency_split(stream.parts))
    if stream.links:
        lines.append(_links_table(stream.links))
    if stream.energy_j_per_frame is not None:
        lines.append(Text(f"energy  {energy_text(stream.energy_j_per_frame)} a frame, {_energy_words(stream)}"))
    if stream.energy_nodes:
        lines.append(Text(f"drawn   {drawn_text(stream.energy_nodes)}"))
    if state.label is not None:
        score = "" if state.score_ratio is None else f" ({state.score_ratio:.0%})"
        lines.append(Text(f"sees    {state.label}{score}"))
    for switch in stream.switches[-N_SWITCHES_SHOWN:]:
        lines.append(Text(switch_text(switch), style="green"))
    return Group(*lines)


def live_line(state: LiveState) -> str:
    """The same in one plain line, for logs and pipes."""
    stream = state.stream
    parts = parts_text(stream.parts)
    links = ", ".join(f"{link.source}>{link.target} {rate_text(link.goodput_bps)}" for link in stream.links)
    joules = stream.energy_j_per_frame
    fields = [
        f"{stream.at_s:6.1f} s",
        f"{frame_rate_text(stream.frame_rate_fps)} fps",
        seconds_text(stream.latency_s) + (f" = {parts}" if parts else ""),
        stream.plan,
        links,
        "" if joules is None else f"{energy_text(joules)} a frame ({_energy_words(stream)})",
        state.label or "",
    ]
    return "  ".join(field for field in fields if field)


def frame_rate_text(frame_rate_fps: float) -> str:
    """Frames per second; nothing where nothing is known, as in the first second."""
    return f"{frame_rate_fps:.1f}" if frame_rate_fps > 0.0 else ABSENT


def parts_text(parts: Sequence[LatencyPart]) -> str:
    """Parts of a latency as a sum: ``edge 100 ms + transfer 131 ms``."""
    return " + ".join(f"{part.name} {seconds_text(part.duration_s)}" for part in parts)


def link_text(link: LinkSnapshot) -> Text:
    """One direction of a link with its goodput and round trip; red when it is down."""
    text = f"{link.source}>{link.target} {rate_text(link.goodput_bps)} rtt {seconds_text(link.rtt_s)}"
    return Text(text, style="red" if link.goodput_bps <= 0.0 else "")


def drawn_text(drawn: Sequence[NodeEnergy]) -> str:
    """What nodes drew, each with its source, and their sum."""
    each = ", ".join(f"{one.node} {energy_text(one.energy_j)} ({one.source})" for one in drawn)
    total_j = sum(one.energy_j for one in drawn)
    return each if len(drawn) < 2 else f"{each}; together {energy_text(total_j)}, idling included"


def switch_text(switch: SwitchSnapshot) -> str:
    """One switch as a line: when, from what, to what, why, and what it took."""
    costs = ", ".join(
        f"{name} {seconds_text(value)}"
        for name, value in (("prepare", switch.prepare_s), ("switch", switch.switch_s), ("gap", switch.gap_s))
        if value is not None
    )
    return f"{switch.at_s:6.1f} s  {switch.from_plan} -> {switch.to_plan}: {switch.reason}" + (
        f" ({costs})" if costs else ""
    )


def latency_split(parts: Sequence[LatencyPart], width: int = BAR_WIDTH) -> Text:
    """A bar of `width` cells divided as the latency is, with a legend that also reads without colour."""
    total_s = sum(part.duration_s for part in parts)
    bar, legend = Text("        "), Text("split   ")
    for number, part in enumerate(parts):
        shade, colour = _SHADES[number % len(_SHADES)], _COLOURS[number % len(_COLOURS)]
        n_cells = round(width * part.duration_s / total_s) if total_s > 0.0 else 0
        bar.append(shade * n_cells, style=colour)
        legend.append(shade, style=colour)
        legend.append(f" {part.name} {seconds_text(part.duration_s)}  ")
    return bar + Text("\n") + legend


def switches_table(switches: Sequence[SwitchFigures]) -> Table:
    """Every switch with its reason and what it cost."""
    table = new_table("at", "plan", "reason", "prepare", "switch", "gap", right=("at", "prepare", "switch", "gap"))
    for switch in switches:
        add_row(
            table,
            f"{switch.at_s:.1f} s",
            f"{switch.from_plan} -> {switch.to_plan}",
            switch.reason,
            *(seconds_text(cost) for cost in (switch.prepare_s, switch.switch_s, switch.gap_s)),
        )
    return table


def nodes_table(rows: Sequence[NodeRow], *, is_narrow: bool = False) -> Table:
    """Who is in the cluster.

    is_narrow: leave out what fits no terminal of 60 columns: engine, memory and models.
    """
    names = ("node", "tier", "waiting", "round trip", "goodput", "threads", "memory free", "models", "engine")
    n_shown = 6 if is_narrow else len(names)
    table = new_table(*names[:n_shown], right=names[2:n_shown])
    for row in rows:
        cells = (
            row.name,
            row.tier,
            seconds_text(row.queue_s),
            seconds_text(row.rtt_s),
            rate_text(row.goodput_bps),
            f"{row.threads} of {row.n_cores}",
            f"{bytes_text(row.free_memory_bytes)} of {bytes_text(row.memory_bytes)}",
            str(len(row.models)),
            row.engine,
        )
        add_row(table, *cells[:n_shown])
    return table


def _headline(state: LiveState) -> Text:
    stream = state.stream
    end = "" if state.duration_s is None else f" of {state.duration_s:.0f}"
    counts = f"{stream.n_answered} answered, {stream.n_in_flight} in flight, {stream.n_dropped} dropped"
    return Text(
        f"{state.title}   {stream.at_s:.1f}{end} s   {frame_rate_text(stream.frame_rate_fps)} frames/s   {counts}"
    )


def _latency_line(stream: StreamSnapshot) -> Text:
    text = f"latency {seconds_text(stream.latency_s)} measured, {seconds_text(stream.predicted_s)} predicted"
    if stream.latency_s is not None and stream.predicted_s is not None and stream.predicted_s > 0.0:
        text += f" ({stream.latency_s / stream.predicted_s - 1.0:+.0%})"
    return Text(text)


def _energy_words(stream: StreamSnapshot) -> str | None:
    """Where the joules come from, and whose they are where not all count."""
    if stream.energy_source is None or stream.energy_scope == "all":
        return stream.energy_source
    return f"{stream.energy_source}; {stream.energy_scope} counts"


def _links_table(links: Sequence[LinkSnapshot]) -> Table:
    """Two links a line, each with its goodput and round trip: six of them fit a terminal of 80 columns."""
    table = Table.grid(padding=(0, 2))
    table.add_column(width=len("energy"))
    for first in range(0, len(links), 2):
        table.add_row("links" if first == 0 else "", *(link_text(link) for link in links[first : first + 2]))
    return table
