"""Session: one stream at its origin, ledger and pilot together, as `handle(event, now_s) -> commands`.

For drivers in one thread (the simulator, tests, replay). What one half says to the other is handed over inside a call,
in order, so that commands come out complete. A driver with threads calls the halves itself, see `events.py`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from seamline.core.adaptation.policy import Policy
from seamline.core.cost.problem import EnergyScope
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.ledger import Ledger
from seamline.core.session.pilot import Decide, Pilot
from seamline.core.switching.named import STRATEGIES, NamedStrategy
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Goal
from seamline.core.vocabulary.plans import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSpec:
    """What a stream is opened with. others: nodes that may take part. local: everything on the origin.

    has_deadlines: whether frames past their deadline run again; an oracle that knows when answers come gives none up.
    """

    origin: NodeId
    others: tuple[NodeId, ...]
    local: Plan
    objective: Goal
    constraints: Constraints
    policy: Policy
    energy_scope: EnergyScope = field(default_factory=lambda: EnergyScope.ALL)
    strategy: NamedStrategy = STRATEGIES["live"]
    has_deadlines: bool = True
    keeps_stories: bool = True


class Session:
    """Owner of one stream's state. decide: asked for every decision, the policy itself by default."""

    def __init__(self, spec: SessionSpec, decide: Decide | None = None) -> None:
        self.ledger = Ledger(spec.local, has_deadlines=spec.has_deadlines, keeps_stories=spec.keeps_stories)
        self.pilot = Pilot(spec) if decide is None else Pilot(spec, decide)

    @property
    def due_s(self) -> float:
        """When a `Tick` has something to do next; inf when nothing is due."""
        return min(self.pilot.due_s, self.ledger.due_s)

    def handle(self, event: ev.Event, now_s: float) -> list[cmd.Command]:
        """What is to be done about `event`, in order. Never raises: what cannot be is answered by a `Say`."""
        waiting: deque[ev.Event] = deque((event,))
        found: list[cmd.Command] = []
        while waiting:
            one = waiting.popleft()
            if isinstance(one, ev.FrameEvent):
                for command in self.ledger.handle(one, now_s):
                    if isinstance(command, ev.ToPilot):
                        waiting.append(command)
                    if not isinstance(command, ev.Drained | ev.Routed):
                        found.append(command)
            if isinstance(one, ev.PilotEvent):
                for told in self.pilot.handle(one, now_s):
                    if isinstance(told, ev.ToLedger):
                        waiting.append(told)
                    else:
                        found.append(told)
        return found

    def validate(self) -> None:
        """Raises `AssertionError` when an invariant does not hold; for tests."""
        self.ledger.validate()
        self.pilot.validate()
