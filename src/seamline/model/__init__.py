"""From an ONNX file to runnable segments: reading, the weight store, cutting, engines and the model zoo.

The names below are loaded when first used, so that asking the zoo for its names does not import ONNX.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seamline.model.engine.ort import OrtEngine
    from seamline.model.engine.verify import CutCheck, verify_cuts
    from seamline.model.metadata.preprocess import Preprocess
    from seamline.model.metadata.recipe import FrameRecipe
    from seamline.model.onnx.inputs import input_shapes
    from seamline.model.store.models import ModelStore
    from seamline.model.store.stored import StoredModel
    from seamline.model.store.transfer import Incoming

__all__ = ["ModelStore", "StoredModel", "Incoming", "Preprocess", "FrameRecipe", "OrtEngine", "CutCheck", "verify_cuts"]
__all__ += ["input_shapes"]

_HOMES = {
    "ModelStore": "store.models", "StoredModel": "store.stored", "Incoming": "store.transfer",
    "Preprocess": "metadata.preprocess",
    "FrameRecipe": "metadata.recipe", "OrtEngine": "engine.ort",
    "CutCheck": "engine.verify", "verify_cuts": "engine.verify",
    "input_shapes": "onnx.inputs",
}  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
