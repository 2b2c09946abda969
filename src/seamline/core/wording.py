"""Decisions in words and numbers: which belief moved since the current plan was chosen, and how far.

Milliseconds and Mbit/s appear here because people read the result; nothing computes with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from seamline.core.cost import Breakdown
from seamline.core.events import Basis, View
from seamline.core.values import Link, LinkEstimate, NodeId, Objective

JUMP_RATIO = 1.3
"""A factor that makes waiting out a cooldown pointless."""

_WORTH_SAYING_RATIO = 1.1
_WORTH_SAYING_S = 0.003

_Move = tuple[float, str]
"""How far (natural logarithm of the factor, or the like), and the words."""


def amount(cost: float, objective: Objective) -> str:
    """A cost of the planner with its unit."""
    if objective is Objective.ENERGY:
        return f"{cost:.3g} J"
    milliseconds = f"{cost * 1e3:.0f} ms" if abs(cost) >= 0.01 else f"{cost * 1e3:.1f} ms"
    return f"{milliseconds} per frame" if objective is Objective.THROUGHPUT else milliseconds


def what_moved(view: View, concerned: Sequence[Breakdown]) -> list[str]:
    """What has changed for the plans `concerned` since the current one was chosen; the largest change first."""
    if view.basis is None:
        return []
    return [words for _, words in sorted(_moves(view, view.basis, concerned), reverse=True)]


def has_jumped(view: View, concerned: Sequence[Breakdown]) -> bool:
    """Whether a belief that matters to the plans `concerned` has moved by more than `JUMP_RATIO` since."""
    if view.basis is None:
        return True
    return any(size > math.log(JUMP_RATIO) for size, _ in _moves(view, view.basis, concerned))


def _moves(view: View, basis: Basis, concerned: Sequence[Breakdown]) -> list[_Move]:
    nodes = sorted({stage.node for costs in concerned for stage in costs.stages})
    links = sorted({(cost.source, cost.target) for costs in concerned for cost in costs.all_links})
    moves: list[_Move] = []
    if view.objective != basis.objective:
        moves.append((math.inf, f"the objective is now {view.objective}"))
    if view.constraints != basis.constraints:
        moves.append((math.inf, "the constraints have changed"))
    for link in links:
        moves += _link_moves(link, basis.links.get(link), view.links.get(link))
    for node in nodes:
        moves += _node_moves(node, view, basis)
    return moves


def _link_moves(link: Link, before: LinkEstimate | None, now: LinkEstimate | None) -> list[_Move]:
    name = f"{link[0]}->{link[1]}"
    if now is None or now.goodput_bps <= 0.0:
        return []  # a link that is down makes a plan impossible, which is said elsewhere
    if before is None or before.goodput_bps <= 0.0:
        return [(math.log(2.0), f"{name} is there now with {now.goodput_bps / 1e6:.1f} Mbit/s")]
    moves: list[_Move] = []
    factor = abs(math.log(now.goodput_bps / before.goodput_bps))
    if factor > math.log(_WORTH_SAYING_RATIO):
        verb = "fell" if now.goodput_bps < before.goodput_bps else "rose"
        was, is_now = before.goodput_bps / 1e6, now.goodput_bps / 1e6
        moves.append((factor, f"{name} {verb} from {was:.1f} to {is_now:.1f} Mbit/s"))
    if abs(now.rtt_s - before.rtt_s) > max(_WORTH_SAYING_S, 0.25 * before.rtt_s):
        verb = "fell" if now.rtt_s < before.rtt_s else "rose"
        size = abs(math.log(max(now.rtt_s, 1e-3) / max(before.rtt_s, 1e-3)))
        words = f"the round trip {name} {verb} from {before.rtt_s * 1e3:.0f} to {now.rtt_s * 1e3:.0f} ms"
        moves.append((size, words))
    return moves


def _node_moves(node: NodeId, view: View, basis: Basis) -> list[_Move]:
    moves: list[_Move] = []
    if node not in basis.nodes and node != view.origin:
        moves.append((math.log(2.0), f"{node} is there now"))
    was, is_now = basis.compute_ratio.get(node, 1.0), view.compute_ratio.get(node, 1.0)
    if abs(math.log(is_now / was)) > math.log(_WORTH_SAYING_RATIO):
        verb = "sped up" if is_now < was else "slowed"
        moves.append(
            (abs(math.log(is_now / was)), f"{node} {verb} from {was:.1f}x to {is_now:.1f}x of its profiled time")
        )
    queued_s, queues_s = basis.queue_s.get(node, 0.0), view.queue_s.get(node, 0.0)
    if abs(queues_s - queued_s) > _WORTH_SAYING_S:
        verb = "fell" if queues_s < queued_s else "grew"
        size = abs(math.log((queues_s + 0.01) / (queued_s + 0.01)))
        moves.append((size, f"waiting on {node} {verb} from {queued_s * 1e3:.0f} to {queues_s * 1e3:.0f} ms"))
    return moves
