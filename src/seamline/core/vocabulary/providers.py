"""Providers: what a node can compute with, by name. Which of them work on a machine: `model.engine.providers`."""

from __future__ import annotations

import difflib

from seamline.core.vocabulary.errors import UsageError

AUTO, CPU, CUDA, TENSORRT, OPENVINO, COREML, XNNPACK = (
    "auto", "cpu", "cuda", "tensorrt", "openvino", "coreml", "xnnpack",
)  # fmt: skip

PROVIDERS = (CPU, CUDA, TENSORRT, OPENVINO, COREML, XNNPACK)

OIP, RAY = "oip", "ray"
"""What computes elsewhere, for a node that hands its segments on: not a choice of `--provider`, but of `--engine`."""

GPU_PROVIDERS = frozenset({CUDA, TENSORRT})
"""Those with memory of their own, where weights and tensors must fit."""


def require_provider(name: str) -> None:
    """Raise `UsageError` unless `name` is one of `PROVIDERS`, or `AUTO`."""
    if name not in (AUTO, *PROVIDERS):
        near = difflib.get_close_matches(name, PROVIDERS, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"one of {AUTO}, {', '.join(PROVIDERS)}"
        raise UsageError(f"`{name}` is no provider", hint=hint)
