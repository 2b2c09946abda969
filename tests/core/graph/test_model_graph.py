"""Claims about the order of layers."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.core.graph.model_graph import Layer, ModelGraph, ordered
from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.profiles import TensorSpec


def layer(name: str, inputs: str, outputs: str) -> Layer:
    return Layer(name=name, op="Op", inputs=tuple(inputs.split()), outputs=tuple(outputs.split()))


def graph(layers: list[Layer], inputs: str = "x", outputs: str = "y") -> ModelGraph:
    names = {name for one in layers for name in one.outputs} | set(inputs.split())
    return ModelGraph(
        name="model",
        layers=tuple(layers),
        tensors={name: TensorSpec(name=name, dtype="float32", shape=(1,)) for name in names},
        inputs=tuple(inputs.split()),
        outputs=tuple(outputs.split()),
    )


def alive_bytes(layers: tuple[Layer, ...], outputs: set[str], sizes: dict[str, int]) -> int:
    """The definition: at every place, the bytes of all tensors made before (or given) and needed after."""
    made = set(sizes) - {name for one in layers for name in one.outputs}
    total = 0
    for index, one in enumerate(layers):
        made.update(one.outputs)
        needed = {name for later in layers[index + 1 :] for name in later.inputs} | outputs
        total += sum(sizes[name] for name in made & needed)
    return total


@st.composite
def random_layers(draw: st.DrawFn) -> tuple[list[Layer], dict[str, int]]:
    n_layers = draw(st.integers(1, 14))
    tensors = ["x"]
    layers = []
    for index in range(n_layers):
        inputs = draw(st.lists(st.sampled_from(tensors[-6:]), min_size=1, max_size=3, unique=True))
        outputs = [f"t{index}_{number}" for number in range(draw(st.integers(1, 2)))]
        layers.append(Layer(name=f"l{index}", op="Op", inputs=tuple(inputs), outputs=tuple(outputs)))
        tensors += outputs
    return layers, {name: draw(st.integers(0, 9)) for name in tensors}


def test_a_branch_is_finished_before_the_next_one_begins() -> None:
    interleaved = [
        layer("a1", "x", "a1"), layer("b1", "x", "b1"), layer("a2", "a1", "a2"), layer("b2", "b1", "b2"),
        layer("a3", "a2", "a3"), layer("b3", "b2", "b3"), layer("join", "a3 b3", "y"),
    ]  # fmt: skip
    sizes = dict.fromkeys(("x", "a1", "b1", "a2", "b2", "y"), 8) | {"a3": 1, "b3": 1}
    order = [one.name for one in ordered(interleaved, inputs=["x"], outputs=["y"], n_bytes=sizes)]
    assert order in (["a1", "a2", "a3", "b1", "b2", "b3", "join"], ["b1", "b2", "b3", "a1", "a2", "a3", "join"])


def test_layers_that_stand_in_no_running_order_are_sorted() -> None:
    order = ordered(
        [layer("c", "b", "c"), layer("a", "x", "a"), layer("b", "a", "b")], inputs=["x"], outputs=["c"], n_bytes={}
    )
    assert [one.name for one in order] == ["a", "b", "c"]


@given(random_layers(), st.randoms(use_true_random=False))
def test_the_order_is_complete_runs_and_is_never_worse_than_the_given_one(
    drawn: tuple[list[Layer], dict[str, int]], shuffle: random.Random
) -> None:
    layers, sizes = drawn
    outputs = {layers[-1].outputs[0]}
    given_order = list(layers)
    found = ordered(given_order, inputs=["x"], outputs=outputs, n_bytes=sizes)
    assert sorted(one.name for one in found) == sorted(one.name for one in layers)
    graph(list(found), outputs=layers[-1].outputs[0]).verify()
    assert alive_bytes(found, outputs, sizes) <= alive_bytes(tuple(given_order), outputs, sizes)
    shuffle.shuffle(given_order)
    graph(
        list(ordered(given_order, inputs=["x"], outputs=outputs, n_bytes=sizes)), outputs=layers[-1].outputs[0]
    ).verify()


def test_a_circle_of_layers_is_an_error() -> None:
    with pytest.raises(ModelError, match="circle"):
        ordered([layer("a", "b", "a"), layer("b", "a", "b")], inputs=["x"], outputs=["b"], n_bytes={})


def test_a_tensor_that_nothing_makes_is_an_error() -> None:
    with pytest.raises(ModelError, match="`z`, which nothing makes"):
        ordered([layer("a", "z", "a")], inputs=["x"], outputs=["a"], n_bytes={})


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([layer("a", "x", "a"), layer("a", "a", "y")], "two layers named `a`"),
        ([layer("a", "b", "a"), layer("b", "x", "b y")], "before it is made"),
        ([layer("a", "x", "y"), layer("b", "y", "y")], "made twice"),
        ([layer("a", "x", "z")], "made by no layer"),
    ],
)
def test_a_graph_that_is_none_does_not_verify(layers: list[Layer], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        graph(layers).verify()


def test_an_output_without_fixed_shape_does_not_verify() -> None:
    found = graph([layer("a", "x", "y")])
    unknown = ModelGraph(
        name="model", layers=found.layers, tensors={"x": found.tensors["x"]}, inputs=("x",), outputs=("y",)
    )
    with pytest.raises(ModelError, match="no fixed shape"):
        unknown.verify()
