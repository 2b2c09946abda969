"""Recurrent state: outputs of one frame that are inputs of the next, as trackers, recurrent and matting networks have.

A frame waits until the one before it is answered, so that one is in flight at a time. The state begins with zeros; a
frame that failed leaves it as it was.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np

from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.ports import Array
from seamline.model import StoredModel
from seamline.runtime.origin.results import Result


class FeedBack:
    """The state of one run. pairs: input by the output that it is fed from.

    Raises `UsageError` when one is not there, or differs in shape or dtype from the other.
    """

    def __init__(self, pairs: Mapping[str, str], model: StoredModel) -> None:
        _check(pairs, model)
        inputs = {spec.name: spec for spec in model.inputs}
        self._pairs = dict(pairs)
        self._state = {name: np.zeros(inputs[name].shape, inputs[name].dtype) for name in pairs.values()}
        self._is_pending = False
        self._changed = threading.Condition()

    @property
    def names(self) -> frozenset[str]:
        """Inputs that are fed."""
        return frozenset(self._pairs.values())

    def wait_ready(self, timeout_s: float) -> bool:
        """Whether the last frame was answered within `timeout_s`, so that the next may have its state."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._is_pending, timeout_s)

    def state(self) -> dict[str, Array]:
        """The inputs that follow from the answers so far."""
        with self._changed:
            return dict(self._state)

    def begun(self) -> None:
        """A frame with this state is on its way."""
        with self._changed:
            self._is_pending = True

    def answered(self, result: Result) -> None:
        """The frame that was on its way has its answer; from any thread."""
        with self._changed:
            if result.error is None:
                self._state = {there: result.outputs[here] for here, there in self._pairs.items()}
            self._is_pending = False
            self._changed.notify_all()


def _check(pairs: Mapping[str, str], model: StoredModel) -> None:
    inputs = {spec.name: spec for spec in model.inputs}
    outputs = {spec.name: spec for spec in model.cuts[-1].tensors}
    for here, there in pairs.items():
        for name, known, what in ((here, outputs, "output"), (there, inputs, "input")):
            if name not in known:
                raise UsageError(f"the model has no {what} `{name}`", hint=f"its {what}s are {', '.join(known)}")
        made, taken = outputs[here], inputs[there]
        if (made.shape, made.dtype) != (taken.shape, taken.dtype):
            raise UsageError(
                f"output `{here}` is {made.dtype}{list(made.shape)}, input `{there}` takes "
                f"{taken.dtype}{list(taken.shape)}: one cannot be fed back into the other"
            )
    if len(set(pairs.values())) < len(pairs):
        raise UsageError(
            "two outputs are fed back into the same input", hint="write --feed-back OUTPUT=INPUT once each"
        )
