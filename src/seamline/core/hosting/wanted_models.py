"""Models that a node wants: what waits for each, where it comes from, and whether anybody still wants it.

A model waits for its turn in the lane of every origin that wants it, since another's may be stuck; it is obtained once.

    state     what happens                 next      command
    --------  ---------------------------  --------  ------------------------
    queued    its turn has come            begun     Obtain, AddSource
    queued    nobody waits any more        -
    begun     wanted from another source   begun     AddSource
    begun     nobody waits any more        given up  GiveUp
    given up  it failed, and is wanted     queued
    any       it is here, or failed        -         what waited for it goes on
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from seamline.core.hosting import commands as cmd
from seamline.core.hosting.lanes import Lanes
from seamline.core.vocabulary.nodes import NodeId

Waiting = TypeVar("Waiting")


@dataclass(slots=True)
class _Model(Generic[Waiting]):
    """One of them. waiting: what goes on when it is here, and the origin of each. lanes: in which it waits."""

    sources: list[NodeId] = field(default_factory=list)
    waiting: list[tuple[NodeId, Waiting]] = field(default_factory=list)
    lanes: set[NodeId] = field(default_factory=set)
    is_begun: bool = False
    is_given_up: bool = False


class WantedModels(Generic[Waiting]):
    """Owner of what waits for models. out: where commands go. per_origin, in_all: how many are obtained at once."""

    def __init__(self, out: list[cmd.Command], *, per_origin: int, in_all: int) -> None:
        self._out = out
        self._models: dict[str, _Model[Waiting]] = {}
        self._lanes: Lanes[str] = Lanes(per_origin=per_origin, in_all=in_all)

    def want(self, model_id: str, source: NodeId, origin: NodeId, waiting: Waiting) -> None:
        """Let `waiting`, which is of `origin`, go on when the model is here; `source` has it."""
        model = self._models.setdefault(model_id, _Model())
        model.waiting.append((origin, waiting))
        if source not in model.sources:
            model.sources.append(source)
            if model.is_begun:
                self._out.append(cmd.AddSource(model_id, source))
        if not model.is_begun:
            self._queue(model_id, model, origin)

    def begin(self, now_s: float) -> None:
        """Obtain those whose turn has come."""
        for model_id in self._lanes.begin(now_s):
            model = self._models[model_id]
            model.is_begun = True
            self._out.append(cmd.Obtain(model_id, model.sources[0]))
            self._out += (cmd.AddSource(model_id, source) for source in model.sources[1:])

    def obtained(self, model_id: str) -> list[Waiting]:
        """What goes on, now that the model is here."""
        self._lanes.done(model_id)
        self._lanes.drop(model_id)
        model = self._models.pop(model_id, None)
        return [] if model is None else [waiting for _, waiting in model.waiting]

    def failed(self, model_id: str) -> list[Waiting]:
        """What waited in vain; nothing where the model was given up, and is wanted again since."""
        model = self._models.get(model_id)
        if model is None or not model.is_given_up or not model.waiting:
            return self.obtained(model_id)
        self._lanes.done(model_id)
        model.is_begun = model.is_given_up = False
        model.lanes.clear()
        for origin in sorted({origin for origin, _ in model.waiting}):
            self._queue(model_id, model, origin)
        return []

    def forget(self, waiting: Waiting) -> None:
        """`waiting` does so no more; a model that nobody else waits for is given up."""
        for model_id, model in list(self._models.items()):
            left = [one for one in model.waiting if one[1] != waiting]
            if len(left) == len(model.waiting):
                continue
            model.waiting = left
            if not left and not model.is_begun:
                self._lanes.drop(model_id)
                del self._models[model_id]
            elif not left:
                model.is_given_up = True
                self._out.append(cmd.GiveUp(model_id))

    def waiting_of(self, origin: NodeId) -> Iterator[Waiting]:
        """All that waits for a model and is of `origin`."""
        return (waiting for model in self._models.values() for whose, waiting in model.waiting if whose == origin)

    def validate(self) -> None:
        """Raises `AssertionError` when an invariant does not hold; for tests."""
        for model in self._models.values():
            assert model.waiting or model.is_given_up, "a model is obtained for nobody"

    def _queue(self, model_id: str, model: _Model[Waiting], origin: NodeId) -> None:
        if origin not in model.lanes:
            model.lanes.add(origin)
            self._lanes.put(origin, model_id)
