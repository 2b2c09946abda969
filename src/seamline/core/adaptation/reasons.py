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
    """An estimate that moved. effect_s: change of a plan's time; log_factor: change of the estimate itself."""

    effect_s: float
    log_factor: float
    words: str


def what_moved(view: View, concerned: Sequence[Breakdown]) -> list[str]:
    """What has changed for the plans `concerned` since the current one was chosen; what matters most to them first."""
    moves = sorted(_moves(view, concerned), key=lambda move: -move.effect_s)
    least_s = max(_WORTH_SAYING_S, _BESIDE_LARGEST_RATIO * moves[0].effect_s) if moves else 0.0
    return list(dict.fromkeys(move.words for move in moves if move.effect_s >= least_s))


def has_jumped(view: View, concerned: Sequence[Breakdown]) -> bool:
    """Whether an estimate has moved by more than `JUMP_RATIO` since, with an effect on the plans concerned."""
    if view.basis is None:
        return True
    least_s = JUMP_EFFECT_RATIO * min(costs.latency_s for costs in concerned)
    return any(move.log_factor > math.log(JUMP_RATIO) and move.effect_s > least_s for move in _moves(view, concerned))


def _moves(view: View, concerned: Sequence[Breakdown]) -> list[Move]:
    basis = view.basis
    if basis is None:
        return []
    moves: list[Move] = []
    if view.objective != basis.objective:
        moves.append(Move(math.inf, math.inf, f"the objective is now {view.objective}"))
    if view.energy_scope != basis.energy_scope:
        moves.append(Move(math.inf, math.inf, f"joules that count are now those of {view.energy_scope}"))
    if view.constraints != basis.constraints:
        moves.append(Move(math.inf, math.inf, "the constraints have changed"))
    for costs in concerned:
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
        moves.append(Move(cost.serialise_s * abs(1.0 - factor), abs(math.log(factor)), words))
    longer_s = now.rtt_s - before.rtt_s
    if abs(longer_s) > 0.25 * before.rtt_s:
        verb = "fell" if longer_s < 0.0 else "rose"
        words = f"the round trip {name} {verb} {duration_change(before.rtt_s, now.rtt_s)}"
        size = abs(math.log(max(now.rtt_s, 1e-3) / max(before.rtt_s, 1e-3)))
        moves.append(Move(abs(longer_s) / 2, size, words))
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
        moves.append(Move(cost.compute_s * abs(1.0 - was / is_now), abs(math.log(is_now / was)), words))
    before_s, now_s = basis.queue_s.get(node, 0.0), view.queue_s.get(node, 0.0)
    if before_s != now_s:
        verb = "fell" if now_s < before_s else "grew"
        words = f"waiting on {node} {verb} {duration_change(before_s, now_s)}"
        moves.append(Move(abs(now_s - before_s), abs(math.log((now_s + 0.01) / (before_s + 0.01))), words))
    return moves
