"""Which limit is in the way where there is no plan, in words; and what could be done without it.

Found by searching again without one limit after the other, for latency, which is quick and always known: the plan that
would be allowed then is the one that comes nearest. Searching is `additive.py`'s business, costs are `formulas.py`'s;
why one given plan may not be used is `feasibility.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from seamline.core.cost.feasibility import refusal
from seamline.core.cost.formulas import latency_s
from seamline.core.cost.problem import Problem
from seamline.core.cost.rates import Rates
from seamline.core.planning.additive import search_additive
from seamline.core.planning.problem_arrays import OFFLOAD, tables_of
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import Infeasible
from seamline.core.vocabulary.objectives import Objective, Within, counts_energy
from seamline.core.vocabulary.plans import Codec, Plan

_MORE_NODES = "bring another node within reach"


def infeasible(problem: Problem) -> Infeasible:
    """Why no plan at all is allowed: the one limit without which the quickest plan would be, and that plan."""
    quickest, goal = _quickest(problem), problem.objective
    if quickest is None:
        return _bound(problem)
    seconds = latency_s(quickest, problem)
    if isinstance(goal, Within) and not goal.is_met(seconds):
        return Infeasible(
            f"no plan answers within {goal.slo_s * 1e3:g} ms, the quickest takes {seconds * 1e3:.0f}: `{quickest}`",
            hint="allow more time, codecs or nodes",
        )
    is_origin = tables_of(problem).idle_w is None
    who = f"`{problem.origin}` has" if is_origin else "the nodes that could take part have"
    of = f"`{problem.origin}` draws" if is_origin else "nodes draw"
    return Infeasible(
        f"no plan fits: {who} no power figures", hint=f"say what {of}, with --power, or `power` in a testbed file"
    )


def why_none(kind: int, problem: Problem) -> str:
    """The one limit that, lifted, would allow a plan of `kind`, OFFLOAD or SPLIT; in words."""
    if len(problem.profiles) < 2:
        return "no other node with a profile is there"
    if counts_energy(problem.objective) and tables_of(problem).idle_w is None:
        return f"`{problem.origin}` has no power figures"

    def search(relaxed: Problem) -> Plan | None:
        found = search_additive(tables_of(relaxed))[kind]
        return None if found is None else found.plan(problem.last_cut)

    if search(problem) is not None:  # then it is the deadline
        found = search_additive(tables_of(problem), Rates())[kind]
        return f"the quickest takes {0.0 if found is None else found.cost * 1e3:.0f} ms"
    limits = _limits_on(problem)
    for limit in limits:
        if (nearest := search(limit.lift(problem))) is not None:
            return limit.words(nearest, problem)
    if (nearest := search(_without(limits, problem))) is not None:
        return _words(_fewest(limits, problem, search), nearest, problem)
    by_latency = tables_of(replace(problem, objective=Objective.LATENCY))
    if counts_energy(problem.objective) and search_additive(by_latency)[kind] is not None:
        return "the nodes that could take part have no power figures"
    return "no link there and back is up" if kind == OFFLOAD or len(problem.cuts) > 2 else "there is no cut"


@dataclass(frozen=True, slots=True)
class _Limit:
    """A limit that is in force. words: what it forbids, by a plan that it forbids. hint: how to lift it."""

    lift: Callable[[Problem], Problem]
    words: Callable[[Plan, Problem], str]
    hint: str


def _bound(problem: Problem) -> Infeasible:
    """`Infeasible` by limits: the single one that costs most, or the fewest that must go together."""
    limits = [*_limits_on(problem), *_local_limit(problem)]
    alone = [([limit], plan) for limit in limits if (plan := _quickest(limit.lift(problem))) is not None]
    if alone:
        binding, nearest = min(alone, key=lambda each: latency_s(each[1], problem))
    else:
        binding = _fewest(limits, problem, _quickest)
        everywhere = _quickest(_without(binding, problem))
        assert everywhere is not None, "where nothing is limited, the origin runs everything"
        nearest = everywhere
    words, hint = _words(binding, nearest, problem), "; ".join(limit.hint for limit in binding)
    if nearest.is_local and (nobody := _nobody(problem)) is not None:
        words, hint = f"{words}, and {nobody}", f"{hint}; {_MORE_NODES}"
    seconds = latency_s(nearest, problem)
    those = "that" if len(binding) == 1 else "those"
    return Infeasible(
        f"no plan fits: {words}; without {those} `{nearest}` would take {seconds * 1e3:.0f} ms", hint=hint
    )


def _words(binding: list[_Limit], nearest: Plan, problem: Problem) -> str:
    return ", and ".join(limit.words(nearest, problem) for limit in binding)


def _quickest(problem: Problem) -> Plan | None:
    """The allowed plan of the least latency, whatever the goal; None when there is none."""
    by_latency = replace(problem, objective=Objective.LATENCY)
    found = [each.plan(problem.last_cut) for each in search_additive(tables_of(by_latency)) if each is not None]
    local = Plan.local(problem.origin, len(problem.cuts))
    if refusal(local, problem) is None:
        found.insert(0, local)
    return min(found, key=lambda each: latency_s(each, problem), default=None)


def _without(limits: Sequence[_Limit], problem: Problem) -> Problem:
    for limit in limits:
        problem = limit.lift(problem)
    return problem


def _fewest(limits: list[_Limit], problem: Problem, search: Callable[[Problem], Plan | None]) -> list[_Limit]:
    """Those of `limits` that must be lifted together for `search` to find a plan; each one of them must."""
    kept = list(limits)
    for limit in limits:
        others = [each for each in kept if each is not limit]
        if search(_without(others, problem)) is not None:
            kept = others
    return kept


def _limits_on(problem: Problem) -> list[_Limit]:
    """Every limit in force on plans over more than one node."""
    limits = problem.constraints
    found = []
    if limits.memory_bytes or problem.free_memory_bytes:
        found.append(_Limit(_boundless, _shortage, f"allow more --memory, or {_MORE_NODES}"))
    if not limits.allow_offload:
        found.append(_limit("offloading everything is not allowed", "allow offloading", allow_offload=True))
    if limits.n_private_cuts:
        private = f"the first {limits.n_private_cuts} cuts may not leave `{problem.origin}`"
        found.append(_limit(private, "lower --private, or --trust a node", n_private_cuts=0))
    if set(limits.codecs) != set(Codec):
        codecs = f"codecs are limited to {', '.join(limits.codecs) or 'none'}"
        found.append(_limit(codecs, "allow more --codecs", codecs=tuple(Codec)))
    if limits.pins:
        pinned = ", ".join(f"the layers before cut {place} to `{node}`" for place, node in limits.pins)
        found.append(_limit(f"pinned are {pinned}", "take a --pin away", pins=()))
    if words := _forbidden(limits):
        nothing = {"forbidden_nodes": (), "forbidden_links": (), "forbidden_codecs": ()}
        found.append(_limit(f"forbidden are {words}", "--forbid less", **nothing))
    return found


def _local_limit(problem: Problem) -> list[_Limit]:
    if problem.constraints.allow_local:
        return []
    return [_limit("running everything on the origin is not allowed", "allow local plans", allow_local=True)]


def _limit(words: str, hint: str, **lifted: Any) -> _Limit:
    """One that is gone where constraints are `lifted`."""
    return _Limit(
        lambda problem: replace(problem, constraints=replace(problem.constraints, **lifted)), lambda *_: words, hint
    )


def _boundless(problem: Problem) -> Problem:
    return replace(problem, constraints=replace(problem.constraints, memory_bytes=()), free_memory_bytes={})


def _shortage(nearest: Plan, problem: Problem) -> str:
    """Which node `nearest` would overfill."""
    alone = replace(Constraints(codecs=tuple(Codec)), memory_bytes=problem.constraints.memory_bytes)
    return refusal(nearest, replace(problem, constraints=alone)) or "memory is limited"


def _nobody(problem: Problem) -> str | None:
    """What is in the way of all plans over more than one node, whatever is allowed; None when nothing is."""
    if len(problem.profiles) < 2:
        return "no other node with a profile is there"
    free = replace(_boundless(problem), constraints=Constraints(codecs=tuple(Codec)), objective=Objective.LATENCY)
    return "no link there and back is up" if search_additive(tables_of(free)) == (None, None) else None


def _forbidden(limits: Constraints) -> str:
    words = [f"`{node}`" for node in limits.forbidden_nodes]
    words += [f"{source}->{target}" for source, target in limits.forbidden_links]
    words += [f"{codec} on `{node}`" for node, codec in limits.forbidden_codecs]
    return ", ".join(words)
