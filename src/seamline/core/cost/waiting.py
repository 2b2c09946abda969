"""Waiting on a shared node: what a stream meets there, and what it causes.

A node with frames of rate r_j and work b_j of several streams is an M/G/1 queue: a frame waits W = sum r_j b_j^2 F(u),
F(u) = 1 / (2 (1 - u)), where u = sum r_j b_j is the share of time in which it computes (Pollaczek-Khinchine, e.g.
Kleinrock, Queueing Systems I, eq. 5.70). With c workers F(u) = u^(sqrt(2 (c + 1)) - 2) / (2 c^2 (1 - u)), u per worker
(Sakasegawa 1977, eq. 1.1 with scv; for c = 1 the same). A stream's frames come at its own pace and do not meet each
other, so stream i waits for the work of others: W_i = (sum_(j != i) r_j b_j^2) F(u).

All streams together wait C = sum_i r_i W_i seconds a second. What a stream adds to C by coming is what it meets itself
and what it causes to others, by r_i. Streams that go where the sum of both is less lower C with every move (marginal
cost pricing, Pigou 1920; an exact potential, Monderer and Shapley 1996), so moves that come one by one end.
Frames of a steady source meet less than random ones do: the formula is an upper estimate where streams are few.
"""

from __future__ import annotations

from math import sqrt

from seamline.core.cost.loads import NodeLoad, StageLoad

FULL_RATIO = 0.95
"""From this share on F goes on along its tangent: more work than a node can do costs much, not endlessly."""


def congestion(work: float, n_workers: int = 1) -> float:
    """F(u), per second, of a node that is given `work` seconds of work a second."""
    used = work / n_workers
    known = min(used, FULL_RATIO)
    power = sqrt(2.0 * (n_workers + 1)) - 2.0
    free = 1.0 - known
    value: float = known**power / (2.0 * n_workers**2 * free)
    if used <= FULL_RATIO:
        return value
    return value * (1.0 + (used - FULL_RATIO) * (power / FULL_RATIO + 1.0 / free))


def met_s(others: NodeLoad, own: StageLoad) -> float:
    """Seconds that a frame of `own` waits on a node with the load of `others`."""
    return others.square_s * congestion(others.work + own.work, others.n_workers)


def caused_s(others: NodeLoad, own: StageLoad) -> float:
    """Seconds that the frames of `others` wait longer, together, for each frame of `own`."""
    if own.work <= 0.0:
        return 0.0
    longer = _waiting_of(others, own.work * own.busy_s, others.work + own.work) - _waiting_of(others, 0.0, others.work)
    return max(0.0, longer / own.rate_per_s)


def all_waiting(load: NodeLoad) -> float:
    """C: seconds a second that the frames on a node wait."""
    return _waiting_of(load, 0.0, load.work)


def _waiting_of(load: NodeLoad, more_square_s: float, work: float) -> float:
    """Seconds a second that the frames of `load` wait beside others' squares, where the node is given `work`."""
    square = load.rate_per_s * (load.square_s + more_square_s) - load.squared_work
    return max(0.0, square) * congestion(work, load.n_workers)
