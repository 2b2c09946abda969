"""A testbed file's links, loads and changes as a simulation sees them, so that both can be run over the same file.

Nodes are not taken from it but for how their slowdowns change: what they cost stands in profiles, which were measured
with the testbed's slowdown or on the machines it imitates. Jitter and the file's loss ratios belong to the testbed's
sockets and are left out, and said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from seamline.config import LinkSpec, Testbed, Trace, read_trace
from seamline.core.values import NodeId
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
        if link.loss_ratio:
            yield f"loss of {link.name}"


def _link(testbed: Testbed, spec: LinkSpec, duration_s: float) -> SceneLink:
    """Changes of rate, delay and silence, and the steps of a trace, become one trace that holds to its end."""
    rate_bps, delay_s, is_silent = spec.rate_bps or UNSHAPED_BPS, spec.delay_s, False
    events: list[tuple[float, float | None, float | None, bool | None]] = []
    if spec.trace is not None:
        events += [(at_s, rate, None, None) for at_s, rate in read_trace(spec.trace).steps(duration_s)]
    for change in testbed.changes:
        if set(change.between) == set(spec.between):
            events.append((change.at_s_of(duration_s), change.rate_bps, change.delay_s, change.silent))
    states = {0.0: (rate_bps, delay_s)}
    for at_s, new_rate_bps, new_delay_s, silent in sorted(events, key=lambda event: event[0]):
        rate_bps = rate_bps if new_rate_bps is None else new_rate_bps
        delay_s = delay_s if new_delay_s is None else new_delay_s
        is_silent = is_silent if silent is None else silent
        states[at_s] = (0.0 if is_silent else rate_bps, delay_s)
    trace = Trace(
        times_s=tuple(states),
        rates_bps=tuple(rate for rate, _ in states.values()),
        delays_s=tuple(delay for _, delay in states.values()),
        length_s=max(duration_s, *states) * 2.0 if len(states) > 1 else math.inf,
    )
    return SceneLink(between=(NodeId(spec.between[0]), NodeId(spec.between[1])), trace=trace, delay_s=delay_s)
