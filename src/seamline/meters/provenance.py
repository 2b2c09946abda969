"""Where a measurement comes from: versions, and the machine it runs on."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import psutil

import seamline
from seamline.core.recording.provenance import Provenance
from seamline.meters.device import cpu_name


def provenance() -> Provenance:
    """Of what is measured in this process now."""
    return _on(datetime.now(UTC).date().isoformat())


@cache
def _on(date: str) -> Provenance:
    return Provenance(
        version=seamline.__version__,
        date=date,
        cpu=cpu_name(),
        n_cores=os.cpu_count() or 1,
        memory_bytes=int(psutil.virtual_memory().total),
        python=platform.python_version(),
        onnxruntime=_version_of("onnxruntime", "onnxruntime-gpu"),
        platform=f"{platform.system()} {platform.machine()}",
    )


def _version_of(*names: str) -> str:
    """Version of the first of these packages that is installed."""
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"
