"""Nodes: their names and tiers."""

from __future__ import annotations

import re
from typing import NewType

from seamline.core.vocabulary.errors import UsageError

NodeId = NewType("NodeId", str)


Tier = NewType("Tier", str)


_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def node_id(name: str) -> NodeId:
    """`name` as a node id. Raises `UsageError` unless it is 1-63 of ``a-z 0-9 -`` and starts with a letter or digit.

    Ids come from peers and become keys and paths, so the alphabet is closed.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"`{name}` is not a node name", hint="use lower-case letters, digits and dashes, e.g. edge-1")
    return NodeId(name)


def as_node_name(text: str) -> str:
    """`text`, a host's name, in the letters of a node's: ``Pi_4.local`` is ``pi-4``. ``node`` when nothing is left."""
    return re.sub(r"[^a-z0-9]+", "-", text.partition(".")[0].lower()).strip("-")[:63] or "node"
