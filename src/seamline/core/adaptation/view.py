"""View of one stream: the input of every decision, and `apply(view, event) -> view`, the only way it changes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar, assert_never

from seamline.core.adaptation.events import (
    CompressionMeasured,
    ComputeMeasured,
    EnergyScopeSet,
    Event,
    ExcessMeasured,
    LatencyMeasured,
    LinkMeasured,
    LoadMeasured,
    MemoryMeasured,
    MoveHeld,
    NodeJoined,
    NodeLeft,
    ObjectiveSet,
    PlanServing,
    ProfileKnown,
    RateMeasured,
    SwitchFailed,
    SwitchStarted,
    Tick,
)
from seamline.core.adaptation.excess import Excess, observe_excess
from seamline.core.adaptation.sharing import Shared, Sharing, held, measured, moved
from seamline.core.adaptation.uplink import Uplink, observe_uplink
from seamline.core.cost.feasibility import why_infeasible
from seamline.core.cost.formulas import latency_s
from seamline.core.cost.loads import NodeLoad
from seamline.core.cost.problem import EnergyScope, Problem
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.links import Link, LinkEstimate
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.objectives import Goal, Objective, Within
from seamline.core.vocabulary.plans import Codec, Plan
from seamline.core.vocabulary.profiles import Profile

SURE_SHARE = 0.95
"""Of transfers, that a plan has to be in time for under a deadline."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A plan that could not be prepared, when, and by whose fault."""

    plan: Plan
    reason: str
    node: NodeId | None
    at_s: float


