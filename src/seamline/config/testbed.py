"""A testbed: machines and links to imitate on one computer, and what changes while a run goes on.

Values only; how they are read from a file and checked is `testbed_file.py`. `seamline.testbed` makes processes and
shaped links of them. The texts on the fields are the meanings of their JSON keys, see `core.vocabulary.documented`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from seamline.config.power import PowerSpec, parse_power, power_by_hand
from seamline.config.toml import nearest_hint
from seamline.core.vocabulary.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """One machine. slowdown: its computing takes that many times what this computer's profile says.

    machine: of `config.machines`; then the slowdown is in times of what is published for that one, and
    `testbed.imitation` makes one of this computer's profile of it. threads: 0 means all cores. memory_mb: what it
    reports as its memory, in 10**6 bytes; None reports what is there. power: what it draws, as
    `config.power.parse_power` reads it; or by hand idle_w and busy_w, tx_j_per_mb and rx_j_per_mb of its radio.
    """

    name: str
    tier: str
    slowdown: float = 1.0
    machine: str | None = None
    threads: int = 1
    memory_mb: float | None = None
    power: str | None = None
    idle_w: float | None = None
    busy_w: float | None = None
    tx_j_per_mb: float = 0.0
    rx_j_per_mb: float = 0.0

    @property
    def power_spec(self) -> PowerSpec | None:
        """What it draws; None when the file does not say. Raises `UsageError` when it says what cannot be."""
        if self.power is not None:
            return parse_power(self.power)
        if self.idle_w is None or self.busy_w is None:
            return None
        return power_by_hand(self.idle_w, self.busy_w, 1e-6 * self.tx_j_per_mb, 1e-6 * self.rx_j_per_mb)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSpec:
    """One physical link, the same in both directions.

    rate_bps: 0.0 means as fast as it goes. delay_s: one way. jitter_s: the delay varies by up to that much to either
    side. loss_ratio: of 1448-byte packets; the relay shows a loss as the wait for its repair, see `core.link.loss`.
    trace: recorded rates that replace `rate_bps` over time, see `seamline.config.trace`.
    """

    between: tuple[str, str]
    rate_bps: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss_ratio: float = 0.0
    trace: Path | None = None

    @property
    def name(self) -> str:
        return "-".join(self.between)

    @property
    def is_shaped(self) -> bool:
        return bool(self.rate_bps or self.delay_s or self.jitter_s or self.loss_ratio or self.trace)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSpec:
    """A link takes new values during a run, either after `at_ratio` of it or `at_s` seconds. None leaves a value."""

    between: Annotated[tuple[str, str], "the two nodes of the link"]
    at_s: Annotated[float | None, "when, after the beginning of the run; null when `at_ratio` says it"] = None
    at_ratio: Annotated[float | None, "when, as a share of the run; null when `at_s` says it"] = None
    rate_bps: Annotated[float | None, "bits per second from then on"] = None
    delay_s: Annotated[float | None, "one-way delay from then on"] = None
    loss_ratio: Annotated[float | None, "share of packets lost from then on"] = None
    silent: Annotated[bool | None, "whether the link carries nothing from then on"] = None

    def at_s_of(self, duration_s: float) -> float:
        """Seconds after the beginning of a run of `duration_s`."""
        return _at_s_of(self, duration_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSpec:
    """A node becomes slower or quicker during a run, after `at_ratio` of it or `at_s` seconds, as by other programs."""

    node: Annotated[str, "name of the node"]
    slowdown: Annotated[float, "how many times longer computing takes from then on, as of the node"]
    at_s: Annotated[float | None, "when, after the beginning of the run; null when `at_ratio` says it"] = None
    at_ratio: Annotated[float | None, "when, as a share of the run; null when `at_s` says it"] = None

    def at_s_of(self, duration_s: float) -> float:
        """Seconds after the beginning of a run of `duration_s`."""
        return _at_s_of(self, duration_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeSpec:
    """A node is killed during a run, or started again: `up` from `at_ratio` of it or `at_s` seconds on."""

    node: Annotated[str, "name of the node"]
    up: Annotated[bool, "whether it runs from then on"]
    at_s: Annotated[float | None, "when, after the beginning of the run; null when `at_ratio` says it"] = None
    at_ratio: Annotated[float | None, "when, as a share of the run; null when `at_s` says it"] = None

    def at_s_of(self, duration_s: float) -> float:
        """Seconds after the beginning of a run of `duration_s`."""
        return _at_s_of(self, duration_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneSpec:
    """A stretch of a run that is told and judged as one, until the next: from `at_ratio` of it or `at_s` seconds on."""

    name: Annotated[str, "name of the scene"]
    at_s: Annotated[float | None, "its beginning; null when `at_ratio` says it"] = None
    at_ratio: Annotated[float | None, "its beginning as a share of the run; null when `at_s` says it"] = None

    def at_s_of(self, duration_s: float) -> float:
        """Seconds after the beginning of a run of `duration_s`."""
        return _at_s_of(self, duration_s)


def _at_s_of(change: ChangeSpec | LoadSpec | LifeSpec | SceneSpec, duration_s: float) -> float:
    if change.at_s is not None:
        return change.at_s
    assert change.at_ratio is not None, "validated when the testbed was read"
    return change.at_ratio * duration_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Testbed:
    """Nodes, links and changes, consistent with one another. The rest are a demo's defaults, None when not given.

    changes: of links. loads, lives: of nodes. scenes: in the order of time; none for a run that is one. model: zoo name
    or path. private: as `Constraints.n_private_cuts`. seconds: length of a run.
    """

    __test__ = False  # pytest would otherwise take it for a test class by its name

    name: str
    nodes: tuple[NodeSpec, ...]
    links: tuple[LinkSpec, ...] = ()
    changes: tuple[ChangeSpec, ...] = ()
    loads: tuple[LoadSpec, ...] = ()
    lives: tuple[LifeSpec, ...] = ()
    scenes: tuple[SceneSpec, ...] = ()
    model: str | None = None
    fps: float | None = None
    private: int | None = None
    seconds: float | None = None

    def node(self, name: str) -> NodeSpec:
        """Raises `ConfigError` naming the nearest node when there is none of that name."""
        for node in self.nodes:
            if node.name == name:
                return node
        known = [node.name for node in self.nodes]
        raise ConfigError(f"testbed `{self.name}` has no node `{name}`", hint=nearest_hint(name, known))

    def link(self, one: str, other: str) -> LinkSpec | None:
        """The physical link between two nodes, whichever way round it was written; None when there is none."""
        return next((link for link in self.links if set(link.between) == {one, other}), None)

    def in_tier(self, tier: str) -> tuple[NodeSpec, ...]:
        return tuple(node for node in self.nodes if node.tier == tier)
