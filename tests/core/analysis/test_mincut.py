"""The minimum cut finds the best of all downward-closed sets, and more than prefixes where branches are parallel."""

import math
from dataclasses import replace
from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.core.analysis.mincut import LayerCosts, best_closed_set, best_prefix, layer_times_s, shared_out
from seamline.core.graph.model_graph import Layer, ModelGraph
from seamline.core.vocabulary.profiles import TensorSpec


def graph_of(readers: list[list[int]]) -> ModelGraph:
    """Layer i makes tensor t{i+1} from the tensors `readers[i]`; t0 is the input."""
    layers = tuple(
        Layer(name=f"l{at}", op="Any", inputs=tuple(f"t{t}" for t in read), outputs=(f"t{at + 1}",), macs=at)
        for at, read in enumerate(readers)
    )
    specs = {f"t{t}": TensorSpec(name=f"t{t}", dtype="float32", shape=(t + 1,)) for t in range(len(readers) + 1)}
    return ModelGraph(name="toy", layers=layers, tensors=specs, inputs=("t0",), outputs=(f"t{len(readers)}",))


@st.composite
def shared_models(draw: st.DrawFn) -> tuple[ModelGraph, LayerCosts]:
    n_layers = draw(st.integers(1, 7))
    readers = [sorted(draw(st.sets(st.integers(0, at), min_size=1, max_size=3))) for at in range(n_layers)]
    seconds = st.integers(0, 20).map(float) | st.floats(0.0, 20.0)
    graph = graph_of(readers)
    return graph, LayerCosts(
        origin_s={layer.name: draw(seconds) for layer in graph.layers},
        target_s={layer.name: draw(seconds) for layer in graph.layers},
        transfer_s={name: draw(seconds | st.just(math.inf)) for name in graph.tensors},
        answer_s={graph.outputs[0]: draw(seconds)},
        delay_s=draw(seconds),
    )


@given(shared_models())
def test_the_minimum_cut_is_the_best_of_all_downward_closed_sets(made: tuple[ModelGraph, LayerCosts]):
    graph, costs = made
    names = [layer.name for layer in graph.layers]
    subsets = chain.from_iterable(combinations(names, n) for n in range(len(names) + 1))
    best_s = min(shared_out(graph, costs, frozenset(subset)).latency_s for subset in subsets)
    found = best_closed_set(graph, costs)
    assert found.latency_s == pytest.approx(best_s)
    assert shared_out(graph, costs, found.on_origin).latency_s == found.latency_s
    assert best_prefix(graph, costs).latency_s >= found.latency_s * (1 - 1e-9)


def fork() -> tuple[ModelGraph, LayerCosts]:
    """Two branches behind one layer; the second shrinks its tensor at once, the first only at its end.

    In the order l0 l1 l2 l3 l4 the branch l1 l2 comes first; keeping l3 alone is no prefix.
    """
    graph = graph_of([[0], [1], [2], [1], [3, 4]])
    return graph, LayerCosts(
        origin_s={"l0": 1.0, "l1": 50.0, "l2": 50.0, "l3": 1.0, "l4": 50.0},
        target_s={"l0": 0.5, "l1": 1.0, "l2": 1.0, "l3": 30.0, "l4": 1.0},
        transfer_s={"t0": 40.0, "t1": 5.0, "t2": 5.0, "t3": 5.0, "t4": 1.0, "t5": 1.0},
    )


def test_parallel_branches_are_cut_where_each_is_best():
    graph, costs = fork()
    found = best_closed_set(graph, costs)
    assert found.on_origin == {"l0", "l3"}
    assert found.latency_s == 1.0 + 1.0 + 5.0 + 1.0 + 3.0  # l0, l3, both tensors, l1 l2 l4 on the target
    assert best_prefix(graph, costs).latency_s > found.latency_s


def test_a_long_delay_keeps_the_whole_model_on_the_origin():
    graph, costs = fork()
    found = best_closed_set(graph, replace(costs, delay_s=1000.0))
    assert len(found.on_origin) == len(graph.layers)


def test_what_comes_back_to_the_origin_is_no_cut():
    graph, costs = fork()
    assert shared_out(graph, costs, {"l1"}).latency_s == math.inf


def test_layer_times_add_up_to_the_blocks(make_cuts, make_profile):
    graph = graph_of([[0], [1], [2], [3]])
    cuts = tuple(
        replace(cut, after="input" if at == 0 else f"l{layer}", index=at)
        for at, (cut, layer) in enumerate(zip(make_cuts(1, 1, 1), (0, 1, 3), strict=True))
    )
    times = layer_times_s(graph, make_profile("edge", cuts, [0.4, 0.6]))
    assert sum(times.values()) == pytest.approx(1.0)
    assert times["l0"] + times["l1"] == pytest.approx(0.4)
    assert times["l3"] > times["l2"]


def test_a_graph_of_a_thousand_layers_is_no_trouble():
    readers = [[0], *([at, max(0, at - 3)] if at % 4 == 0 else [at] for at in range(1, 1000))]
    graph = graph_of(readers)
    costs = LayerCosts(
        origin_s={layer.name: 3.0 for layer in graph.layers},
        target_s={layer.name: 1.0 for layer in graph.layers},
        transfer_s={f"t{at}": 500.0 - at / 2 for at in range(1001)},
    )
    assert best_closed_set(graph, costs).latency_s <= best_prefix(graph, costs).latency_s
