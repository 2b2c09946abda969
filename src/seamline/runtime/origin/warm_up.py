"""Before a stream's first plan: what its model costs on every node, and what the links between them carry.

Both go on being corrected while frames flow: `stream_view.py` and `links.py`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

from seamline.core.vocabulary.errors import SeamlineError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.profiles import Profile
from seamline.runtime.node.node import Node
from seamline.runtime.shared.clock import now_s

log = logging.getLogger(__name__)

PROFILE_TIMEOUT_S = 600.0
LINK_TIMEOUT_S = 3.0


def profile_nodes(node: Node, others: Sequence[NodeId], model_id: str, budget_s: float) -> dict[NodeId, Profile]:
    """The model's profile on `node`, the origin, and on those of `others` that can give one; all work at once.

    Raises `ModelError` when the origin cannot run the model.
    """
    asked: dict[NodeId, Future[Profile]] = {
        name: node.client.profile(name, model_id, budget_s) for name in (node.name, *others)
    }
    profiles: dict[NodeId, Profile] = {}
    for name, answer in asked.items():
        try:
            profiles[name] = answer.result(timeout=PROFILE_TIMEOUT_S)
        except FutureTimeout:
            log.warning("`%s` did not profile the model within %.0f s", name, PROFILE_TIMEOUT_S)
        except SeamlineError as error:
            if name == node.name:
                raise
            log.warning("the stream starts without `%s`: %s", name, error)
    return profiles


def wait_links(node: Node, others: Sequence[NodeId]) -> None:
    """Measure the links now that no profile keeps the machine busy; a silent one is not waited for long."""
    node.links.remeasure()
    until_s = now_s() + LINK_TIMEOUT_S
    missing = set(others)
    while missing and now_s() < until_s:
        missing = {name for name in others if not node.links.is_measured(name)}
        time.sleep(0.02)
    for name in missing:
        log.warning("no estimate of the link to `%s` yet", name)