@dataclass(frozen=True, slots=True)
class Watched:
    """Measured latency of a plan. ratio: measured over predicted latency at that time."""

    latency_s: float
    ratio: float
    n_frames: int
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """Estimates by which a plan was chosen, to say later what has moved since. nodes: there, and profiled. loads: of
    others, this stream taken out."""

    nodes: frozenset[NodeId]
    links: Mapping[Link, LinkEstimate]
    compute_ratio: Mapping[NodeId, float]
    queue_s: Mapping[NodeId, float]
    loads: Mapping[NodeId, NodeLoad] = field(default_factory=dict)
    objective: Goal
    constraints: Constraints
    energy_scope: EnergyScope = EnergyScope.ALL


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Input of every decision; begin with `View(origin=...)`.

    nodes: who is there, with tier; incarnations: the last one seen of each, also of those gone.
    current: the plan frames take, its generation and since when; restarted: its nodes that lost their segments since.
    first: the first plan that ever served. pending: the plan being prepared. refused: newest last.
    watched: plans that have served, measured. basis: estimates behind `current`; pending_basis: behind `pending`.
    answer_bytes: as in `SessionSpec`. uplink: what all outgoing links of the origin share. excess: what frames that
    left the origin took beyond prediction. loads: of nodes that report them; rate_per_s: frames that the stream brings.
    sharing: of moves by load; is_pending_by_load: whether `pending` is one. orphaned: load of a node of the plan in use
    as it was lost, None when none was.
    """

    origin: NodeId
    now_s: float = 0.0
    nodes: Mapping[NodeId, Tier] = field(default_factory=dict)
    incarnations: Mapping[NodeId, str] = field(default_factory=dict)
    profiles: Mapping[NodeId, Profile] = field(default_factory=dict)
    links: Mapping[Link, LinkEstimate] = field(default_factory=dict)
    compute_ratio: Mapping[NodeId, float] = field(default_factory=dict)
    queue_s: Mapping[NodeId, float] = field(default_factory=dict)
    compression_ratio: Mapping[tuple[int, Codec], float] = field(default_factory=dict)
    free_memory_bytes: Mapping[NodeId, int] = field(default_factory=dict)
    objective: Goal = Objective.LATENCY
    constraints: Constraints = field(default_factory=Constraints)
    energy_scope: EnergyScope = EnergyScope.ALL
    answer_bytes: int | None = None
    current: Plan | None = None
    generation: int = -1
    serving_since_s: float = -math.inf
    restarted: frozenset[NodeId] = frozenset()
    first: Plan | None = None
    pending: Plan | None = None
    refused: tuple[Refused, ...] = ()
    watched: Mapping[Plan, Watched] = field(default_factory=dict)
    basis: Basis | None = None
    pending_basis: Basis | None = None
    uplink: Uplink | None = None
    excess: Excess = field(default_factory=Excess)
    is_pending_by_load: bool = False
    sharing: Sharing = field(default_factory=Sharing)
    loads: Mapping[NodeId, NodeLoad] = field(default_factory=dict)
    rate_per_s: float = 0.0
    orphaned: NodeLoad | None = None

    @property
    def is_uplink_silent(self) -> bool:
        """Whether nobody knows what the uplink carries now."""
        return self.uplink is not None and self.uplink.is_silent

    @property
    def silent(self) -> frozenset[NodeId]:
        """Nodes to which nothing gets through from here now, though they may be alive."""
        return frozenset([link[1] for link, known in self.links.items() if known.is_silent and link[0] == self.origin])

    @property
    def excess_ratio(self) -> float:
        """What transfers over the links of the origin are to be expected to take beyond their forecast, over it."""
        if isinstance(self.objective, Within):
            return self.excess.quantile_ratio(SURE_SHARE, self.now_s)
        return self.excess.mean_ratio(self.now_s)

    @property
    def shared(self) -> Shared:
        """What prices of shared nodes follow from."""
        return Shared(self.loads, self.rate_per_s, self.current)


def apply(view: View, event: Event) -> View:
    """`view` after `event`. Events in any order are fine; time never runs backwards."""
    if isinstance(event, LinkMeasured):
        return _link_measured(view, event.estimate, max(view.now_s, event.at_s))
    if isinstance(event, ComputeMeasured):
        ratios = {**view.compute_ratio, event.node: event.ratio}
        return replace(view, now_s=max(view.now_s, event.at_s), compute_ratio=ratios)
    if event.at_s > view.now_s:
        view = replace(view, now_s=event.at_s)
    match event:
        case NodeJoined(node, tier, incarnation):
            return _joined(view, node, tier, incarnation)
        case NodeLeft(node):
            memory = _without(view.free_memory_bytes, node)
            is_orphaned = view.current is not None and node in view.current.nodes
            return replace(
                view,
                nodes=_without(view.nodes, node),
                free_memory_bytes=memory,
                queue_s=_without(view.queue_s, node),
                orphaned=view.loads.get(node) if is_orphaned else view.orphaned,
                loads=_without(view.loads, node),
            )
        case ProfileKnown(node, profile):
            ratios = _without(view.compute_ratio, node)
            return replace(view, profiles={**view.profiles, node: profile}, compute_ratio=ratios)
        case CompressionMeasured(cut, codec, ratio):
            return replace(view, compression_ratio={**view.compression_ratio, (cut, codec): ratio})
        case LoadMeasured(node, queue_s, load=load):
            loads = view.loads if load is None else {**view.loads, node: load}
            return replace(view, queue_s={**view.queue_s, node: queue_s}, loads=loads)
        case RateMeasured(rate_per_s):
            return replace(view, rate_per_s=rate_per_s)
        case MoveHeld(is_held):
            return replace(view, sharing=held(view.sharing, is_held, view.now_s))
        case MemoryMeasured(node, n_bytes):
            return replace(view, free_memory_bytes={**view.free_memory_bytes, node: n_bytes})
        case ObjectiveSet(objective, constraints):
            return replace(view, objective=objective, constraints=constraints)
        case EnergyScopeSet(scope):
            return replace(view, energy_scope=scope)
        case SwitchStarted(plan, _, is_by_load):
            return replace(view, pending=plan, pending_basis=_basis(view), is_pending_by_load=is_by_load)
        case PlanServing(plan, generation):
            return _serving(view, plan, generation)
        case SwitchFailed(plan, reason, node, at_s):
            refused = (*view.refused[-_MOST_REMEMBERED:], Refused(plan, reason, node, at_s))
            view = replace(view, refused=refused)
            return replace(view, pending=None, pending_basis=None) if plan == view.pending else view
        case ExcessMeasured(excess_s, transfer_s, at_s):
            return replace(view, excess=observe_excess(view.excess, excess_s, transfer_s, at_s))
        case LatencyMeasured():
            return _measured(view, event)
        case Tick():
            return view
        case _:
            assert_never(event)


def problem_of(view: View) -> Problem | None:
    """The planning problem over the nodes that are there now; None while the origin has no profile."""
    here = view.profiles.get(view.origin)
    if here is None:
        return None
    problem = Problem(
        origin=view.origin,
        cuts=here.cuts,
        profiles=_usable(view, here),
        links=view.links,
        compute_ratio=view.compute_ratio,
        queue_s=view.queue_s,
        compression_ratio=view.compression_ratio,
        free_memory_bytes=view.free_memory_bytes,
        objective=view.objective,
        constraints=view.constraints,
        energy_scope=view.energy_scope,
        read_bytes=view.answer_bytes,
    )
    return view.shared.waiting(problem) if view.loads else problem


def _usable(view: View, here: Profile) -> Mapping[NodeId, Profile]:
    """Profiles of the nodes that are there, and of the model of the origin's."""
    last_cut = here.cuts[-1].index
    return {
        node: profile
        for node, profile in view.profiles.items()
        if (node in view.nodes or node == view.origin) and profile.cuts[-1].index == last_cut
    }


