"""Decisions in words and numbers: which estimate moved since the current plan was chosen, and how far.

People read the result; nothing computes with it. How figures are worded is `core.vocabulary.quantities`' business.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from seamline.core.adaptation.view import Basis, View
from seamline.core.cost.formulas import Breakdown, LinkCost, StageCost
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.quantities import duration_change, megabits_per_second, rate_change

JUMP_RATIO = 1.3
"""A factor that makes waiting out a cooldown pointless, if it changes a plan's time by `JUMP_EFFECT_RATIO`."""


JUMP_EFFECT_RATIO = 0.05


_WORTH_SAYING_RATIO = 1.1


_WORTH_SAYING_S = 0.001


_BESIDE_LARGEST_RATIO = 0.1


@dataclass(frozen=True, slots=True)
class Move:
    """An estimate that moved. effect_s: change of a plan's time; log_factor: change of the estimate itself.

    is_worse: the plan takes longer by it.
    """

    effect_s: float
    log_factor: float
    words: str
    is_worse: bool = False


def what_moved(view: View, before: Breakdown, after: Breakdown) -> list[str]:
    """Changes since the plan of `before` was chosen that speak for the one of `after`, the largest effect first.

    What made `before` slower or `after` quicker does; a link that fell is no reason for a plan that uses it the more.
    """
    for_after: dict[str, float] = {}
    for costs, sign in ((before, 1.0), (after, -1.0)):
        for move in _moves(view, costs):
            effect_s = move.effect_s if move.is_worse else -move.effect_s
            for_after[move.words] = for_after.get(move.words, 0.0) + sign * effect_s
    speaking = {**dict.fromkeys(_changed_wishes(view), math.inf), **for_after}
    least_s = max(_WORTH_SAYING_S, _BESIDE_LARGEST_RATIO * max(speaking.values(), default=0.0))
    if math.isinf(least_s):
        least_s = _WORTH_SAYING_S
    return [words for words in sorted(speaking, key=lambda words: -speaking[words]) if speaking[words] >= least_s]


def has_jumped(view: View, concerned: Sequence[Breakdown]) -> bool:
    """Whether an estimate has moved by more than `JUMP_RATIO` since, with an effect on the plans concerned."""
    if view.basis is None:
        return True
    least_s = JUMP_EFFECT_RATIO * min(costs.latency_s for costs in concerned)
    moves = [move for costs in concerned for move in _moves(view, costs)]
    return bool(_changed_wishes(view)) or any(
        move.log_factor > math.log(JUMP_RATIO) and move.effect_s > least_s for move in moves
    )


def _changed_wishes(view: View) -> list[str]:
    """What somebody has asked for since."""
    basis, words = view.basis, list[str]()
    if basis is None:
        return words
    if view.objective != basis.objective:
        words.append(f"the objective is now {view.objective}")
    if view.energy_scope != basis.energy_scope:
        words.append(f"joules that count are now those of {view.energy_scope}")
    if view.constraints != basis.constraints:
        words.append("the constraints have changed")
    return words


def _moves(view: View, costs: Breakdown) -> list[Move]:
    """Estimates that the plan of `costs` uses and that moved."""
    basis = view.basis
    if basis is None:
        return []
    moves: list[Move] = []
    for link in costs.all_links:
        ends = (link.source, link.target)
        moves += _link_moves(link, basis.links.get(ends), view.links.get(ends))
    for stage in costs.stages:
        moves += _node_moves(stage, view, basis)
    return moves


def _link_moves(cost: LinkCost, before: LinkEstimate | None, now: LinkEstimate | None) -> list[Move]:
    name = f"{cost.source}->{cost.target}"
    if now is None or now.goodput_bps <= 0.0:
        return []  # a link that is down makes a plan impossible, which is said elsewhere
    if before is None or before.goodput_bps <= 0.0:
        return [Move(cost.transfer_s, math.inf, f"{name} is there now with {megabits_per_second(now.goodput_bps)}")]
    moves: list[Move] = []
    factor = now.goodput_bps / before.goodput_bps
    if abs(math.log(factor)) > math.log(_WORTH_SAYING_RATIO):
        verb = "fell" if factor < 1.0 else "rose"
        words = f"{name} {verb} {rate_change(before.goodput_bps, now.goodput_bps)}"
        moves.append(Move(cost.serialise_s * abs(1.0 - factor), abs(math.log(factor)), words, factor < 1.0))
    longer_s = now.rtt_s - before.rtt_s
    if abs(longer_s) > 0.25 * before.rtt_s:
        verb = "fell" if longer_s < 0.0 else "rose"
        words = f"the round trip {name} {verb} {duration_change(before.rtt_s, now.rtt_s)}"
        size = abs(math.log(max(now.rtt_s, 1e-3) / max(before.rtt_s, 1e-3)))
        moves.append(Move(abs(longer_s) / 2, size, words, longer_s > 0.0))
    return moves


def _node_moves(cost: StageCost, view: View, basis: Basis) -> list[Move]:
    if cost.segment.is_empty:
        return []
    node, moves = cost.node, list[Move]()
    if node not in basis.nodes and node != view.origin:
        moves.append(Move(cost.busy_s, math.inf, f"{node} is there now"))
    was, is_now = basis.compute_ratio.get(node, 1.0), view.compute_ratio.get(node, 1.0)
    if abs(math.log(is_now / was)) > math.log(_WORTH_SAYING_RATIO):
        words = (
            f"{node} {'sped up' if is_now < was else 'slowed'} from {was:.1f}x to {is_now:.1f}x of its profiled time"
        )
        effect_s = cost.compute_s * abs(1.0 - was / is_now)
        moves.append(Move(effect_s, abs(math.log(is_now / was)), words, is_now > was))
    before_s, now_s = basis.queue_s.get(node, 0.0), cost.queue_s
    if before_s != now_s:
        verb = "fell" if now_s < before_s else "grew"
        words = f"waiting on {node} {verb} {duration_change(before_s, now_s)}"
        is_shared = node in view.loads  # what others do is no reason to hurry: moves for it take turns
        size = 0.0 if is_shared else abs(math.log((now_s + 0.01) / (before_s + 0.01)))
        moves.append(Move(abs(now_s - before_s), size, words, now_s > before_s))
    return moves
