"""Values that no wire carries and that stay on one node: strings, sequences, optionals and maps.

In Python a tensor of strings is an array of objects, a sequence a list, a map a dict, an optional its value or None.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seamline.core.vocabulary.profiles import TensorSpec

STRING = "string"


def example_value(spec: TensorSpec) -> Any:
    """Some value for a local `spec`, to try a model with: what fits it inside, nobody but the model knows."""
    return _example(spec.dtype, spec.shape)


def is_same(found: Any, expected: Any) -> bool:
    """Whether two local values are the same, arrays inside them bit for bit."""
    if isinstance(expected, list | tuple):
        return (
            isinstance(found, list | tuple)
            and len(found) == len(expected)
            and all(is_same(*pair) for pair in zip(found, expected, strict=True))
        )
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and found.keys() == expected.keys()
            and all(is_same(found[key], value) for key, value in expected.items())
        )
    if isinstance(expected, np.ndarray):
        return (
            isinstance(found, np.ndarray)
            and (found.dtype, found.shape) == (expected.dtype, expected.shape)
            and bool(
                np.array_equal(found, expected) if found.dtype == object else found.tobytes() == expected.tobytes()
            )
        )
    return bool(type(found) is type(expected) and found == expected)


def is_local(value: Any) -> bool:
    """Whether `value`, an input or output of a model, cannot be sent."""
    return not isinstance(value, np.ndarray) or value.dtype.kind in "OUS"


def _example(kind: str, shape: tuple[int, ...]) -> Any:
    outer, _, inner = kind.partition("(")
    match outer:
        case "string":
            return np.full(shape, "a", dtype=object)
        case "sequence":
            return [_example(inner[:-1], (1,))]
        case "optional":
            return _example(inner[:-1], shape)
        case "map":
            return {}
    return np.zeros(shape, outer)
