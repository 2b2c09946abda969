"""Claims about values that no wire carries: what stands for them, and when two are the same."""

import numpy as np
import pytest

from seamline.core.vocabulary.errors import PlanError
from seamline.core.vocabulary.local_values import example_value, is_local, is_same
from seamline.core.vocabulary.profiles import TensorSpec


def spec(dtype: str, *shape: int) -> TensorSpec:
    return TensorSpec(name="x", dtype=dtype, shape=shape, is_local=True)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (spec("string", 2), np.array(["a", "a"], object)),
        (spec("sequence(float32)"), [np.zeros(1, np.float32)]),
        (spec("optional(sequence(string))"), [np.array(["a"], object)]),
        (spec("optional(int64)", 1, 2), np.zeros((1, 2), np.int64)),
        (spec("map(int64, float32)"), {}),
    ],
)
def test_an_example_is_of_the_kind_that_is_asked_for(kind, wanted):
    assert is_same(example_value(kind), wanted)
    assert kind.n_bytes == 0


def test_only_what_says_so_may_be_of_a_kind_that_cannot_be_sent():
    with pytest.raises(PlanError, match="string, which cannot cross a cut"):
        TensorSpec(name="x", dtype="string", shape=(1,))


@pytest.mark.parametrize(
    "other",
    [
        [np.array([1.0, 3.0], np.float32), "a"],
        [np.array([1.0, 2.0]), "a"],
        [np.array([[1.0, 2.0]], np.float32), "a"],
        [np.array([1.0, 2.0], np.float32)],
        [np.array([1.0, 2.0], np.float32), "b"],
        np.array([1.0, 2.0], np.float32),
        {0: 1.0},
        None,
    ],
)
def test_values_differ_by_kind_size_dtype_or_a_bit(other):
    value = [np.array([1.0, 2.0], np.float32), "a"]
    assert is_same(value, [np.array([1.0, 2.0], np.float32), "a"])
    assert not is_same(other, value)
    assert not is_same(value, other)


def test_strings_and_maps_are_compared_by_their_values():
    assert is_same(np.array(["a", "bc"], object), np.array(["a", "b" + "c"], object))
    assert not is_same(np.array(["a", "bc"], object), np.array(["a", "b"], object))
    assert is_same([{0: 0.5, 1: 0.25}], [{1: 0.25, 0: 0.5}])
    assert not is_same([{0: 0.5}], [{0: 0.25}])


def test_numbers_can_be_sent_and_all_else_cannot():
    assert not is_local(np.zeros(3, np.float16))
    assert all(map(is_local, (np.array(["a"]), np.array(["a"], object), [np.zeros(3)], {}, None)))
