"""What a node computes with: what it falls back to, in words, and what memory of a GPU it offers."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import onnxruntime
import pytest

from seamline.core.vocabulary.nodes import Tier, node_id
from seamline.core.vocabulary.providers import CPU, CUDA
from seamline.model.engine.providers import look
from seamline.runtime.node import starting
from seamline.runtime.node.status import Identity, OwnStatus


def test_a_node_without_the_provider_it_was_asked_for_says_so_and_computes_on_the_processor(monkeypatch, caplog):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    look.cache_clear()
    with caplog.at_level(logging.WARNING, logger=starting.LOGGER.name):
        assert starting._provider(CUDA) == CPU
    look.cache_clear()
    assert "cuda was asked for: this ONNX Runtime" in caplog.text
    assert "computing on the processor; hint: " in caplog.text
    assert "onnxruntime-gpu" in caplog.text


@pytest.mark.parametrize(("free", "usable"), [(5 << 20, 5 << 20), (1 << 50, 1 << 30), (0, 1)])
def test_segments_must_fit_the_memory_of_host_and_gpu(free, usable):
    """Nothing left on the GPU is next to nothing, not unknown."""
    gpu = SimpleNamespace(name="NVIDIA T4", memory_bytes=8 << 30, free_bytes=lambda: free, usable_bytes=lambda: free)
    identity = Identity(name=node_id("fog"), tier=Tier("fog"), incarnation="1", n_threads=1, memory_bytes=1 << 30)
    parts = {
        "engine": SimpleNamespace(name="onnxruntime 1 cuda", provider=CUDA),
        "store": SimpleNamespace(ids=tuple),
        "stages": SimpleNamespace(queue_s=0.0, n_workers=1),
        "load": SimpleNamespace(report=tuple),
        "links": SimpleNamespace(estimates=tuple),
        "energy": SimpleNamespace(reading=lambda: None),
    }
    status = OwnStatus(identity, **parts, streams=tuple, gpu=gpu).compose()
    assert status.usable_memory_bytes == usable
    assert status.provider == CUDA
    assert (status.gpu.name, status.gpu.memory_bytes, status.gpu.free_memory_bytes) == ("NVIDIA T4", 8 << 30, free)
