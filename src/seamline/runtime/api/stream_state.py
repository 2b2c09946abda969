"""State of a stream as whoever looks at it gets it, from any node of the cluster: plain data, as JSON on the wire.

It is the terminal's snapshot (`snapshot.py`) with the nodes around the stream and what other plans would cost now.
`stream_watch.py` puts it together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from seamline.runtime.api.snapshot import StreamSnapshot, SwitchSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """One node of the stream. is_here: it lives. layers: its part of the plan, ``0:5``; None when it has none.

    compute_ratio: measured over profiled compute time, None where nothing was measured.
    """

    name: str
    is_here: bool
    is_origin: bool
    tier: str = ""
    engine: str = ""
    threads: int = 0
    memory_bytes: int = 0
    free_memory_bytes: int = 0
    queue_s: float = 0.0
    compute_ratio: float | None = None
    layers: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CutCost:
    """A cut as the only one between the origin and a node, priced now. codec: how it is crossed; empty at the last
    one, where nothing is. refusal: why it may not be used."""

    cut: int
    after: str
    codec: str
    sent_bytes: int
    origin_s: float
    transfer_s: float
    target_s: float
    refusal: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Latency over every cut between the origin and `target` (NEUKONFIG, figure 2), with the best allowed one."""

    target: str
    best_cut: int
    cuts: tuple[CutCost, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """The best plan of one kind, or why there is none."""

    kind: str
    plan: str | None
    latency_s: float | None
    throughput_fps: float | None
    energy_j: float | None
    refusal: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What plans would cost by the estimates of now."""

    curves: tuple[Curve, ...] = ()
    rivals: tuple[Rival, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One switch, and the alternatives as they were priced within a second of it."""

    number: int
    switch: SwitchSnapshot
    rivals: tuple[Rival, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What somebody changed of a stream by hand. by: who, and where they did it."""

    at_s: float
    by: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamBrief:
    """One stream in a row. parts: seconds of recent frames by name, in the order of a frame's way. n_events: counts up
    with every switch and change."""

    name: str
    title: str
    at_s: float
    plan: str
    generation: int
    frame_rate_fps: float
    latency_s: float | None
    parts: Mapping[str, float]
    n_answered: int
    n_dropped: int
    objective: str
    is_pinned: bool
    n_events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """One stream. snapshot: as in the terminal, without its switches, which `decisions` has. n_cuts: the last cut's
    number. boundaries: cuts where the plan in use sends something. avoided: nodes that shall run nothing. decisions,
    changes: the newest, oldest first."""

    name: str
    title: str
    model: str
    n_cuts: int
    snapshot: StreamSnapshot
    boundaries: tuple[int, ...]
    nodes: tuple[NodeState, ...]
    avoided: tuple[str, ...]
    costs: Costs
    decisions: tuple[Decision, ...]
    changes: tuple[Change, ...]
