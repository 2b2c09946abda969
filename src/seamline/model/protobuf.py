"""Parsing ONNX bytes, with the one error that can come of it."""

from __future__ import annotations

from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # protobuf ships no types
from onnx import ModelProto

from seamline.core.errors import ModelError


def parse_model(data: bytes, what: str) -> ModelProto:
    """The ONNX model in `data`. Raises `ModelError` saying that `what` is not ONNX."""
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as exc:
        raise ModelError(f"{what} is not ONNX", hint="export the model to ONNX first") from exc
    return model
