"""Claims about quantised models: they are cut where 8-bit tensors cross, and nowhere inside an integer kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

from seamline.model import ModelStore, OrtEngine, StoredModel, verify_cuts

Make = Callable[..., ModelProto]
FLOAT = TensorProto.FLOAT
ONE_STEP = 0.02
"""One step of the 8-bit output, 1/73 of its largest value: the runtime rounds it differently where Softmax is alone."""


class _Pictures(CalibrationDataReader):
    """Eight random pictures for calibration."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self._left: Iterator[dict[str, np.ndarray]] = iter(
            [{"x": rng.standard_normal((1, 3, 8, 8)).astype(np.float32)} for _ in range(8)]
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._left, None)


@pytest.fixture
def residual(make_model: Make, weights: Callable[..., TensorProto]) -> ModelProto:
    """Two residual blocks with activations, a softmax that stays in floats, and a linear end."""
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1"], ["a"], pads=[1] * 4), node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "w2"], ["c"], pads=[1] * 4), node("Relu", ["c"], ["d"]),
        node("Add", ["b", "d"], ["e"]),
        node("Conv", ["e", "w3"], ["f"], pads=[1] * 4), node("Add", ["e", "f"], ["g"]),
        node("GlobalAveragePool", ["g"], ["h"]), node("Flatten", ["h"], ["i"]),
        node("Gemm", ["i", "w4"], ["j"]), node("Softmax", ["j"], ["y"]),
    ]  # fmt: skip
    values = [weights("w1", 8, 3, 3, 3), weights("w2", 8, 8, 3, 3), weights("w3", 8, 8, 3, 3), weights("w4", 8, 5)]
    return make_model(nodes, values, inputs={"x": (FLOAT, [1, 3, 8, 8])}, outputs=["y"])


@pytest.fixture
def quantised(
    residual: ModelProto, save: Callable[..., Path], store: ModelStore, tmp_path: Path
) -> Callable[..., StoredModel]:
    def make(form: QuantFormat) -> StoredModel:
        target = tmp_path / f"{form.name}.onnx"
        quantize_static(str(save(residual)), str(target), _Pictures(), quant_format=form, per_channel=True)
        return store.add(target)

    return make


def test_a_qdq_model_is_cut_only_where_eight_bit_tensors_cross(
    quantised: Callable[..., StoredModel], store: ModelStore
) -> None:
    stored = quantised(QuantFormat.QDQ)
    inner = stored.cuts[1:-1]
    assert len(inner) >= 5
    assert {tensor.dtype for cut in inner for tensor in cut.tensors} <= {"uint8", "int8"}
    checks = list(verify_cuts(OrtEngine(store, 1), stored))
    assert len(checks) == len(stored.cuts)
    assert all(check.error is None and check.max_relative_error <= ONE_STEP for check in checks)
    assert sum(check.bit_equal for check in checks) >= 8  # integers: there is no other order of summing


def test_cutting_inside_a_unit_would_have_changed_the_result_or_sent_floats(
    quantised: Callable[..., StoredModel],
) -> None:
    """The counter-check: such places exist in the graph, and each is left out."""
    stored = quantised(QuantFormat.QDQ)
    after = {cut.after for cut in stored.cuts[:-1]}
    inside = [layer.name for layer in stored.graph.layers if layer.op in ("DequantizeLinear", "Conv")]
    assert len(inside) >= 6
    assert after.isdisjoint(inside)


def test_each_reader_of_a_shared_tensor_dequantises_for_itself(quantised: Callable[..., StoredModel]) -> None:
    """The residual's 8-bit tensor crosses the block, not its float form."""
    stored = quantised(QuantFormat.QDQ)
    made = [name for layer in stored.graph.layers if layer.op == "DequantizeLinear" for name in layer.outputs]
    readers = [sum(name in layer.inputs for layer in stored.graph.layers) for name in made]
    assert set(readers[:-1]) == {1}  # the last one makes the output
    assert any(len(cut.tensors) == 2 and {t.dtype for t in cut.tensors} <= {"uint8", "int8"} for cut in stored.cuts)


def test_a_model_of_integer_operators_is_cut_between_any_two(
    quantised: Callable[..., StoredModel], store: ModelStore
) -> None:
    stored = quantised(QuantFormat.QOperator)
    assert len(stored.cuts) == len(stored.graph.layers) + 1
    assert all(check.bit_equal for check in verify_cuts(OrtEngine(store, 1), stored))
