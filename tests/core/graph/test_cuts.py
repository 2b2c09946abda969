"""Claims about where a model can be cut, what crosses, and which cuts are worth a look."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.core.graph.cuts import layer_counts, layers_between, legal_cuts, verify
from seamline.core.graph.model_graph import Layer, ModelGraph
from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.limits import MAX_NAME_LENGTH, MAX_TENSORS
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.profiles import TensorSpec


def model(*rows: tuple[str, str, str, int], sizes: dict[str, int], inputs: str = "x", outputs: str = "y") -> ModelGraph:
    """Rows: (name, inputs, outputs, macs). sizes: float32 elements by tensor; without one it cannot be sent."""
    return ModelGraph(
        name="model",
        layers=tuple(
            Layer(name=name, op="Op", inputs=tuple(takes.split()), outputs=tuple(makes.split()), macs=macs)
            for name, takes, makes, macs in rows
        ),
        tensors={name: TensorSpec(name=name, dtype="float32", shape=(size,)) for name, size in sizes.items()},
        inputs=tuple(inputs.split()),
        outputs=tuple(outputs.split()),
    )


CONVOLUTIONS = model(
    ("conv1", "x", "a", 900), ("norm1", "a", "b", 0), ("relu1", "b", "c", 0), ("pool", "c", "d", 0),
    ("conv2", "d", "e", 900), ("grow", "e", "f", 0), ("conv3", "f", "y", 900),
    sizes={"x": 3, "a": 16, "b": 16, "c": 16, "d": 4, "e": 8, "f": 32, "y": 2},
)  # fmt: skip


@st.composite
def random_models(draw: st.DrawFn) -> ModelGraph:
    tensors = ["x", "z"]
    rows = []
    for index in range(draw(st.integers(1, 12))):
        takes = draw(st.lists(st.sampled_from(tensors), min_size=1, max_size=3, unique=True))
        makes = [f"t{index}_{number}" for number in range(draw(st.integers(1, 2)))]
        rows.append((f"l{index}", " ".join(takes), " ".join(makes), draw(st.sampled_from([0, 0, 1, 100]))))
        tensors += makes
    outputs = {tensors[-1]} | set(draw(st.lists(st.sampled_from(tensors[2:]), max_size=2)))
    sizes = {name: draw(st.integers(0, 5)) for name in tensors}
    return model(*rows, sizes=sizes, inputs="x z", outputs=" ".join(sorted(outputs)))


def test_the_first_cut_is_the_input_and_the_last_the_output() -> None:
    cuts = legal_cuts(CONVOLUTIONS)
    assert [tensor.name for tensor in cuts[0].tensors] == ["x"]
    assert [tensor.name for tensor in cuts[-1].tensors] == ["y"]
    assert (cuts[0].macs_before, cuts[-1].macs_before) == (0, 2700)
    assert (cuts[0].carries_input, cuts[-1].carries_input) == (True, False)


def test_of_a_fused_group_only_the_smallest_payload_is_a_candidate_and_of_equals_the_last() -> None:
    candidates = [cut.after for cut in legal_cuts(CONVOLUTIONS) if cut.is_candidate]
    assert candidates == ["input", "pool", "conv2", "conv3"]
    without_pool = model(
        ("conv1", "x", "a", 900), ("norm1", "a", "b", 0), ("relu1", "b", "c", 0), ("conv2", "c", "y", 900),
        sizes={"x": 3, "a": 16, "b": 16, "c": 16, "y": 2},
    )  # fmt: skip
    assert [cut.after for cut in legal_cuts(without_pool) if cut.is_candidate] == ["input", "relu1", "conv2"]


def test_a_residual_addition_joins_the_group_of_the_branch_before_it() -> None:
    block = model(
        ("conv1", "x", "a", 900), ("conv2", "a", "b", 900), ("add", "a b", "c", 0), ("relu", "c", "d", 0),
        ("fc", "d", "y", 900),
        sizes={"x": 16, "a": 16, "b": 16, "c": 16, "d": 16, "y": 2},
    )  # fmt: skip
    cuts = legal_cuts(block)
    assert [tensor.name for tensor in cuts[2].tensors] == ["a", "b"]
    assert [cut.after for cut in cuts if cut.is_candidate] == ["input", "conv1", "relu", "fc"]


def test_a_skip_from_the_input_is_marked_and_so_is_a_mere_rearrangement_of_it() -> None:
    skip = model(
        ("transpose", "x", "t", 0), ("conv", "t", "a", 900), ("join", "a t", "b", 0), ("fc", "b", "y", 900),
        sizes={"x": 3, "t": 3, "a": 3, "b": 6, "y": 2},
    )  # fmt: skip
    assert [cut.carries_input for cut in legal_cuts(skip)] == [True, True, True, False, False]


def test_a_group_keeps_a_candidate_that_does_not_carry_the_input() -> None:
    skip = model(
        ("conv", "x", "a", 900), ("join", "a x", "b", 0), ("fc", "b", "y", 900), sizes={"x": 1, "a": 3, "b": 9, "y": 2}
    )
    cuts = legal_cuts(skip)
    assert [(cut.after, cut.carries_input) for cut in cuts if cut.is_candidate] == [
        ("input", True), ("conv", True), ("join", False), ("fc", False),
    ]  # fmt: skip


def test_an_early_output_crosses_until_the_end() -> None:
    early = model(
        ("a", "x", "y1", 1), ("b", "y1", "m", 1), ("c", "m", "y2", 1),
        sizes={"x": 1, "y1": 2, "m": 3, "y2": 4}, outputs="y2 y1",
    )  # fmt: skip
    assert [[tensor.name for tensor in cut.tensors] for cut in legal_cuts(early)] == [
        ["x"], ["y1"], ["y1", "m"], ["y2", "y1"],
    ]  # fmt: skip


def test_a_tensor_that_cannot_be_sent_makes_its_places_illegal() -> None:
    strings = model(("a", "x", "text", 1), ("b", "text", "m", 1), ("c", "m", "y", 1), sizes={"x": 1, "m": 1, "y": 1})
    cuts = legal_cuts(strings)
    assert [cut.after for cut in cuts] == ["input", "b", "c"]
    assert [cut.index for cut in cuts] == [0, 1, 2]
    assert layer_counts(strings, cuts) == (0, 2, 3)
    assert [layer.name for layer in layers_between(strings, cuts, Segment(0, 1))] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "shape", "is_legal"),
    [
        ("t" * 600, (4,), True),
        ("t" * (MAX_NAME_LENGTH + 1), (4,), False),
        ("m", (1,) * 16, True),
        ("m", (1,) * 17, False),
        ("m", (1,) * 8 + (1 << 33,), False),
        ("m", (1 << 28,), False),
    ],
)
def test_what_no_message_can_carry_is_no_cut(name: str, shape: tuple[int, ...], is_legal: bool) -> None:
    graph = model(("a", "x", name, 1), ("b", name, "y", 1), sizes={"x": 1, name: 1, "y": 1})
    tensors = {**graph.tensors, name: TensorSpec(name=name, dtype="float32", shape=shape)}
    cuts = legal_cuts(replace(graph, tensors=tensors))
    assert [cut.after for cut in cuts] == (["input", "a", "b"] if is_legal else ["input", "b"])


@pytest.mark.parametrize(("n_tensors", "is_legal"), [(300, True), (MAX_TENSORS, True), (MAX_TENSORS + 1, False)])
def test_a_cut_is_crossed_by_as_many_tensors_as_one_message_holds(n_tensors: int, is_legal: bool) -> None:
    parts = [f"p{number}" for number in range(n_tensors)]
    graph = model(
        ("split", "x", " ".join(parts), 1), ("join", " ".join(parts), "y", 1),
        sizes={"x": n_tensors, "y": n_tensors, **dict.fromkeys(parts, 1)},
    )  # fmt: skip
    assert len(legal_cuts(graph)) == (3 if is_legal else 2)


@given(random_models())
def test_the_cuts_of_any_graph_fit_their_definition(graph: ModelGraph) -> None:
    graph.verify()
    cuts = legal_cuts(graph)
    verify(graph, cuts)
    assert len(cuts) == len(graph.layers) + 1


@given(random_models())
def test_no_cut_beats_the_candidate_with_the_same_heavy_layers_before_it(graph: ModelGraph) -> None:
    cuts = legal_cuts(graph)
    candidates = [cut for cut in cuts if cut.is_candidate]
    heavy_macs = max(1, int(graph.macs / 4096))
    n_heavy = [0]
    for layer in graph.layers:
        n_heavy.append(n_heavy[-1] + (layer.macs >= heavy_macs))
    for cut in cuts:
        rivals = [other for other in candidates if n_heavy[other.index] == n_heavy[cut.index]]
        assert min(other.payload_bytes for other in rivals) <= cut.payload_bytes


def test_a_wrong_table_does_not_verify() -> None:
    cuts = legal_cuts(CONVOLUTIONS)
    for wrong in (
        (*cuts[:2], replace(cuts[2], payload_bytes=1), *cuts[3:]),
        (*cuts[:2], replace(cuts[2], tensors=cuts[3].tensors), *cuts[3:]),
        (*cuts[:2], replace(cuts[2], macs_before=1), *cuts[3:]),
        cuts[:-1],
        cuts[1:],
    ):
        with pytest.raises(ModelError):
            verify(CONVOLUTIONS, wrong)


def test_a_segment_beyond_the_last_cut_is_an_error() -> None:
    with pytest.raises(ModelError, match="cuts 0 to 7"):
        layers_between(CONVOLUTIONS, legal_cuts(CONVOLUTIONS), Segment(0, 8))


def quantised(*rows: tuple[str, str, str], outputs: str) -> ModelGraph:
    """Rows: (operator, inputs, outputs); names of 8-bit tensors end in 8."""
    names = {name for _, takes, makes in rows for name in (takes + " " + makes).split()}
    return ModelGraph(
        name="quantised",
        layers=tuple(
            Layer(name=f"{op}{index}", op=op, inputs=tuple(takes.split()), outputs=tuple(makes.split()), macs=9)
            for index, (op, takes, makes) in enumerate(rows)
        ),
        tensors={
            name: TensorSpec(name=name, dtype="uint8" if name.endswith("8") else "float32", shape=(4,))
            for name in names
        },
        inputs=("x",),
        outputs=tuple(outputs.split()),
    )


Q, DQ = "QuantizeLinear", "DequantizeLinear"


def test_a_quantised_unit_is_cut_at_its_eight_bit_borders_only() -> None:
    graph = quantised(
        (Q, "x", "x8"), (DQ, "x8", "a"), ("Conv", "a", "b"), ("Relu", "b", "c"), (Q, "c", "c8"),
        (DQ, "c8", "d"), ("Conv", "d", "e"), (Q, "e", "e8"), (DQ, "e8", "y"), outputs="y",
    )  # fmt: skip
    assert [[tensor.name for tensor in cut.tensors] for cut in legal_cuts(graph)] == [
        ["x"], ["x8"], ["c8"], ["e8"], ["y"],
    ]  # fmt: skip
    verify(graph, legal_cuts(graph))


def test_floats_outside_of_quantised_units_are_ordinary_tensors() -> None:
    """Before the first quantiser, behind the last dequantiser, and where somebody reads the float result as well."""
    graph = quantised(
        ("Conv", "x", "a"), (Q, "a", "a8"), (DQ, "a8", "b"), ("Conv", "b", "c"), (Q, "c", "c8"), ("Exp", "c", "d"),
        (DQ, "c8", "e"), ("Conv", "e", "f"), ("Add", "d f", "g"), ("Exp", "g", "y"), outputs="y",
    )  # fmt: skip
    crossing = [{tensor.name for tensor in cut.tensors} for cut in legal_cuts(graph)]
    assert crossing == [{"x"}, {"a"}, {"a8"}, {"c"}, {"c", "c8"}, {"c8", "d"}, {"d", "f"}, {"g"}, {"y"}]


def test_a_model_with_an_end_that_cannot_be_sent_is_not_cut():
    """Its inner tensors could cross, but no plan may send what it takes or gives."""
    names = ("x", "a", "b", "y")
    specs = {name: TensorSpec(name=name, dtype="float32", shape=(4,)) for name in names}
    layers = tuple(
        Layer(name=f"make {after}", op="Relu", inputs=(before,), outputs=(after,))
        for before, after in itertools.pairwise(names)
    )
    for end in ("x", "y"):
        local = TensorSpec(name=end, dtype="string", shape=(4,), is_local=True)
        graph = ModelGraph(name="m", layers=layers, tensors={**specs, end: local}, inputs=("x",), outputs=("y",))
        assert [cut.after for cut in legal_cuts(graph)] == ["input", "make y"]
    assert len(legal_cuts(ModelGraph(name="m", layers=layers, tensors=specs, inputs=("x",), outputs=("y",)))) == 4


def test_a_tensor_whose_size_the_frame_decides_crosses_no_inner_cut():
    """`found` is an output that is made early, and stays alive to the end."""
    specs = {name: TensorSpec(name=name, dtype="float32", shape=(4,)) for name in ("x", "a", "y")}
    specs["found"] = TensorSpec(name="found", dtype="float32", shape=(1,), is_open=True)
    layers = (
        Layer(name="first", op="Relu", inputs=("x",), outputs=("a",)),
        Layer(name="choose", op="NonZero", inputs=("a",), outputs=("found",)),
        Layer(name="then", op="Exp", inputs=("a",), outputs=("b",)),
        Layer(name="last", op="Neg", inputs=("b",), outputs=("y",)),
    )
    graph = ModelGraph(name="m", layers=layers, tensors=specs, inputs=("x",), outputs=("found", "y"))
    graph.verify()
    cuts = legal_cuts(graph)
    assert [cut.after for cut in cuts] == ["input", "first", "last"]
    assert [spec.name for spec in cuts[-1].tensors] == ["found", "y"]


def test_an_output_that_is_an_input_crosses_everywhere():
    specs = {name: TensorSpec(name=name, dtype="float32", shape=(4,)) for name in ("x", "a", "y")}
    layers = (
        Layer(name="first", op="Relu", inputs=("x",), outputs=("a",)),
        Layer(name="last", op="Neg", inputs=("a",), outputs=("y",)),
    )
    graph = ModelGraph(name="m", layers=layers, tensors=specs, inputs=("x",), outputs=("y", "x"))
    graph.verify()
    cuts = legal_cuts(graph)
    verify(graph, cuts)
    assert [{spec.name for spec in cut.tensors} for cut in cuts] == [{"x"}, {"x", "a"}, {"y", "x"}]
