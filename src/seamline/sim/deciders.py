"""Who decides in a simulated run: a policy of the core, a baseline that has no place there, or a schedule known before.

`PolicyDecider` only asks `core.adaptation.policy.decide`; that is what `seamline run` does too.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from seamline.core.adaptation.decision_cache import DecisionCache
from seamline.core.adaptation.policy import Adaptive, Decision, Keep, Policy, Switch
from seamline.core.adaptation.view import View, problem_of
from seamline.core.cost.feasibility import why_infeasible
from seamline.core.planning.planner import Planner
from seamline.core.vocabulary.errors import Infeasible
from seamline.core.vocabulary.links import Link
from seamline.core.vocabulary.plans import Plan
from seamline.sim.meter import as_last_sampled


class Decider(Protocol):
    """Asked whenever the view has changed, and every second. is_probing: whether it wants idle links measured.

    is_watching: whether it judges plans by what their frames took, too.
    is_told: links are told to it as they are, so none is estimated, and its frames' windows and deadlines follow the
    truth. is_patient: it gives no frame up early.
    moments_s: when it wants to be asked besides.
    """

    @property
    def is_told(self) -> bool: ...

    @property
    def is_patient(self) -> bool: ...

    @property
    def is_probing(self) -> bool: ...

    @property
    def is_watching(self) -> bool: ...

    @property
    def moments_s(self) -> Sequence[float]: ...

    def decide(self, view: View, *, is_floor: bool) -> Decision:
        """is_floor: nothing happened, a second has passed."""
        ...


@dataclass(slots=True)
class PolicyDecider:
    """A policy of the core, behind the core's cache of decisions.

    A policy that holds one plan asks estimates for no more than windows and deadlines. It is told instead, which takes
    a third of the time to play and flatters it a little.
    """

    policy: Policy
    _cache: DecisionCache = field(init=False)

    def __post_init__(self) -> None:
        self._cache = DecisionCache(self.policy)

    @property
    def is_probing(self) -> bool:
        return isinstance(self.policy, Adaptive)

    @property
    def is_watching(self) -> bool:
        return isinstance(self.policy, Adaptive)

    @property
    def is_told(self) -> bool:
        return not isinstance(self.policy, Adaptive)

    @property
    def is_patient(self) -> bool:
        return False

    @property
    def moments_s(self) -> Sequence[float]:
        return ()

    def decide(self, view: View, *, is_floor: bool) -> Decision:
        return self._cache.decide(view)


@dataclass(slots=True)
class LastValue:
    """Plans anew every second on the last transfer of each link, and takes whatever is best: no belief, no hysteresis.

    sample_bps: goodput of the last transfer over a link, 0.0 when it is down. Set when the run is put together.
    """

    sample_bps: Callable[[Link], float] = lambda link: 0.0
    is_probing: bool = True
    is_watching: bool = False
    is_told: bool = False
    is_patient: bool = False
    moments_s: Sequence[float] = ()
    _planner: Planner = field(default_factory=Planner)

    def decide(self, view: View, *, is_floor: bool) -> Decision:
        problem = problem_of(view)
        if problem is None or view.pending is not None:
            return Keep("not ready")
        is_lost = view.current is not None and any(node not in problem.profiles for node in view.current.nodes)
        if not (is_floor or is_lost or view.current is None):
            return Keep("only every second")
        sampled = {link: as_last_sampled(known, self.sample_bps(link)) for link, known in problem.links.items()}
        try:
            best = self._planner.plan(replace(problem, links=sampled)).plan
        except Infeasible as error:
            return Keep(str(error))
        return Keep("as before") if best == view.current else Switch(best, "the last sample says so")


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Follows a list of (at_s, plan) made before, asking for each `lead_s` ahead. An impossible plan is not taken."""

    plans: Sequence[tuple[float, Plan]]
    lead_s: float
    is_probing: bool = False
    is_watching: bool = False
    is_told: bool = True
    is_patient: bool = True

    @property
    def moments_s(self) -> Sequence[float]:
        return [at_s - self.lead_s for at_s, _ in self.plans[1:]]

    def decide(self, view: View, *, is_floor: bool) -> Decision:
        problem = problem_of(view)
        if view.pending is not None or problem is None:
            return Keep("under way")
        moment_s = view.now_s + self.lead_s + _ROUNDING_S
        wanted = self.plans[max(0, bisect.bisect_right(self.plans, moment_s, key=_time_of) - 1)][1]
        if wanted == view.current:
            return Keep("as planned")
        if view.current is not None and (reason := why_infeasible(wanted, problem)) is not None:
            return Keep(reason)
        return Switch(wanted, "as planned")


_ROUNDING_S = 1e-9


def _time_of(entry: tuple[float, Plan]) -> float:
    return entry[0]
