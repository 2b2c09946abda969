"""Directed links between nodes, and the estimate of one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from seamline.core.vocabulary.nodes import NodeId

Link = tuple[NodeId, NodeId]
"""One direction between two nodes: (source, target)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEstimate:
    """Estimate of one direction of one link, as of its newest sample.

    rtt_s: minimum round trip of the window. goodput_bps: payload bits per second, 0.0 when the link is down.
    overhead_s: what a message takes beyond half a round trip and its bytes, whatever its size.
    goodput_std_ratio: one standard deviation of the goodput, relative. measured_at_s: monotonic time of the newest
    sample behind it. n_samples: samples since the last change point. average_bps, average_std_ratio: of all messages
    lately, whatever changed in between (`average.py`); 0.0 where that is not known. oscillating_until_s: until
    when the link counts as oscillating too fast to be followed. is_silent: nothing gets through now
    (`core.link.silence`), known of own links alone.
    """

    source: NodeId
    target: NodeId
    rtt_s: float
    goodput_bps: float
    goodput_std_ratio: float = 0.0
    measured_at_s: float = 0.0
    n_samples: int = 0
    overhead_s: float = 0.0
    average_bps: float = 0.0
    average_std_ratio: float = 0.0
    oscillating_until_s: float = -math.inf
    is_silent: bool = False
