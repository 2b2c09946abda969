"""What is simulated: a stream of frames, the machines and links it may use, and how they change over time.

Everything in a scene is the truth. What a policy gets to know of it is measured inside the simulation, as it would be.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from seamline.config.trace import Trace
from seamline.core.cost.problem import EnergyScope
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import ConfigError, UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Objective, Within
from seamline.core.vocabulary.profiles import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneLink:
    """One physical link, the same in both directions and each with its own queue.

    trace: its payload rate over time, repeated when it is shorter than the run. delay_s: one way, where the trace does
    not say.
    """

    between: tuple[NodeId, NodeId]
    trace: Trace
    delay_s: float = 0.0

    @staticmethod
    def steady(one: NodeId, other: NodeId, rate_bps: float, delay_s: float = 0.0) -> SceneLink:
        """A link that does not change."""
        trace = Trace(times_s=(0.0,), rates_bps=(rate_bps,), length_s=math.inf)
        return SceneLink(between=(one, other), trace=trace, delay_s=delay_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One stream over nodes and links.

    profiles: by node, of the same model; codecs, preprocessing and power come from there. energy_scope: whose joules
    count. fps: of a live source, whose newest frame wins. duration_s: how long frames come. slowdowns: per node (at_s,
    factor on its compute time), by time. memory_bytes: what segments may take on nodes that say so. noise_ratio:
    standard deviation of single compute times. jitter_s: a message's delay, uniform from 0. prepare_s: from a decision
    until the new plan can serve; prepare_busy_s: of that, what each of its nodes cannot compute frames meanwhile. seed:
    of noise, jitter and losses.
    """

    origin: NodeId
    profiles: Mapping[NodeId, Profile]
    links: tuple[SceneLink, ...]
    fps: float
    duration_s: float
    objective: Objective | Within = Objective.LATENCY
    constraints: Constraints = field(default_factory=Constraints)
    energy_scope: EnergyScope = EnergyScope.ALL
    slowdowns: Mapping[NodeId, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    memory_bytes: Mapping[NodeId, int] = field(default_factory=dict)
    noise_ratio: float = 0.03
    jitter_s: float = 0.5e-3
    prepare_s: float = 0.1
    prepare_busy_s: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if self.origin not in self.profiles:
            raise UsageError(f"the origin `{self.origin}` has no profile", hint="give one for every node")
        for link in self.links:
            for node in link.between:
                if node not in self.profiles:
                    known = ", ".join(sorted(self.profiles))
                    raise UsageError(f"link {'-'.join(link.between)}: `{node}` has no profile", hint=f"known: {known}")
        if not (self.fps > 0 and 0 < self.duration_s < math.inf):
            raise ConfigError(f"{self.fps:g} frames/s for {self.duration_s:g} s is no stream")
        if not 1 <= self.n_frames <= MAX_FRAMES:
            length = f"{self.fps:g} frames/s for {self.duration_s:g} s"
            is_short = self.n_frames < 1
            raise ConfigError(
                f"{length} are {self.n_frames} frames, a run has 1 to {MAX_FRAMES}",
                hint="give --seconds: without it the longest trace counts" if is_short else "shorten --seconds",
            )

    @property
    def n_frames(self) -> int:
        """How many frames the source brings."""
        return round(self.fps * self.duration_s)

    def slowdown(self, node: NodeId, at_s: float) -> float:
        """The factor on the compute time of `node` at `at_s`."""
        factor = 1.0
        for since_s, value in self.slowdowns.get(node, ()):
            if since_s > at_s:
                break
            factor = value
        return factor

    def routes(self) -> Mapping[tuple[NodeId, NodeId], tuple[tuple[int, bool], ...]]:
        """Per pair of nodes the shortest path of links between them: (index of the link, is it taken forwards).

        A pair without a path is missing. As in the testbed, the nodes in between only forward.
        """
        return {(start, stop): path for start in self.profiles for stop, path in self._paths_from(start)}

    def _paths_from(self, start: NodeId) -> Iterator[tuple[NodeId, tuple[tuple[int, bool], ...]]]:
        paths: dict[NodeId, tuple[tuple[int, bool], ...]] = {start: ()}
        frontier = [start]
        while frontier:
            here = frontier.pop(0)
            for index, link in enumerate(self.links):
                if here not in link.between:
                    continue
                there = link.between[1] if link.between[0] == here else link.between[0]
                if there not in paths:
                    paths[there] = (*paths[here], (index, link.between[0] == here))
                    frontier.append(there)
                    yield there, paths[there]


MAX_FRAMES = 10_000_000
