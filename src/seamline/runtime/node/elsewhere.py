"""What computes in place of a node's own machine: a server of the Open Inference Protocol, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.ports import Engine
from seamline.model import ModelStore
from seamline.model.engine.providers import InterruptibleEngine
from seamline.model.remote.oip import OipEngine


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RayCluster:
    """The Ray cluster whose head is at `address`, and how many actors compute there."""

    address: str
    n_replicas: int

    def open(self, store: ModelStore, memory_bytes: int) -> InterruptibleEngine:
        try:
            from seamline.model.remote.ray_cluster import RayEngine
        except ModuleNotFoundError as error:
            if error.name != "ray":
                raise
            raise UsageError("--engine ray needs the package ray", hint="pip install 'seamline[ray]'") from error
        return RayEngine(store, self.address, self.n_replicas)


def tails_of(engine: Engine) -> Callable[[str], tuple[int, ...]] | None:
    """What says which tails of a model `engine` computes; None where it computes any segment."""
    return engine.tails if isinstance(engine, OipEngine) else None
