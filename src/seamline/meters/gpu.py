"""Facts of this machine's GPU from NVML: its name, and how much of its memory segments may take.

Weights and tensors of a node that computes on a GPU must fit there, not only into the host's memory.
"""

from __future__ import annotations

import os
from typing import Any

from seamline.core.vocabulary.errors import MeterError
from seamline.meters.counters import import_nvml


class Gpu:
    """The first GPU, which the CUDA and TensorRT providers use. Raises `MeterError` without the package
    `nvidia-ml-py`, a driver or a GPU; `close` it."""

    def __init__(self, nvml: Any | None = None) -> None:
        self._nvml = nvml if nvml is not None else import_nvml()
        try:
            self._nvml.nvmlInit()
            self._gpu = self._nvml.nvmlDeviceGetHandleByIndex(0)
            name = self._nvml.nvmlDeviceGetName(self._gpu)
            self.memory_bytes = int(self._nvml.nvmlDeviceGetMemoryInfo(self._gpu).total)
        except self._nvml.NVMLError as exc:
            raise MeterError(f"NVML does not tell of a GPU: {exc}", hint="is the driver there? try nvidia-smi") from exc
        self.name = name.decode() if isinstance(name, bytes) else str(name)

    def free_bytes(self) -> int:
        """Memory that nobody has taken; 0 when the driver does not answer."""
        try:
            return int(self._nvml.nvmlDeviceGetMemoryInfo(self._gpu).free)
        except self._nvml.NVMLError:
            return 0

    def usable_bytes(self) -> int:
        """What segments may take in all: what is free, and what this process has taken already."""
        return self.free_bytes() + self._own_bytes()

    def close(self) -> None:
        self._nvml.nvmlShutdown()

    def _own_bytes(self) -> int:
        """Memory of this process there; 0 where the driver does not tell, as in a container."""
        try:
            processes = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._gpu)
        except self._nvml.NVMLError:
            return 0
        return sum(int(each.usedGpuMemory or 0) for each in processes if each.pid == os.getpid())
