"""The package `openvino`, imported without its telemetry.

Importing it reports that to a server of its makers, from a thread, and writes an id into the user's home, unless its
companion `openvino_telemetry` is missing. So it is missing for as long as the import takes: nothing of Seamline's
speaks to anybody whom its user has not named.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

_TELEMETRY = "openvino_telemetry"


def import_openvino() -> Any:
    """The module. Raises `ImportError` when it is not installed."""
    if (known := sys.modules.get("openvino")) is not None:
        return known
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == _TELEMETRY}
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment] # which makes importing it fail
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules[_TELEMETRY]
        sys.modules.update(before)
