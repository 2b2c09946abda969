"""Energy counters, meters that count joules themselves: the processor's RAPL counters and NVIDIA's NVML.

Reading them takes microseconds, so they are read whenever somebody asks. What counts power only is `sampled.py`.
"""

from __future__ import annotations

import importlib
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seamline.core.vocabulary.errors import MeterError

_PACKAGE = re.compile(r"intel-rapl:\d+")
_SUBDOMAIN = re.compile(r"intel-rapl:\d+:\d+")
RAPL_PERMISSION_HINT = (
    "since PLATYPUS (CVE-2020-8694) only root may read RAPL: run as root, or as root "
    "`chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj` after weighing that side channel"
)

MODEL_HINT = "give --power PROFILE to model it"


@dataclass(slots=True)
class _Domain:
    """One counter, in microjoules. range_uj: where it starts again from 0. counted_uj: since the meter was opened."""

    name: str
    path: Path
    range_uj: int
    last_uj: int = 0
    counted_uj: int = 0

    def advance(self) -> None:
        now_uj = _microjoules(self.path)
        step_uj = now_uj - self.last_uj
        self.counted_uj += step_uj if step_uj >= 0 else step_uj + self.range_uj
        self.last_uj = now_uj


class RaplMeter:
    """Processor packages, and memory where it is counted apart; Intel and AMD (Zen) under Linux.

    A counter starts again after `max_energy_range_uj` (at 100 W some 45 minutes): read it more often than that.
    Raises `MeterError` when there is none or it may not be read.
    """

    source = "measured:rapl"

    def __init__(self, root: Path) -> None:
        self._lock = threading.Lock()
        self._domains = _rapl_domains(root)
        for domain in self._domains:
            domain.last_uj = _microjoules(domain.path)

    @property
    def scope(self) -> str:
        names = sorted({"memory" if domain.name == "dram" else "processor packages" for domain in self._domains})
        return ", ".join(reversed(names))

    def energy_j(self) -> float:
        """Joules of all counted domains since the meter was opened. Raises `MeterError`."""
        with self._lock:
            for domain in self._domains:
                domain.advance()
            return sum(domain.counted_uj for domain in self._domains) * 1e-6

    def close(self) -> None:
        """Close nothing: nothing is open between readings."""


class NvmlMeter:
    """NVIDIA GPUs with an energy counter (Volta and newer), through the package `nvidia-ml-py`.

    Raises `MeterError` when the package, the driver or the counter is missing.
    """

    source = "measured:nvml"

    def __init__(self, nvml: Any | None = None) -> None:
        self._nvml = nvml if nvml is not None else import_nvml()
        try:
            self._nvml.nvmlInit()
            count = self._nvml.nvmlDeviceGetCount()
            self._gpus = [self._nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
            if not self._gpus:
                raise MeterError("NVML sees no GPU", hint=MODEL_HINT)
            self._first_mj = self._millijoules()
        except self._nvml.NVMLError as exc:
            raise MeterError(f"NVML cannot count energy: {exc}", hint="it needs a GPU of Volta or newer") from exc

    @property
    def scope(self) -> str:
        return "GPU" if len(self._gpus) == 1 else f"{len(self._gpus)} GPUs"

    def energy_j(self) -> float:
        """Joules of all GPUs since the meter was opened. Raises `MeterError`."""
        try:
            return (self._millijoules() - self._first_mj) * 1e-3
        except self._nvml.NVMLError as exc:
            raise MeterError(f"NVML no longer counts energy: {exc}", hint=MODEL_HINT) from exc

    def close(self) -> None:
        self._nvml.nvmlShutdown()

    def _millijoules(self) -> int:
        return sum(int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(gpu)) for gpu in self._gpus)


def _rapl_domains(root: Path) -> list[_Domain]:
    """The packages and, inside them, memory. Core and uncore are parts of the package, psys contains it: left out."""
    packages = sorted(path for path in root.glob("intel-rapl:*") if _PACKAGE.fullmatch(path.name))
    found = [domain for path in packages if (domain := _domain(path)) is not None and domain.name != "psys"]
    for package in packages:
        for path in sorted(path for path in package.glob("intel-rapl:*") if _SUBDOMAIN.fullmatch(path.name)):
            domain = _domain(path)
            if domain is not None and domain.name == "dram":
                found.append(domain)
    if not found:
        raise MeterError(
            f"no RAPL counter under {root}", hint="virtual machines and ARM boards have none; use a power profile"
        )
    return found


def _domain(folder: Path) -> _Domain | None:
    try:
        name = (folder / "name").read_text(encoding="ascii").strip()
        range_uj = int((folder / "max_energy_range_uj").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None  # a folder without these is no counter
    return _Domain(name=name, path=folder / "energy_uj", range_uj=range_uj)


def _microjoules(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except PermissionError as exc:
        raise MeterError(f"{path} may not be read", hint=RAPL_PERMISSION_HINT) from exc
    except (OSError, ValueError) as exc:
        raise MeterError(f"{path} cannot be read: {exc}", hint=MODEL_HINT) from exc


def import_nvml() -> Any:
    """The NVML binding. Raises `MeterError` when the package is missing."""
    try:
        return importlib.import_module("pynvml")
    except ImportError as exc:
        raise MeterError("no NVML binding is installed", hint="pip install nvidia-ml-py") from exc
