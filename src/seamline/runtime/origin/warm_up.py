"""Warm-up of a stream before its first plan: what its model costs on the origin and elsewhere, and what links carry.

Only the origin's own profile is needed to begin: frames run there, and other nodes join as their profiles come, which
the pilot asks for. A policy that chooses its plan once waits for the nodes that it chooses among, and says so. All of
it goes on being corrected while frames flow: `stream_view.py` and `links.py`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

from seamline.core.adaptation.policy import Fixed, Offload, Policy, Static
from seamline.core.link.interest import INTEREST_S
from seamline.core.vocabulary.errors import SeamlineError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.profiles import Profile
from seamline.runtime.node.node import Node
from seamline.runtime.shared.clock import now_s

log = logging.getLogger(__name__)

JOIN_GRACE_RATIO, LEAST_GRACE_S, MOST_GRACE_S = 0.5, 1.0, 5.0
"""Nodes that have the model have been measured before, or measure about as long as the origin does: they are given so
much more of its time."""

PROFILE_TIMEOUT_S = 600.0
"""For the nodes of a policy that chooses once: the first profile of a large model comes over a slow link."""

LINK_TIMEOUT_S = 3.0
REPORT_TIMEOUT_S = 1.0


def needed_at_start(policy: Policy, others: Sequence[NodeId]) -> frozenset[NodeId]:
    """Nodes without whose profiles `policy` would choose another plan, for good."""
    match policy:
        case Static() | Offload():
            return frozenset(others)
        case Fixed(plan):
            return frozenset(others) & frozenset(plan.nodes)
    return frozenset()


def profile_nodes(
    node: Node, others: Sequence[NodeId], model_id: str, budget_s: float, *, needed: Collection[NodeId]
) -> dict[NodeId, Profile]:
    """The model's profile on `node`, the origin, and on those of `others` that have one soon; all work at once.

    needed: is waited for. Raises `ModelError` when the origin cannot run the model.
    """
    asked: dict[NodeId, Future[Profile]] = {
        name: node.client.profile(name, model_id, budget_s) for name in (node.name, *others)
    }
    began_s = now_s()
    profiles = {node.name: asked[node.name].result()}
    took_s = now_s() - began_s
    quiet_until_s = now_s() + MOST_GRACE_S
    until_s = min(quiet_until_s, now_s() + max(LEAST_GRACE_S, JOIN_GRACE_RATIO * took_s))
    for name in sorted(others, key=lambda name: name in needed):  # those that are waited for in any case come last
        limit_s = quiet_until_s if name in needed else until_s
        if (found := _profile_within(asked[name], name, limit_s - now_s())) is not None:
            profiles[name] = found
    missing = [name for name in others if name in needed and name not in profiles and not asked[name].done()]
    if missing:
        log.warning(
            "waiting for `%s` to profile the model: the policy chooses one plan for good", "` and `".join(missing)
        )
    until_s = now_s() + PROFILE_TIMEOUT_S
    for name in missing:
        if (found := _profile_within(asked[name], name, until_s - now_s())) is not None:
            profiles[name] = found
        elif not asked[name].done():
            log.warning("`%s` did not profile the model within %.0f s", name, PROFILE_TIMEOUT_S)
    return profiles


def _profile_within(answer: Future[Profile], name: NodeId, timeout_s: float) -> Profile | None:
    """The profile on `name`, None when there is none yet, or none at all."""
    try:
        return answer.result(timeout=max(0.0, timeout_s))
    except FutureTimeout:
        log.info("`%s` joins when it has profiled the model", name)
    except SeamlineError as error:
        log.warning("the stream starts without `%s`: %s", name, error)
    return None


def ask_links(node: Node, others: Collection[NodeId], stream: str) -> None:
    """Let all nodes measure the links between them from now on; the pilot asks again once it has begun."""
    nodes = {node.name, *others}
    for name in nodes:
        node.client.measure_links(name, stream, nodes - {name}, INTEREST_S + LINK_TIMEOUT_S)


def wait_links(node: Node, others: Collection[NodeId], stream: str) -> None:
    """Measure the links now that no profile keeps the machine busy; a silent one is not waited for long.

    What nodes report of the links between them is waited for less: not all may see each other.
    """
    node.links.remeasure()
    ask_links(node, others, stream)
    began_s = now_s()
    missing, are_reported = set(others), False
    while missing or not are_reported:
        waited_s = now_s() - began_s
        if waited_s >= (LINK_TIMEOUT_S if missing else REPORT_TIMEOUT_S):
            break
        missing = {name for name in others if not node.links.is_measured(name)}
        are_reported = all(_reports(node, name, {node.name, *others} - {name}) for name in others)
        time.sleep(0.02)
    for name in missing:
        log.warning("no estimate of the link to `%s` yet", name)


def _reports(node: Node, name: NodeId, targets: Collection[NodeId]) -> bool:
    """Whether node `name` has reported on its links to all of `targets`."""
    status = node.membership.statuses().get(name)
    known = set() if status is None else {link.target for link in status.links if link.n_samples > 0}
    return known.issuperset(targets)
