"""The main claim: segments run one after the other give what the whole model gives, wherever it is cut.

On the engine of every provider that can be tried on a processor.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from seamline.core.graph import cuts as core_cuts
from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import Engine
from seamline.core.vocabulary.providers import CPU
from seamline.model import ModelStore, Preprocess, verify_cuts
from seamline.model.engine.verify import random_tensors
from seamline.model.onnx.session import translated

Save = Callable[..., Path]
EngineOf = Callable[[ModelStore], Engine]
TOLERANCE = 1e-5  # the engine fuses across a cut when there is none, so sums may be rounded in another order


@st.composite
def random_models(draw: st.DrawFn) -> ModelProto:
    """Branches, joins, skips from the input, several outputs, every weight random; all tensors float32[1, 4, 4, 4]."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    tensors = ["x"]
    nodes, weights = [], []
    for index in range(draw(st.integers(1, 10))):
        out = f"t{index}"
        op = draw(st.sampled_from(["Conv", "Relu", "Add", "Mul", "Split", "Tanh"]))
        takes = draw(st.sampled_from(tensors))
        if op == "Conv":
            values = (rng.standard_normal((4, 4, 3, 3)) / 6).astype(np.float32)
            weights.append(numpy_helper.from_array(values, f"w{index}"))
            nodes.append(helper.make_node(op, [takes, f"w{index}"], [out], pads=[1] * 4))
        elif op in ("Add", "Mul"):
            nodes.append(helper.make_node(op, [takes, draw(st.sampled_from(tensors))], [out]))
        elif op == "Split":
            nodes.append(helper.make_node(op, [takes], [f"{out}a", f"{out}b"], axis=1))
            nodes.append(helper.make_node("Concat", [f"{out}b", f"{out}a"], [out], axis=1))
        else:
            nodes.append(helper.make_node(op, [takes], [out]))
        tensors.append(out)
    ends = {tensors[-1]} | set(draw(st.lists(st.sampled_from(tensors[1:]), max_size=2)))
    graph = helper.make_graph(
        nodes, "random",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 4, 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in sorted(ends)],
        weights,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@settings(
    max_examples=settings.default.max_examples // 4,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(random_models(), st.booleans())
def test_any_model_split_at_any_cut_equals_the_whole(
    engine_of: EngineOf, model: ModelProto, takes_other_inputs: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.onnx"
        onnx.save(model, path)
        store = ModelStore(Path(folder) / "store")
        stored = store.add(path)
        core_cuts.verify(stored.graph, stored.cuts)
        engine = engine_of(store)
        step = 1 if engine.provider == CPU else 3  # others prepare ten times as long
        cuts = range(0, len(stored.cuts), step)
        for check in verify_cuts(engine, stored, seed=int(takes_other_inputs), cuts=cuts):
            assert check.error is None
            assert check.max_relative_error <= TOLERANCE, check


def test_three_segments_in_sequence_equal_the_whole(
    small_cnn: ModelProto, save: Save, store: ModelStore, engine_of: EngineOf
) -> None:
    stored = store.add(save(small_cnn))
    engine = engine_of(store)
    tensors = random_tensors(stored.graph.input_specs, 3)
    expected = engine.prepare(stored.model_id, stored.whole).run(tensors)
    last = stored.whole.stop
    ready = cache(partial(engine.prepare, stored.model_id))
    for first in range(last + 1):
        for second in range(first, last + 1):
            at = dict(tensors)
            for segment in (Segment(0, first), Segment(first, second), Segment(second, last)):
                at = ready(segment).run(at)
            np.testing.assert_allclose(at["y"], expected["y"], rtol=TOLERANCE, atol=TOLERANCE)


def test_different_inputs_give_different_outputs(
    small_cnn: ModelProto, save: Save, store: ModelStore, engine_of: EngineOf
) -> None:
    stored = store.add(save(small_cnn))
    whole = engine_of(store).prepare(stored.model_id, stored.whole)
    first, second = (whole.run(random_tensors(whole.inputs, seed))["y"] for seed in (0, 1))
    assert np.abs(first - second).max() > 0.1


def test_a_model_with_preprocessing_takes_the_camera_frame(
    small_cnn: ModelProto, save: Save, store: ModelStore, engine_of: EngineOf
) -> None:
    mean, std = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)
    path = save(small_cnn)
    plain = store.add(path)
    framed = store.add(path, preprocess=Preprocess(height=8, width=8, mean=mean, std=std))
    assert framed.cuts == plain.cuts
    engine = engine_of(store)
    head = engine.prepare(framed.model_id, Segment(0, 2))
    assert [(spec.name, spec.dtype, spec.shape) for spec in head.inputs] == [("frame", "uint8", (8, 8, 3))]
    frame = random_tensors(head.inputs, 5)["frame"]
    values = ((frame.astype(np.float32) - np.float32(mean)) / np.float32(std)).transpose(2, 0, 1)[None]
    expected = engine.prepare(plain.model_id, plain.whole).run({"x": np.ascontiguousarray(values)})["y"]
    for check in verify_cuts(engine, framed, seed=5):
        assert check.error is None
        assert check.max_relative_error <= TOLERANCE
    found = engine.prepare(framed.model_id, framed.whole).run({"frame": frame})["y"]
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_an_empty_segment_hands_the_tensors_on(
    small_cnn: ModelProto, save: Save, store: ModelStore, engine_of: EngineOf
) -> None:
    stored = store.add(save(small_cnn))
    segment = engine_of(store).prepare(stored.model_id, Segment(2, 2))
    tensors = random_tensors(segment.inputs, 0)
    found = segment.run(tensors)
    assert all(found[name] is tensors[name] for name in tensors)


def test_tensors_that_do_not_fit_are_refused(
    small_cnn: ModelProto, save: Save, store: ModelStore, engine_of: EngineOf
) -> None:
    stored = store.add(save(small_cnn))
    whole = engine_of(store).prepare(stored.model_id, stored.whole)
    good = random_tensors(whole.inputs, 0)["x"]
    for bad, message in (
        ({}, "takes `x`"),
        ({"x": good, "z": good}, "takes `x`"),
        ({"x": good[:, :2]}, r"must be float32\[1, 3, 8, 8\], it is float32\[1, 2, 8, 8\]"),
        ({"x": good.astype(np.float64)}, "it is float64"),
    ):
        with pytest.raises(ModelError, match=message):
            whole.run(bad)


def test_tensors_straight_from_a_message_are_taken(
    small_cnn: ModelProto, save: Save, store: ModelStore, engine_of: EngineOf
) -> None:
    """Read-only, at odd addresses, in transposed order: whatever a receive buffer holds."""
    stored = store.add(save(small_cnn))
    whole = engine_of(store).prepare(stored.model_id, stored.whole)
    good = random_tensors(whole.inputs, 0)["x"]
    expected = whole.run({"x": good})["y"]
    odd = np.frombuffer(b"!" + good.tobytes(), np.uint8)[1:].view(np.float32).reshape(good.shape)
    turned = np.asfortranarray(good)
    for array in (odd, turned):
        assert np.array_equal(whole.run({"x": array})["y"], expected)


def test_a_segment_or_model_that_does_not_exist_is_an_error(
    small_cnn: ModelProto, save: Save, store: ModelStore, engine_of: EngineOf
) -> None:
    stored = store.add(save(small_cnn))
    engine = engine_of(store)
    with pytest.raises(ModelError, match="has cuts 0 to"):
        engine.prepare(stored.model_id, Segment(0, 99))
    with pytest.raises(ModelError, match="not in the store"):
        engine.prepare("f" * 64, Segment(0, 1))


def test_verification_notices_a_wrong_segment(
    small_cnn: ModelProto, save: Save, store: ModelStore, engine_of: EngineOf
) -> None:
    stored = store.add(save(small_cnn))
    engine = engine_of(store)

    class Swapped:
        """Runs the tail on the tensors of the head negated."""

        name = "swapped"

        def prepare(self, model_id: str, segment: Segment) -> object:
            found = engine.prepare(model_id, segment)
            if segment.start == 0:
                return found

            class Tail:
                inputs, outputs = found.inputs, found.outputs

                def run(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
                    return found.run({name: -value for name, value in tensors.items()})

            return Tail()

    checks = list(verify_cuts(Swapped(), stored, cuts=[2]))  # type: ignore[arg-type] # a fake, on purpose
    assert checks[0].max_relative_error > 0.1
    assert not checks[0].bit_equal


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("RUNTIME_EXCEPTION : std::bad_alloc")])
def test_memory_that_runs_out_is_a_model_error_in_words(error: Exception) -> None:
    with pytest.raises(ModelError, match=r"`part`: there is not enough memory .*hint"), translated("`part`"):
        raise error
