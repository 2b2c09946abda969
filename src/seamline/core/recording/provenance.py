"""Provenance of a measurement: which version, on which machine, when. Found out by `meters.provenance`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where figures come from."""

    version: Annotated[str, "Seamline's version"]
    date: Annotated[str, "day of the run, UTC"]
    cpu: Annotated[str, "processor of the machine that the command ran on"]
    n_cores: Annotated[int, "its processors"]
    memory_bytes: Annotated[int, "its memory"]
    python: Annotated[str, "Python's version"]
    onnxruntime: Annotated[str, "ONNX Runtime's version"]
    platform: Annotated[str, "operating system and architecture"]