_MOST_REMEMBERED = 16


_Value = TypeVar("_Value")


def _joined(view: View, node: NodeId, tier: Tier, incarnation: str) -> View:
    """A new process begins without segments, load or a record of refusals; profile and links stay: same machine."""
    joined = replace(view, nodes={**view.nodes, node: tier}, incarnations={**view.incarnations, node: incarnation})
    if view.incarnations.get(node, incarnation) == incarnation:
        return joined
    in_use = view.current is not None and node in view.current.nodes
    return replace(
        joined,
        restarted=view.restarted | {node} if in_use else view.restarted,
        compute_ratio=_without(view.compute_ratio, node),
        queue_s=_without(view.queue_s, node),
        loads=_without(view.loads, node),
        refused=tuple(refused for refused in view.refused if node not in refused.plan.nodes),
    )


def _link_measured(view: View, link: LinkEstimate, now_s: float) -> View:
    """`view` with the estimate of `link`; one of the origin tells of the uplink too."""
    pair: Link = (link.source, link.target)
    uplink = view.uplink
    if link.source == view.origin:
        uplink = observe_uplink(uplink, view.links.get(pair), link, now_s)
    return replace(view, now_s=now_s, links={**view.links, pair: link}, uplink=uplink)


def _serving(view: View, plan: Plan, generation: int) -> View:
    was_planned = plan == view.pending
    sharing = view.sharing
    if was_planned and view.is_pending_by_load:
        sharing = moved(sharing, view.now_s)
    return replace(
        view,
        sharing=sharing,
        orphaned=None,
        current=plan,
        generation=generation,
        serving_since_s=view.now_s,
        restarted=frozenset(),
        first=view.first or plan,
        pending=None if was_planned else view.pending,
        pending_basis=None if was_planned else view.pending_basis,
        basis=view.pending_basis if was_planned and view.pending_basis is not None else _basis(view),
        refused=tuple(refused for refused in view.refused if refused.plan != plan),
    )


def _measured(view: View, event: LatencyMeasured) -> View:
    """Compare with what the current estimates predict; frames of an earlier generation say nothing about this one."""
    problem = problem_of(view)
    if event.generation != view.generation or view.current is None or problem is None:
        return view
    if why_infeasible(view.current, problem) is not None:
        return view
    predicted_s = latency_s(view.current, problem)
    if not 0.0 < predicted_s < math.inf:
        return view
    known = Watched(event.latency_s, event.latency_s / predicted_s, event.n_frames, event.at_s)
    others = [(plan, watched) for plan, watched in view.watched.items() if plan != view.current]
    watched = dict([*others[-_MOST_REMEMBERED:], (view.current, known)])
    return replace(view, watched=watched, sharing=measured(view.sharing, known.ratio))


def _basis(view: View) -> Basis:
    problem = problem_of(view)
    return Basis(
        nodes=frozenset(view.nodes.keys() & view.profiles.keys()),
        links=view.links,
        compute_ratio=view.compute_ratio,
        queue_s=view.queue_s if problem is None else problem.queue_s,
        loads={} if problem is None else view.shared.others(problem),
        objective=view.objective,
        constraints=view.constraints,
        energy_scope=view.energy_scope,
    )


def _without(mapping: Mapping[NodeId, _Value], node: NodeId) -> dict[NodeId, _Value]:
    return {known: value for known, value in mapping.items() if known != node}
