"""Claims about `runtime.origin.answer_check`: only outputs of the model pass, and a model's own are never refused."""

from __future__ import annotations

import numpy as np
import pytest

from seamline.core.vocabulary.profiles import TensorSpec
from seamline.runtime.origin.answer_check import AnswerCheck

SCORES = TensorSpec(name="scores", dtype="float32", shape=(1, 3))
BOXES = TensorSpec(name="boxes", dtype="float32", shape=(1, 4), is_open=True)
GOOD = {"scores": np.zeros((1, 3), np.float32), "boxes": np.zeros((7, 4), np.float32)}


def test_outputs_of_the_model_pass_and_an_open_one_has_any_size():
    check = AnswerCheck((SCORES, BOXES))
    assert check.fault(GOOD) is None
    assert check.fault({**GOOD, "boxes": np.zeros((0, 4), np.float32)}) is None
    assert check.fault(dict(reversed(GOOD.items()))) is None


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"scores": GOOD["scores"]},
        {**GOOD, "more": np.zeros(1)},
        {"boxes": GOOD["boxes"], "Scores": GOOD["scores"]},
        {**GOOD, "scores": np.zeros((1, 3), np.float64)},
        {**GOOD, "scores": np.zeros((1, 4), np.float32)},
        {**GOOD, "scores": np.zeros((3,), np.float32)},
        {**GOOD, "boxes": np.zeros((7, 4), np.int32)},
    ],
)
def test_anything_else_is_a_fault_in_words(bad):
    assert AnswerCheck((SCORES, BOXES)).fault(bad)


def test_a_size_declared_wrongly_is_learnt_from_what_the_origin_computes():
    check = AnswerCheck((SCORES, BOXES))
    real = {**GOOD, "scores": np.zeros((5, 3), np.float32)}
    assert check.fault(real)
    check.learn(real)
    assert check.fault(real) is None
    assert check.fault({**real, "boxes": np.zeros((7, 4), np.int32)})
