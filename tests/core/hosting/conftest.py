"""A node whose commands are kept, and carried out when a test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from seamline.core.hosting import commands as cmd
from seamline.core.hosting import events as ev
from seamline.core.hosting.host import Host
from seamline.core.switching.named import PreparationMode
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.core.vocabulary.profiles import Cut, TensorSpec

FOG = NodeId("fog")
N_CUTS = 5
Kind = TypeVar("Kind")


def cuts_of(weights_bytes: int = 4_000_000) -> tuple[Cut, ...]:
    """Four layers with the same weights, and a kilobyte that crosses each cut."""
    spec = TensorSpec(name="t", dtype="uint8", shape=(1000,))
    return tuple(
        Cut(
            index=at,
            after=f"layer{at}",
            tensors=(spec,),
            payload_bytes=1000,
            macs_before=at,
            weights_before_bytes=at * weights_bytes // (N_CUTS - 1),
        )
        for at in range(N_CUTS)
    )


class World:
    """The node `fog`, a clock, and its commands so far. replies: by origin and request."""

    def __init__(self) -> None:
        self.host = Host(FOG)
        self.now_s = 100.0
        self.commands: list[cmd.Command] = []
        self.replies: dict[tuple[NodeId, int], list[cmd.Reply]] = {}
        self._request = 0

    def hear(self, event: ev.Event, after_s: float = 0.0) -> list[cmd.Command]:
        self.now_s += after_s
        found = self.host.handle(event, self.now_s)
        self.host.validate()
        self.commands += found
        for one in found:
            if isinstance(one, cmd.Reply):
                self.replies.setdefault((one.origin, one.request), []).append(one)
        return found

    def prepare(
        self, origin: str, stream: str, generation: int = 1, *, model: str = "m", cut: int = 2, **fields
    ) -> int:
        """Asks as `origin` does; the number of the request."""
        self._request += 1
        plan = Plan.parse("fog[0:4]" if origin == FOG else f"{origin}[0:{cut}]raw > fog[{cut}:{N_CUTS - 1}]")
        self.hear(
            ev.PrepareAsked(
                origin=NodeId(origin),
                request=fields.pop("request", self._request),
                stream=stream,
                generation=generation,
                model_id=model,
                source=NodeId(fields.pop("source", origin)),
                plan=fields.pop("plan", plan),
                mode=fields.pop("mode", PreparationMode.SHARED),
            )
        )
        return self._request

    def profile(self, origin: str, *, model: str = "m", budget_s: float = 3.0, source: str | None = None) -> int:
        self._request += 1
        self.hear(
            ev.ProfileAsked(
                origin=NodeId(origin),
                request=self._request,
                model_id=model,
                source=NodeId(source or origin),
                budget_s=budget_s,
            )
        )
        return self._request

    def held(self, origin: str, stream: str, generation: int = 1, **fields) -> int:
        """A generation that is prepared in no time."""
        request = self.prepare(origin, stream, generation, **fields)
        self.obtained(fields.get("model", "m"))
        self.hear(ev.SegmentsPrepared(stream, generation, 0.1))
        return request

    def obtained(self, model: str = "m", weights_bytes: int = 4_000_000) -> None:
        self.hear(ev.ModelObtained(model, cuts_of(weights_bytes)))

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [command for command in self.commands if isinstance(command, kind)]

    @staticmethod
    def cuts_of(weights_bytes: int) -> tuple[Cut, ...]:
        return cuts_of(weights_bytes)

    @staticmethod
    def prepared(commands: list[cmd.Command]) -> set[tuple[str, int]]:
        return {(one.stream, one.generation) for one in commands if isinstance(one, cmd.PrepareSegments)}

    @staticmethod
    def released(commands: list[cmd.Command]) -> set[tuple[str, int]]:
        return {(one.stream, one.generation) for one in commands if isinstance(one, cmd.ReleaseSegments)}

    def reply(self, origin: str, request: int) -> cmd.Reply | None:
        """The one answer to a request, None while there is none."""
        found = self.replies.get((NodeId(origin), request), [])
        assert len(found) <= 1, "answered twice"
        return found[0] if found else None

    def reason(self, origin: str, request: int) -> str:
        answer = self.reply(origin, request)
        assert answer is not None, "not answered"
        assert answer.reason is not None, "not refused"
        return answer.reason


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def make_world() -> Callable[[], World]:
    return World
