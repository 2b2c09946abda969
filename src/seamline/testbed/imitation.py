"""Slowdowns that make this computer the published machines of a testbed, whatever computer it is.

A node with a `machine` takes as long for the whole network as was published for that one; its layers share that time
as they do here. A computer that is slower than a machine cannot imitate it, and refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from seamline.config import NodeSpec, Testbed
from seamline.config.machines import published_s
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.quantities import seconds_text

SHARE_AT_MOST = 0.9
"""Of the published time: a node also has to wait for this computer's processor, which it shares with the others."""


def needs_profile(testbed: Testbed) -> bool:
    """Whether slowdowns of `testbed` can only be known from a profile of the model."""
    return any(node.machine is not None for node in testbed.nodes)


def imitating(testbed: Testbed, *, model: str, macs: int, here_s: Callable[[int], float]) -> Testbed:
    """`testbed` with slowdowns in times of this computer's profile, of its nodes and of their changes.

    macs: multiply-accumulates of `model`. here_s: seconds that the whole model takes here with so many threads.
    Raises `UsageError` when this computer is too slow for one of the machines.
    """
    ratios = {
        node.name: _ratio(node, node.machine, model, macs, here_s(node.threads))
        for node in testbed.nodes
        if node.machine is not None
    }
    return replace(
        testbed,
        nodes=tuple(replace(node, slowdown=node.slowdown * ratios.get(node.name, 1.0)) for node in testbed.nodes),
        loads=tuple(replace(load, slowdown=load.slowdown * ratios.get(load.node, 1.0)) for load in testbed.loads),
    )


def _ratio(node: NodeSpec, machine: str, model: str, macs: int, here_s: float) -> float:
    there_s = published_s(machine, model, macs)
    if here_s > SHARE_AT_MOST * there_s * node.slowdown:
        raise UsageError(
            f"this computer takes {seconds_text(here_s)} for `{model}`, too long to be node `{node.name}`: "
            f"a {machine} takes {seconds_text(there_s)}",
            hint="--model a smaller network, --testbed slower machines, or run on a faster computer",
        )
    return there_s / here_s
