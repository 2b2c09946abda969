"""Heads of a node: reads the outputs of frames that come from elsewhere, where their origin asks for that.

A head is chosen from this node's own copy of the model, and used only if it is the one that the origin means. What
cannot be read so is sent as it is: the origin has the last word.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping

from seamline.core.vocabulary.errors import SeamlineError
from seamline.core.vocabulary.ports import Array
from seamline.fabric.messages import HeadAsk
from seamline.heads.choosing import choose_head, facts_of
from seamline.heads.names import ClassNames
from seamline.heads.reduced import ReducingHead, fingerprint
from seamline.model import StoredModel

log = logging.getLogger(__name__)

MAX_MODELS = 16
MAX_HEADS = 8
"""Of one model. Choosing one reads the model, on the thread that computes: nobody has that done for every frame."""


class OutputReaders:
    """Owner of the heads chosen so far; for one thread. stored: the model of an id. Raises `ModelError` without it."""

    def __init__(self, stored: Callable[[str], StoredModel]) -> None:
        self._stored = stored
        self._heads: OrderedDict[str, dict[HeadAsk, ReducingHead | None]] = OrderedDict()

    def read(self, model_id: str, ask: HeadAsk, outputs: Mapping[str, Array]) -> dict[str, Array] | None:
        """What the head asked for says of `outputs`; None when the origin has to read them itself."""
        head = self._head(model_id, ask)
        if head is None:
            return None
        try:
            found = head.reduce(outputs)
            return found if _bytes(found) < _bytes(outputs) else None
        except Exception as error:  # outputs are whatever a model gives; the origin says what is wrong with them
            log.debug("outputs are sent as they are: %s: %s", type(error).__name__, error)
            return None

    def _head(self, model_id: str, ask: HeadAsk) -> ReducingHead | None:
        heads = self._heads.setdefault(model_id, {})
        self._heads.move_to_end(model_id)
        if len(self._heads) > MAX_MODELS:
            self._heads.popitem(last=False)
        if ask not in heads and len(heads) < MAX_HEADS:
            heads[ask] = self._chosen(model_id, ask)
        return heads.get(ask)

    def _chosen(self, model_id: str, ask: HeadAsk) -> ReducingHead | None:
        """The head, if it is the one that the origin means."""
        size = (ask.height, ask.width) if ask.height and ask.width else None
        names = ClassNames(names={ask.n_names - 1: ""} if ask.n_names else {})
        try:
            model = self._stored(model_id)
            facts = facts_of(model.graph, model.metadata, size=size, names=names)
            head = choose_head(facts, ask.head, score_ratio=ask.score, n_most=ask.n_most).head
        except SeamlineError as error:
            log.debug("no head for %s: %s", model_id[:12], error)
            return None
        return head if isinstance(head, ReducingHead) and fingerprint(head) == ask.fingerprint else None


def _bytes(arrays: Mapping[str, Array]) -> int:
    return sum(array.nbytes for array in arrays.values())
