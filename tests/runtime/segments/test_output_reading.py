"""A node reads outputs for an origin only as that means it, and never lets itself be kept from computing by it."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from seamline.core.vocabulary.errors import ModelError
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.fabric.messages import HeadAsk
from seamline.heads.choosing import choose_head, facts_of
from seamline.heads.names import ClassNames
from seamline.heads.reduced import SCORES, fingerprint
from seamline.runtime.segments.output_reading import MAX_HEADS, MAX_MODELS, OutputReaders

SHAPE = (1, 4 + 3, 525)
GRAPH = SimpleNamespace(
    layers=(), outputs=("a",),
    input_specs=(TensorSpec(name="images", shape=(1, 3, 160, 160), dtype="float32"),),
    output_specs=(TensorSpec(name="a", shape=SHAPE, dtype="float32"),),
)  # fmt: skip
ONE = np.zeros(SHAPE, np.float32)
ONE[0, :, 9] = (80, 80, 20, 20, 0.1, 0.9, 0.1)


@pytest.fixture
def loaded() -> list[str]:
    return []


@pytest.fixture
def readers(loaded) -> OutputReaders:
    def stored(model_id: str) -> SimpleNamespace:
        loaded.append(model_id)
        if model_id == "none":
            raise ModelError("no such model")
        return SimpleNamespace(graph=GRAPH, metadata={"task": "detect"})

    return OutputReaders(stored)


def asked(score: float = 0.25) -> HeadAsk:
    facts = facts_of(GRAPH, {"task": "detect"}, names=ClassNames(names={2: "bird"}))
    head = choose_head(facts, score_ratio=score).head
    return HeadAsk(head="auto", score=score, n_most=None, n_names=3, height=0, width=0, fingerprint=fingerprint(head))


def test_what_is_found_is_read_and_the_model_is_looked_at_once(readers, loaded):
    for _ in range(5):
        assert readers.read("m", asked(), {"a": ONE})[SCORES].tolist() == [pytest.approx(0.9)]
    assert loaded == ["m"]


@pytest.mark.parametrize(
    ("model_id", "ask", "outputs"),
    [
        ("none", asked(), {"a": ONE}),
        ("m", msgspec.structs.replace(asked(), fingerprint="0123"), {"a": ONE}),
        ("m", msgspec.structs.replace(asked(), score=0.5), {"a": ONE}),
        ("m", msgspec.structs.replace(asked(), head="segment"), {"a": ONE}),
        ("m", asked(), {"another": ONE}),
        ("m", asked(), {"a": "no tensor"}),
        ("m", asked(), {"a": ONE[0, 0]}),
    ],
)
def test_what_the_origin_does_not_mean_or_cannot_be_read_is_sent_as_it_is(readers, model_id, ask, outputs):
    assert readers.read(model_id, ask, outputs) is None


def test_an_origin_that_asks_otherwise_for_every_frame_has_the_model_read_a_few_times(readers, loaded):
    for number in range(50):
        readers.read("m", asked(0.1 + number / 100), {"a": ONE})
    assert len(loaded) == MAX_HEADS
    for number in range(3 * MAX_MODELS):
        readers.read(f"m{number}", asked(), {"a": ONE})
    assert len(readers._heads) == MAX_MODELS
