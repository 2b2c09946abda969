"""Policy adapters: who decides in a simulated run, as `core.session` asks; a policy of the core, a baseline that has no
place there, or a schedule known before.

`CorePolicyAdapter` only asks `core.adaptation.policy.decide`; that is what `seamline run` does too.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Protocol

from seamline.core.adaptation.decision_cache import DecisionCache
from seamline.core.adaptation.policy import Adaptive, Decision, Fixed, Keep, Policy, Switch
from seamline.core.adaptation.view import View, problem_of
from seamline.core.cost.feasibility import why_infeasible
from seamline.core.planning.planner import Planner
from seamline.core.session.pilot import DECISION_INTERVAL_S
from seamline.core.vocabulary.errors import Infeasible
from seamline.core.vocabulary.links import Link
from seamline.core.vocabulary.plans import Plan


class PolicyAdapter(Protocol):
    """Asked by the session for every decision.

    policy: what the session is told it follows. is_probing: whether idle links are measured for it. knows_true_links:
    links are told to it as they are, so none is measured, and its frames' windows and deadlines follow the truth.
    has_deadlines: whether its frames are given up early. moments_s: when it wants to be asked besides.
    """

    @property
    def policy(self) -> Policy: ...

    @property
    def is_probing(self) -> bool: ...

    @property
    def knows_true_links(self) -> bool: ...

    @property
    def has_deadlines(self) -> bool: ...

    @property
    def moments_s(self) -> Sequence[float]: ...

    def __call__(self, view: View, policy: Policy) -> Decision:
        """The decision over `view`."""
        ...


@dataclass(slots=True)
class CorePolicyAdapter:
    """A policy of the core, or the one that the session follows instead for a while, behind the core's cache of
    decisions.

    is_measuring: a policy that pins one plan asks estimates for no more than windows and deadlines, so it is told true
    links instead, unless this says otherwise. That takes a third of the time to play and flatters it: by a fifth and
    more where a link stalls, as too many frames wait behind what is overdue when that is not known.
    """

    policy: Policy
    is_measuring: bool = False
    moments_s: Sequence[float] = ()
    has_deadlines: bool = True
    _cache: DecisionCache = field(init=False)

    def __post_init__(self) -> None:
        self._cache = DecisionCache(self.policy)

    @property
    def is_probing(self) -> bool:
        return self.is_measuring or isinstance(self.policy, Adaptive)

    @property
    def knows_true_links(self) -> bool:
        return not self.is_probing

    def __call__(self, view: View, policy: Policy) -> Decision:
        if policy is not self._cache.policy:  # a plan was pinned by hand, or is no longer
            self._cache = DecisionCache(policy)
        return self._cache.decide(view)


@dataclass(slots=True)
class LastValue:
    """Plans anew every second on the last transfer of each link, and takes whatever is best: no estimate, no
    hysteresis.

    sample_bps: goodput of the last transfer over a link, 0.0 when it is down. Set when the run is put together.
    """

    sample_bps: Callable[[Link], float] = lambda link: 0.0
    policy: Policy = field(default_factory=Adaptive)
    is_probing: bool = True
    knows_true_links: bool = False
    has_deadlines: bool = True
    moments_s: Sequence[float] = ()
    _decided_s: float = -math.inf
    _planner: Planner = field(default_factory=Planner)

    def __call__(self, view: View, policy: Policy) -> Decision:
        problem = problem_of(view)
        if problem is None or view.pending is not None:
            return Keep("not ready")
        is_lost = view.current is not None and any(node not in problem.profiles for node in view.current.nodes)
        is_time = view.now_s - self._decided_s >= DECISION_INTERVAL_S
        if not (is_time or is_lost or view.current is None):
            return Keep("only every second")
        self._decided_s = view.now_s
        sampled = {
            link: replace(known, goodput_bps=self.sample_bps(link), goodput_std_ratio=0.0)
            for link, known in problem.links.items()
        }
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
    knows_true_links: bool = True
    has_deadlines: bool = False

    @property
    def policy(self) -> Policy:
        return Fixed(self.plans[0][1])

    @property
    def moments_s(self) -> Sequence[float]:
        return [at_s - self.lead_s for at_s, _ in self.plans[1:]]

    def __call__(self, view: View, policy: Policy) -> Decision:
        problem = problem_of(view)
        if view.pending is not None or problem is None:
            return Keep("under way")
        moment_s = view.now_s + self.lead_s + _ROUNDING_S
        wanted = self.plans[max(0, bisect.bisect_right(self.plans, moment_s, key=itemgetter(0)) - 1)][1]
        if wanted == view.current:
            return Keep("as planned")
        if view.current is not None and (reason := why_infeasible(wanted, problem)) is not None:
            return Keep(reason)
        return Switch(wanted, "as planned")


_ROUNDING_S = 1e-9
