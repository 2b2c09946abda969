"""From an ONNX file to runnable segments: reading, the weight store, cutting, engines and the model zoo.

The names below are loaded when first used, so that asking the zoo for its names does not import ONNX.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seamline.model.description import FrameRecipe
    from seamline.model.engine import OrtEngine
    from seamline.model.inputs import input_names
    from seamline.model.preprocess import Preprocess
    from seamline.model.store import ModelStore
    from seamline.model.stored import StoredModel
    from seamline.model.transfer import Incoming
    from seamline.model.verify import CutCheck, verify_cuts

__all__ = ["ModelStore", "StoredModel", "Incoming", "Preprocess", "FrameRecipe", "OrtEngine", "CutCheck", "verify_cuts"]
__all__ += ["input_names"]

_HOMES = {
    "ModelStore": "store", "StoredModel": "stored", "Incoming": "transfer", "Preprocess": "preprocess",
    "FrameRecipe": "description", "OrtEngine": "engine", "CutCheck": "verify", "verify_cuts": "verify",
    "input_names": "inputs",
}  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
