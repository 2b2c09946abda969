"""A testbed file's links, loads and changes as a simulation sees them, so that both can be run over the same file.

Nodes are not taken from it but for how their slowdowns change: what they cost stands in profiles, which were measured
with the testbed's slowdown or on the machines it imitates. Jitter belongs to the testbed's sockets and is left out, and
said; a lost packet costs the same in both (`core.link.loss`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from seamline.config import LinkSpec, Testbed, Trace, read_trace
from seamline.core.vocabulary.nodes import NodeId
from seamline.sim.scene import SceneLink

UNSHAPED_BPS = 10e9
"""A link without a rate."""


def links_of(testbed: Testbed, duration_s: float) -> tuple[SceneLink, ...]:
    """The links of `testbed` with everything that happens to them in a run of `duration_s`."""
    return tuple(_link(testbed, spec, duration_s) for spec in testbed.links)


def loads_of(testbed: Testbed, duration_s: float) -> Mapping[NodeId, tuple[tuple[float, float], ...]]:
    """Per node that changes, (at_s, times as long as its profile says), as `Scene.slowdowns` has them.

    A simulated node's codecs slow down with it; a testbed's do not, since only engines wait.
    """
    steps: dict[NodeId, list[tuple[float, float]]] = {}
    for load in testbed.loads:
        usual = testbed.node(load.node).slowdown
        steps.setdefault(NodeId(load.node), []).append((load.at_s_of(duration_s), load.slowdown / usual))
    return {node: tuple(sorted(changes)) for node, changes in steps.items()}


def left_out(testbed: Testbed) -> Iterator[str]:
    """What of `testbed` the simulation does not have, in words."""
    for link in testbed.links:
        if link.jitter_s:
            yield f"jitter of {link.name}"


def _link(testbed: Testbed, spec: LinkSpec, duration_s: float) -> SceneLink:
    """Changes of rate, delay, loss and silence, and the steps of a trace, become one trace that holds to its end."""
    now = _State(rate_bps=spec.rate_bps or UNSHAPED_BPS, delay_s=spec.delay_s, loss_ratio=spec.loss_ratio)
    events: list[tuple[float, Mapping[str, Any]]] = []
    if spec.trace is not None:
        events += [
            (at_s, {"rate_bps": rate_bps, "delay_s": delay_s, "loss_ratio": loss_ratio})
            for at_s, rate_bps, delay_s, loss_ratio in read_trace(spec.trace).conditions(duration_s)
        ]
    for change in testbed.changes:
        if set(change.between) == set(spec.between):
            values = {"rate_bps": change.rate_bps, "delay_s": change.delay_s, "loss_ratio": change.loss_ratio}
            events.append((change.at_s_of(duration_s), {**values, "is_silent": change.silent}))
    states = {0.0: now}
    for at_s, new in sorted(events, key=lambda event: event[0]):
        now = replace(now, **{key: value for key, value in new.items() if value is not None})
        states[at_s] = now
    trace = Trace(
        times_s=tuple(states),
        rates_bps=tuple(0.0 if state.is_silent else state.rate_bps for state in states.values()),
        delays_s=tuple(state.delay_s for state in states.values()),
        loss_ratios=tuple(state.loss_ratio for state in states.values()),
        length_s=max(duration_s, *states) * 2.0 if len(states) > 1 else math.inf,
    )
    return SceneLink(between=(NodeId(spec.between[0]), NodeId(spec.between[1])), trace=trace, delay_s=spec.delay_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """How a link is for a while."""

    rate_bps: float
    delay_s: float
    loss_ratio: float
    is_silent: bool = False
