"""Claims about the joint optimum of streams that share nodes: exact where few, bounded where many."""

from __future__ import annotations

import random
from itertools import product

import pytest

from seamline.core.analysis.joint import Option, Sharer, cost_of, exact, lower_bound, settled
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan

NODES = tuple(NodeId(name) for name in ("fog", "cloud", "rack"))


def sharers(n: int, rng: random.Random, busy_s: float = 0.04) -> list[Sharer]:
    """Streams of edges of their own: slow at home, and quicker on each of the nodes, some by way of two."""
    found = []
    for number in range(n):
        edge = NodeId(f"edge-{number}")
        options = [Option(Plan.local(edge, 3), rng.uniform(0.1, 0.3), {})]
        for node in NODES:
            work_s = rng.uniform(0.5, 1.5) * busy_s
            options.append(Option(Plan.local(node, 3), work_s + rng.uniform(0.01, 0.05), {node: work_s}))
        both = dict.fromkeys(rng.sample(NODES, 2), 0.5 * busy_s)
        options.append(Option(Plan.local(NODES[0], 4), busy_s + 0.02, both))
        found.append(Sharer(rng.uniform(2.0, 8.0), tuple(options)))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_exact_choice_is_the_best_of_all(seed):
    streams = sharers(5, random.Random(seed))
    workers = {NODES[1]: 2} if seed % 2 else {}
    choices = product(*[range(len(one.options)) for one in streams])
    assert exact(streams, workers).cost == pytest.approx(min(cost_of(streams, one, workers) for one in choices))


@pytest.mark.parametrize("seed", range(6))
def test_bound_is_below_the_optimum_and_streams_that_move_one_by_one_end_near_it(seed):
    streams = sharers(6, random.Random(10 + seed))
    best = exact(streams)
    assert lower_bound(streams) <= best.cost * (1.0 + 1e-9)
    assert best.cost <= settled(streams).cost * (1.0 + 1e-9) <= 1.1 * best.cost


def test_bound_is_tight_for_many():
    streams = sharers(150, random.Random(1), busy_s=0.005)
    assert settled(streams).cost <= 1.05 * lower_bound(streams)


def test_choice_reports_its_own_cost():
    streams = sharers(8, random.Random(3))
    found = settled(streams)
    assert found.cost == pytest.approx(cost_of(streams, found.choice))
