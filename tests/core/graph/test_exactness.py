"""Which tensors must cross with every bit: those that select, answers and inputs."""

from __future__ import annotations

from seamline.core.graph.exactness import exact_tensors
from seamline.core.graph.model_graph import Layer, ModelGraph
from seamline.core.vocabulary.profiles import TensorSpec

PICTURE = (1, 3, 8, 8)


def exact(
    *rows: tuple[str, str, str],
    dtypes: dict[str, str] | None = None,
    inputs: str = "x",
    outputs: str = "y",
    hidden: str = "",
) -> set[str]:
    """What `exact_tensors` says but for the ends, which always are.

    Rows: (operator, inputs, outputs). hidden: tensors without a spec.
    """
    layers = tuple(
        Layer(name=f"{op}{at}", op=op, inputs=tuple(takes.split()), outputs=tuple(makes.split()))
        for at, (op, takes, makes) in enumerate(rows)
    )
    names = {*inputs.split(), *(name for layer in layers for name in layer.outputs)} - set(hidden.split())
    specs = {name: TensorSpec(name=name, dtype=(dtypes or {}).get(name, "float32"), shape=PICTURE) for name in names}
    graph = ModelGraph(
        name="m", layers=layers, tensors=specs, inputs=tuple(inputs.split()), outputs=tuple(outputs.split())
    )
    found = exact_tensors(graph)
    ends = {*graph.inputs, *graph.outputs}
    assert {name for name in ends if specs[name].dtype.startswith("float")} <= found
    return set(found) - ends


def test_features_may_be_rounded() -> None:
    assert exact(("Conv", "x", "a"), ("Relu", "a", "b"), ("Add", "a b", "c"), ("Gemm", "c", "y")) == set()


def test_what_becomes_an_index_is_exact_back_to_the_layer_that_mixes() -> None:
    rows = (
        ("Conv", "x", "a"), ("MatMul", "a", "b"), ("Clip", "b", "c"), ("Floor", "c", "d"), ("Add", "d", "e"),
        ("Cast", "e", "i"), ("Gather", "i", "g"), ("MatMul", "g", "y"),
    )  # fmt: skip
    assert exact(*rows, dtypes={"i": "int64"}) == {"b", "c", "d", "e"}


def test_a_cast_between_floats_selects_nothing_and_one_of_unknown_dtype_does() -> None:
    rows = (("Conv", "x", "a"), ("Cast", "a", "h"), ("Conv", "h", "y"))
    assert exact(*rows, dtypes={"h": "float16"}) == set()
    assert exact(*rows, hidden="h") == {"a"}
    assert exact(*rows, dtypes={"h": "bool"}) == {"a"}


def test_double_precision_is_kept_since_nobody_asks_for_it_without_need() -> None:
    assert exact(("Conv", "x", "a"), ("Cast", "a", "t"), ("MatMul", "t", "y"), dtypes={"t": "float64"}) == {"t"}


def test_boxes_are_exact_and_scores_too_where_suppression_reads_them() -> None:
    rows = (
        ("Conv", "x", "head"), ("Reshape", "head", "flat"), ("Split", "flat", "raw scores"), ("Exp", "raw", "sizes"),
        ("Mul", "sizes", "boxes"), ("NonMaxSuppression", "boxes scores", "y"),
    )  # fmt: skip
    assert exact(*rows, dtypes={"y": "int64"}) == {"boxes", "scores", "sizes", "raw", "flat", "head"}


def test_phases_of_positions_are_exact() -> None:
    assert exact(("Conv", "x", "a"), ("Mul", "a", "p"), ("Sin", "p", "s"), ("MatMul", "s", "y")) == {"a", "p"}


def test_what_a_body_reads_is_exact_since_it_may_count_there() -> None:
    for op in ("Loop", "Scan", "If"):
        assert exact(("Conv", "x", "a"), (op, "a", "b"), ("Conv", "b", "y")) == {"a"}


def test_an_answer_made_early_is_exact_where_it_crosses() -> None:
    assert exact(("Conv", "x", "z"), ("Conv", "z", "y"), outputs="z y") == set(), "z is an output, seen by the helper"


def test_an_answer_is_exact_as_far_back_as_it_is_only_scaled_and_moved() -> None:
    rows = (
        ("Conv", "x", "raw"), ("Sigmoid", "raw", "in"), ("Mul", "in", "pixels"), ("Transpose", "pixels", "turned"),
        ("Concat", "turned", "y"),
    )  # fmt: skip
    assert exact(*rows) == {"raw", "in", "pixels", "turned"}
    assert exact(("Conv", "x", "raw"), ("Softmax", "raw", "y")) == set(), "scores are mixed from features"


def test_where_to_look_is_exact_and_what_is_looked_at_is_not() -> None:
    rows = (("Conv", "x", "map"), ("Conv", "x", "raw"), ("Mul", "raw", "grid"))
    for op in ("RoiAlign", "GridSample", "DeformConv"):
        assert exact(*rows, (op, "map grid", "y")) == {"raw", "grid"}


def test_whole_numbers_by_dtype_need_no_mark() -> None:
    rows = (("Conv", "x", "a"), ("ArgMax", "a", "i"), ("Gather", "i", "y"))
    assert exact(*rows, dtypes={"i": "int64"}) == set()
