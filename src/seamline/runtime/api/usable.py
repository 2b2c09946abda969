"""Whether a node that is seen can take part in streams, and what is in the way."""

from __future__ import annotations

import seamline
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.quantities import bytes_text
from seamline.fabric.messages import Status

LEAST_MEMORY_BYTES = 32 << 20
"""Less holds no segment of a network that is worth sending away."""


def why_unusable(
    status: Status | None, *, role: str | None, link: LinkEstimate | None, is_measured: bool, refused: str | None
) -> str | None:
    """Why no stream can use the node; None when nothing is known to be in the way.

    status: what it says of itself, None when nothing came. role: in its certificate, None without one. link: from
    here to it; is_measured: it was asked for. refused: why its messages are not read here.
    """
    if refused is not None:
        return refused
    if status is None:
        return "it is there and says nothing of itself: is the network full, or the process stopped?"
    if role not in (None, "node"):
        return f"its certificate is for the role {role}: it computes for nobody else"
    if _minor(status.version) != _minor(seamline.__version__):
        return f"it runs Seamline {status.version}, this is {seamline.__version__}; run the same release on all nodes"
    if 0 < status.usable_memory_bytes < LEAST_MEMORY_BYTES:
        return f"models may use {bytes_text(status.usable_memory_bytes)} of memory there"
    if link is not None and link.n_samples > 0 and link.goodput_bps <= 0.0:
        return "its data path is down: it is heard, and no data reaches it from here"
    if is_measured and link is None:
        return "its data path does not answer: it is heard, and nothing that is sent to it is acknowledged"
    return None


def _minor(version: str) -> tuple[str, ...]:
    return tuple(version.split(".")[:2])
