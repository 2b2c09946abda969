"""``--trace-sample``: traces of frames for an OpenTelemetry collector, as long as a node runs."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Annotated

import typer

from seamline.core.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from seamline.runtime.node.node import Node

log = logging.getLogger(__name__)

VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
DEFAULT_RATIO = 0.01
HINT = "pip install 'seamline[tracing]'"

TraceSampleOption = Annotated[
    float | None,
    typer.Option(
        "--trace-sample",
        metavar="SHARE",
        min=0.0,
        max=1.0,
        help="Share of the frames whose traces go to the OpenTelemetry collector of OTEL_EXPORTER_OTLP_ENDPOINT; "
        "0.01 when that is set.",
    ),
]


def open_tracer(node: Node, sample_ratio: float | None = None) -> None:
    """Have `node` trace frames until it closes, where the environment names a collector.

    Raises `UsageError` when traces were asked for and there is no collector, or no package for them.
    """
    if not any(map(os.environ.get, VARIABLES)):
        if sample_ratio:
            raise UsageError(
                f"--trace-sample needs a collector, and {VARIABLES[-1]} is not set",
                hint=f"{VARIABLES[-1]}=http://localhost:4318",
            )
        return
    try:
        from seamline.runtime.tracing.frame_tracer import FrameTracer
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        if sample_ratio is not None:
            raise UsageError("--trace-sample needs OpenTelemetry's packages", hint=HINT) from error
        log.warning("%s is set, and OpenTelemetry's packages are not installed; hint: %s", VARIABLES[-1], HINT)
        return
    node.trace_with(FrameTracer(node.name, DEFAULT_RATIO if sample_ratio is None else sample_ratio))
