"""Infeasibility: which constraint binds where there is no plan, in words; and what could be done without it.

Found by searching again without one constraint after the other, for latency, which is quick and always known: the plan
that would be allowed then is the one that comes nearest. Searching is `additive.py`'s business, costs are
`formulas.py`'s; why one given plan may not be used is `feasibility.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from seamline.core.cost.feasibility import why_infeasible
from seamline.core.cost.formulas import latency_s
from seamline.core.cost.problem import Problem
from seamline.core.cost.rates import Rates
from seamline.core.planning.additive import search_additive
from seamline.core.planning.model_arrays import ModelArrays
from seamline.core.planning.problem_arrays import OFFLOAD, arrays_of
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import Infeasible
from seamline.core.vocabulary.objectives import Objective, Within, counts_energy
from seamline.core.vocabulary.plans import EIGHT_BIT_CODECS, Codec, Plan

_MORE_NODES = "bring another node within reach"


def infeasible(problem: Problem, model: ModelArrays | None = None) -> Infeasible:
    """Error for no plan at all: the one constraint without which the quickest plan would be allowed, and that plan.

    model: what a planner keeps from problem to problem.
    """
    model = ModelArrays() if model is None else model
    quickest, goal = _quickest(problem, model), problem.objective
    if quickest is None:
        return _by_constraints(problem, model)
    seconds = latency_s(quickest, problem)
    if isinstance(goal, Within) and not goal.is_met(seconds):
        return Infeasible(
            f"no plan answers within {goal.slo_s * 1e3:g} ms, the quickest takes {seconds * 1e3:.0f}: `{quickest}`",
            hint="allow more time, codecs or nodes",
        )
    is_origin = arrays_of(problem, model).idle_w is None
    who = f"`{problem.origin}` has" if is_origin else "the nodes that could take part have"
    of = f"`{problem.origin}` draws" if is_origin else "nodes draw"
    return Infeasible(
        f"no plan fits: {who} no power figures", hint=f"say what {of}, with --power, or `power` in a testbed file"
    )


def why_no_plan(kind: int, problem: Problem) -> str:
    """The one constraint that, lifted, would allow a plan of `kind`, OFFLOAD or SPLIT; in words."""
    if len(problem.profiles) < 2:
        return "no other node with a profile is there"
    model = ModelArrays()
    if counts_energy(problem.objective) and arrays_of(problem, model).idle_w is None:
        return f"`{problem.origin}` has no power figures"

    def search(relaxed: Problem) -> Plan | None:
        found = search_additive(arrays_of(relaxed, model))[kind]
        return None if found is None else found.plan(problem.last_cut)

    if search(problem) is not None:  # then it is the deadline
        found = search_additive(arrays_of(problem, model), Rates())[kind]
        return f"the quickest takes {0.0 if found is None else found.cost * 1e3:.0f} ms"
    constraints = _constraints_on(problem)
    for constraint in constraints:
        if (nearest := search(constraint.lift(problem))) is not None:
            return constraint.words(nearest, problem)
    if (nearest := search(_without(constraints, problem))) is not None:
        return _words(_fewest_binding(constraints, problem, search), nearest, problem)
    by_latency = arrays_of(replace(problem, objective=Objective.LATENCY), model)
    if counts_energy(problem.objective) and search_additive(by_latency)[kind] is not None:
        return "the nodes that could take part have no power figures"
    return "no link there and back is up" if kind == OFFLOAD or len(problem.cuts) > 2 else "there is no cut"


@dataclass(frozen=True, slots=True)
class _Constraint:
    """A constraint in force. words: what it forbids, by a plan that it forbids. hint: how to lift it."""

    lift: Callable[[Problem], Problem]
    words: Callable[[Plan, Problem], str]
    hint: str


def _by_constraints(problem: Problem, model: ModelArrays) -> Infeasible:
    """`Infeasible` by constraints: the single one that costs most, or the fewest that must go together."""
    constraints = [*_constraints_on(problem), *_local_constraint(problem)]
    alone = [
        ([constraint], plan)
        for constraint in constraints
        if (plan := _quickest(constraint.lift(problem), model)) is not None
    ]
    if alone:
        binding, nearest = min(alone, key=lambda each: latency_s(each[1], problem))
    else:
        binding = _fewest_binding(constraints, problem, lambda relaxed: _quickest(relaxed, model))
        everywhere = _quickest(_without(binding, problem), model)
        assert everywhere is not None, "where nothing is limited, the origin runs everything"
        nearest = everywhere
    words, hint = _words(binding, nearest, problem), "; ".join(constraint.hint for constraint in binding)
    if nearest.is_local and (no_helper := _no_helper(problem, model)) is not None:
        words, hint = f"{words}, and {no_helper}", f"{hint}; {_MORE_NODES}"
    seconds = latency_s(nearest, problem)
    those = "that" if len(binding) == 1 else "those"
    return Infeasible(
        f"no plan fits: {words}; without {those} `{nearest}` would take {seconds * 1e3:.0f} ms", hint=hint
    )


def _words(binding: list[_Constraint], nearest: Plan, problem: Problem) -> str:
    return ", and ".join(constraint.words(nearest, problem) for constraint in binding)


def _quickest(problem: Problem, model: ModelArrays) -> Plan | None:
    """The allowed plan of the least latency, whatever the goal; None when there is none."""
    by_latency = replace(problem, objective=Objective.LATENCY)
    found = [each.plan(problem.last_cut) for each in search_additive(arrays_of(by_latency, model)) if each is not None]
    local = Plan.local(problem.origin, len(problem.cuts))
    if why_infeasible(local, problem) is None:
        found.insert(0, local)
    return min(found, key=lambda each: latency_s(each, problem), default=None)


def _without(constraints: Sequence[_Constraint], problem: Problem) -> Problem:
    for constraint in constraints:
        problem = constraint.lift(problem)
    return problem


def _fewest_binding(
    constraints: list[_Constraint], problem: Problem, search: Callable[[Problem], Plan | None]
) -> list[_Constraint]:
    """Smallest set of `constraints` that must be lifted together for `search` to find a plan; each one of them must."""
    kept = list(constraints)
    for constraint in constraints:
        others = [each for each in kept if each is not constraint]
        if search(_without(others, problem)) is not None:
            kept = others
    return kept


def _constraints_on(problem: Problem) -> list[_Constraint]:
    """Every constraint in force on plans over more than one node."""
    given = problem.constraints
    found = []
    if given.memory_bytes or problem.free_memory_bytes:
        found.append(_Constraint(_without_memory_limits, _memory_shortage, f"allow more --memory, or {_MORE_NODES}"))
    if not given.allow_offload:
        found.append(_liftable("offloading everything is not allowed", "allow offloading", allow_offload=True))
    if given.n_private_cuts:
        private = f"the first {given.n_private_cuts} cuts may not leave `{problem.origin}`"
        found.append(_liftable(private, "lower --private, or --trust a node", n_private_cuts=0))
    if not set(EIGHT_BIT_CODECS).issubset(given.codecs):
        codecs = f"codecs are limited to {', '.join(given.codecs) or 'none'}"
        found.append(_liftable(codecs, "allow more --codecs", codecs=tuple(Codec)))
    if given.pins:
        pinned = ", ".join(f"the layers before cut {place} to `{node}`" for place, node in given.pins)
        found.append(_liftable(f"pinned are {pinned}", "take a --pin away", pins=()))
    if words := _forbidden(given):
        nothing = {"forbidden_nodes": (), "forbidden_links": (), "forbidden_codecs": ()}
        found.append(_liftable(f"forbidden are {words}", "--forbid less", **nothing))
    return found


def _local_constraint(problem: Problem) -> list[_Constraint]:
    if problem.constraints.allow_local:
        return []
    return [_liftable("running everything on the origin is not allowed", "allow local plans", allow_local=True)]


def _liftable(words: str, hint: str, **lifted: Any) -> _Constraint:
    """One that is gone where constraints are `lifted`."""
    return _Constraint(
        lambda problem: replace(problem, constraints=replace(problem.constraints, **lifted)), lambda *_: words, hint
    )


def _without_memory_limits(problem: Problem) -> Problem:
    return replace(problem, constraints=replace(problem.constraints, memory_bytes=()), free_memory_bytes={})


def _memory_shortage(nearest: Plan, problem: Problem) -> str:
    """Words for the node that `nearest` would overfill."""
    alone = replace(Constraints(codecs=tuple(Codec)), memory_bytes=problem.constraints.memory_bytes)
    return why_infeasible(nearest, replace(problem, constraints=alone)) or "memory is limited"


def _no_helper(problem: Problem, model: ModelArrays) -> str | None:
    """Reason why no other node can help, whatever is allowed; None when one can."""
    if len(problem.profiles) < 2:
        return "no other node with a profile is there"
    free = replace(
        _without_memory_limits(problem), constraints=Constraints(codecs=tuple(Codec)), objective=Objective.LATENCY
    )
    return "no link there and back is up" if search_additive(arrays_of(free, model)) == (None, None) else None


def _forbidden(given: Constraints) -> str:
    words = [f"`{node}`" for node in given.forbidden_nodes]
    words += [f"{source}->{target}" for source, target in given.forbidden_links]
    words += [f"{codec} on `{node}`" for node, codec in given.forbidden_codecs]
    return ", ".join(words)
