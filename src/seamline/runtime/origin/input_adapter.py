"""What a user gives a stream, made into what it runs on: any frame into input tensors.

Sources are `runtime.sources`, the pace at which they are read is `feeder.py`.
"""

from __future__ import annotations

import numpy as np

from seamline.core.vocabulary.errors import ModelError, UsageError
from seamline.core.vocabulary.ports import Array, FrameArray, Tensors
from seamline.model import StoredModel
from seamline.runtime.shared.fitting import fit


def input_tensors(frame: Array | dict[str, Array], model: StoredModel) -> Tensors:
    """The tensors that the first segment of `model` takes, from one frame: uint8[H, W, 3], an array or a dict of them.

    Raises `UsageError` for a frame of another kind, `ModelError` when the model does not say how to make one its input.
    """
    if not isinstance(frame, np.ndarray | dict):
        raise UsageError(f"a frame is an array or a dict of arrays, not a {type(frame).__name__}")
    preprocess = model.preprocess
    if preprocess is not None:
        if isinstance(frame, dict) or frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise UsageError("frames of this model are uint8[H, W, 3] arrays in RGB order")
        fitted: FrameArray = fit(frame, preprocess.height, preprocess.width)
        return {"frame": np.ascontiguousarray(fitted)}
    if isinstance(frame, dict):
        return frame
    inputs = model.cuts[0].tensors
    if len(inputs) != 1:
        raise UsageError(f"the model takes {len(inputs)} inputs", hint="give dicts of arrays by input name")
    if frame.dtype == np.uint8 and inputs[0].dtype != "uint8":
        raise ModelError(
            f"model `{model.name}` does not say how a camera frame becomes its input `{inputs[0].name}`",
            hint="its file carries no pre-processing; give arrays of the input's shape and dtype",
        )
    return {inputs[0].name: frame}
