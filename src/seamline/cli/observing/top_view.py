"""View of `seamline top`: a cluster's nodes and streams on one screen. Pure functions of frozen values, no terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from rich.console import Group, RenderableType
from rich.text import Text

from seamline.cli.shared.render import frame_rate_text, link_text, parts_text
from seamline.core.vocabulary.documented import copied
from seamline.core.vocabulary.quantities import ABSENT, gigabytes_of, seconds_text
from seamline.fabric.messages import Status
from seamline.runtime.api.stream_state import Change, Decision, Rival, StreamBrief, StreamState

N_NODES, N_STREAMS, N_LINKS, N_EVENTS = 5, 5, 3, 3
KEYS = "up,down: stream  1-9: pin plan  p: pin this  r: release  o: objective  q: quit"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopNode:
    """One node."""

    name: Annotated[str, "the node's name"]
    tier: Annotated[str, "its tier label"]
    queue_s: Annotated[float, "seconds a new frame would wait there before it is computed"]
    threads: Annotated[int, "threads it computes with"]
    free_memory_bytes: Annotated[int, "memory available to it now"]
    memory_bytes: Annotated[int, "memory it may use"]
    engine: Annotated[str, "what computes there, with version"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopLink:
    """One direction of one link of a stream, as measured."""

    source: Annotated[str, "where it begins"]
    target: Annotated[str, "where it ends"]
    goodput_bps: Annotated[float, "bits per second, 0 when it is down"]
    rtt_s: Annotated[float, "its round trip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopEvent:
    """A switch, or what somebody changed by hand."""

    at_s: Annotated[float, "seconds since the stream began"]
    what: Annotated[str, "the plans before and after, or what was changed"]
    reason: Annotated[str, "why, in words and numbers, or who did it"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopStream:
    """One stream."""

    name: Annotated[str, "its name, for `seamline switch` and `set`"]
    title: Annotated[str, "its model and source"]
    plan: Annotated[str, "plan in use"]
    is_pinned: Annotated[bool, "whether one plan is held"]
    objective: Annotated[str, "what its plans are judged by"]
    frame_rate_fps: Annotated[float, "answers a second"]
    latency_s: Annotated[float | None, "of recent frames, null when none came"]
    n_answered: Annotated[int, "frames answered"]
    n_dropped: Annotated[int, "frames dropped before acceptance"]
    parts: Annotated[Mapping[str, float], "of `latency_s`, seconds on each node and in `transfer`"]
    decision: Annotated[str, "the last decision, in words"]
    links: tuple[TopLink, ...]
    events: tuple[TopEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopSummary:
    """What `seamline top --json` prints."""

    nodes: tuple[TopNode, ...]
    streams: tuple[TopStream, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopState:
    """What is on the screen. chosen: name of the stream shown whole. message: of the last key."""

    statuses: Mapping[str, Status]
    briefs: Mapping[str, StreamBrief]
    states: Mapping[str, StreamState]
    chosen: str = ""
    message: str = ""
    troubles: Mapping[str, str] = field(default_factory=dict)


def summary_of(state: TopState) -> TopSummary:
    """All of it as plain data."""
    return TopSummary(
        nodes=tuple(copied(TopNode, status, name=name) for name, status in sorted(state.statuses.items())),
        streams=tuple(_stream(brief, state.states.get(name)) for name, brief in state.briefs.items()),
    )


def top_view(state: TopState, *, height: int | None = None) -> RenderableType:
    """Everything, a line each; within `height` lines, the keys last, where there is one."""
    lines = [_headline(state), *_nodes(state), *_streams(state)]
    shown = state.states.get(state.chosen)
    if shown is not None:
        lines += _whole(shown)
    lines += [Text(f"{origin}: {words}", style="red") for origin, words in state.troubles.items()]
    if height is None:
        return Group(*lines)
    last = [Text(state.message, style="bold yellow"), Text(KEYS, style="reverse")]
    room = height - len(last)
    lines = [*lines[:room], *([Text()] * (room - len(lines)))]
    return Group(*(_one_line(line) for line in (*lines, *last)))


def choices(state: StreamState | None) -> tuple[str, ...]:
    """Plans that the number keys pin: the best of each kind now."""
    return () if state is None else tuple(rival.plan for rival in _allowed(state.costs.rivals) if rival.plan)


def _headline(state: TopState) -> Text:
    return Text(f"seamline top   nodes: {len(state.statuses)}, streams: {len(state.briefs)}", style="bold")


def _nodes(state: TopState) -> list[Text]:
    lines = [_heading(f"{'node':<16}{'tier':<8}{'waiting':>10}{'threads':>9}  {'memory free':<20}engine")]
    for name, status in sorted(state.statuses.items())[:N_NODES]:
        free = gigabytes_of(status.free_memory_bytes, status.memory_bytes)
        row = f"{name:<16.15}{status.tier:<8.7}{seconds_text(status.queue_s):>10}{status.threads:>9}  {free:<20}"
        lines.append(Text(row + status.engine))
    return lines + _more(len(state.statuses), N_NODES, "nodes")


def _streams(state: TopState) -> list[Text]:
    lines = [_heading(f"  {'stream':<20}{'frames/s':>9}{'latency':>10}  plan")]
    names = list(state.briefs)
    at = names.index(state.chosen) if state.chosen in names else 0
    first = max(0, min(at - N_STREAMS // 2, len(names) - N_STREAMS))
    for name in names[first : first + N_STREAMS]:
        brief, mark = state.briefs[name], ">" if name == state.chosen else " "
        fps = frame_rate_text(brief.frame_rate_fps)
        held = " (pinned)" if brief.is_pinned else ""
        row = f"{mark} {name:<20.19}{fps:>9}{seconds_text(brief.latency_s):>10}  {brief.plan}{held}"
        lines.append(Text(row, style="bold" if name == state.chosen else ""))
    if not names:
        lines.append(Text("  no stream runs"))
    return lines + _more(len(names), N_STREAMS, "streams")


def _whole(state: StreamState) -> list[Text]:
    now, parts = state.snapshot, parts_text(state.snapshot.parts) or ABSENT
    lines = [
        _heading(f"{state.title}   objective {now.objective}   {now.n_answered} answered, {now.n_dropped} dropped"),
        Text(f"latency  {seconds_text(now.latency_s)} = {parts}; predicted {seconds_text(now.predicted_s)}"),
    ]
    pairs = [now.links[at : at + 2] for at in range(0, len(now.links), 2)][:N_LINKS]
    lines += [Text("links    ").append_text(Text("   ").join(map(link_text, pair))) for pair in pairs]
    gone = [node.name for node in state.nodes if not node.is_here]
    lines += [Text(f"gone     {', '.join(gone)}", style="bold red")] if gone else []
    lines += [Text(f"avoided  {', '.join(state.avoided)}")] if state.avoided else []
    for number, rival in enumerate(_allowed(state.costs.rivals), 1):
        lines.append(Text(f"{number}        {rival.kind} {seconds_text(rival.latency_s)}  {rival.plan}"))
    lines.append(Text(f"last     {now.decision}", style="green"))
    lines += [Text(f"{event.at_s:6.1f} s {event.what}: {event.reason}") for event in _events(state)[-N_EVENTS:]]
    return lines


def _allowed(rivals: Sequence[Rival]) -> list[Rival]:
    return [rival for rival in rivals if rival.plan is not None and rival.refusal is None]


def _events(state: StreamState) -> list[TopEvent]:
    found = [*map(_event, state.decisions), *map(_event, state.changes)]
    return sorted(found, key=lambda event: event.at_s)


def _event(one: Decision | Change) -> TopEvent:
    if isinstance(one, Change):
        return TopEvent(at_s=one.at_s, what=one.what, reason=one.by)
    plans = f"{one.switch.from_plan} -> {one.switch.to_plan}"
    return TopEvent(at_s=one.switch.at_s, what=plans, reason=one.switch.reason)


def _heading(words: str) -> Text:
    return Text(words, style="dim")


def _more(n_all: int, n_shown: int, what: str) -> list[Text]:
    return [Text(f"  and {n_all - n_shown} more {what}", style="dim")] if n_all > n_shown else []


def _one_line(line: Text) -> Text:
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _stream(brief: StreamBrief, state: StreamState | None) -> TopStream:
    links = () if state is None else state.snapshot.links
    return copied(
        TopStream,
        brief,
        decision="" if state is None else state.snapshot.decision,
        links=tuple(copied(TopLink, link) for link in links),
        events=() if state is None else tuple(_events(state)),
    )
