"""Memory of a GPU from NVML: what is free and what this process has already count as usable."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from seamline.core.vocabulary.errors import MeterError
from seamline.meters.gpu import Gpu


class NVMLError(Exception):
    """The driver's."""


class Nvml:
    """One GPU of 8 GB, 5 of them free. own: processes that compute there; None where the driver does not tell."""

    NVMLError = NVMLError

    def __init__(self, own: list[SimpleNamespace] | None) -> None:
        self._own = own
        self.is_open = False

    def nvmlInit(self) -> None:  # noqa: N802 # the binding's names
        self.is_open = True

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.is_open = False

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetName(self, gpu: int) -> str:  # noqa: N802
        return "NVIDIA T4"

    def nvmlDeviceGetMemoryInfo(self, gpu: int) -> SimpleNamespace:  # noqa: N802
        if not self.is_open:
            raise NVMLError("uninitialised")
        return SimpleNamespace(total=8 << 30, free=5 << 30)

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: int) -> list[SimpleNamespace]:  # noqa: N802
        if self._own is None:
            raise NVMLError("not supported")
        return self._own


def test_what_this_process_has_taken_counts_as_usable_and_what_others_have_does_not() -> None:
    mine = SimpleNamespace(pid=os.getpid(), usedGpuMemory=2 << 30)
    other = SimpleNamespace(pid=os.getpid() + 1, usedGpuMemory=1 << 30)
    gpu = Gpu(Nvml([mine, other]))
    assert (gpu.name, gpu.memory_bytes, gpu.free_bytes(), gpu.usable_bytes()) == (
        "NVIDIA T4",
        8 << 30,
        5 << 30,
        7 << 30,
    )


def test_a_driver_that_does_not_tell_of_processes_leaves_what_is_free() -> None:
    assert Gpu(Nvml(None)).usable_bytes() == 5 << 30


def test_a_closed_gpu_has_no_memory_and_raises_nothing() -> None:
    gpu = Gpu(Nvml([]))
    gpu.close()
    assert gpu.usable_bytes() == 0


def test_a_machine_without_a_driver_is_a_meter_error_with_a_hint() -> None:
    nvml = Nvml([])
    nvml.nvmlInit = lambda: (_ for _ in ()).throw(NVMLError("no driver"))  # type: ignore[method-assign]
    with pytest.raises(MeterError, match=r"no driver.*hint"):
        Gpu(nvml)
