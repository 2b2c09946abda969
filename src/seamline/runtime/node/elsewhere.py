"""What computes in place of a node's own machine: a server of the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from seamline.core.vocabulary.ports import Engine
from seamline.model import ModelStore
from seamline.model.engine.oip import OipEngine
from seamline.model.engine.providers import InterruptibleEngine


class Elsewhere(Protocol):
    def open(self, store: ModelStore, memory_bytes: int) -> InterruptibleEngine:
        """The engine that hands segments on. Raises `SeamlineError` when what it hands them to is not there."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OipServer:
    """A server at `url`, and what it calls the models to be used."""

    url: str
    models: tuple[str, ...]

    def open(self, store: ModelStore, memory_bytes: int) -> InterruptibleEngine:
        return OipEngine(store, self.url, self.models, memory_bytes=memory_bytes)


def tails_of(engine: Engine) -> Callable[[str], tuple[int, ...]] | None:
    """What says which tails of a model `engine` computes; None where it computes any segment."""
    return engine.tails if isinstance(engine, OipEngine) else None
