"""Session: one stream at its origin, ledger and pilot together, as `handle(event, now_s) -> commands`.

For drivers in one thread (the simulator, tests, replay). What one half says to the other is handed over inside a call,
in order, so that commands come out complete. A driver with threads calls the halves itself, see `events.py`.
"""

from __future__ import annotations

from collections import deque
from typing import cast

from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.ledger import Ledger
from seamline.core.session.pilot import Decide, Pilot
from seamline.core.session.spec import SessionSpec
from seamline.core.session.stories import Step

_INTERNAL = frozenset((ev.Drained, ev.Routed, ev.DeadlineMissed))


class Session:
    """Owner of one stream's state. decides: asked for every decision, the policy itself by default."""

    def __init__(self, spec: SessionSpec, decides: Decide | None = None) -> None:
        self.ledger = Ledger(spec.local, has_deadlines=spec.has_deadlines, keeps_stories=spec.keeps_stories)
        self.pilot = Pilot(spec, decides)

    @property
    def due_s(self) -> float:
        """Time at which a `Tick` is due; inf when nothing is."""
        return min(self.pilot.due_s, max(self.ledger.due_s, self.pilot.retry_from_s))

    def handle(self, event: ev.Event, now_s: float) -> list[cmd.Command]:
        """Commands that follow from `event`, in order. Never raises: an impossible event is answered by a `Say`."""
        waiting: deque[ev.Event] = deque((event,))
        found: list[cmd.Command] = []
        while waiting:
            one = waiting.popleft()
            kind = type(one)
            if kind in ev.FRAME_EVENTS:
                for command in self.ledger.handle(cast(ev.FrameEvent, one), now_s):
                    if type(command) in ev.TO_PILOT:
                        waiting.append(cast(ev.ToPilot, command))
                    if type(command) not in _INTERNAL:
                        found.append(cast(cmd.Command, command))
            if kind in ev.PILOT_EVENTS:
                for output in self.pilot.handle(cast(ev.PilotEvent, one), now_s):
                    if type(output) in ev.TO_LEDGER:
                        waiting.append(cast(ev.ToLedger, output))
                    else:
                        found.append(cast(cmd.Command, output))
        return found

    def story(self, frame: int) -> tuple[Step, ...]:
        """The life of one frame, oldest first; empty where it is not kept any more."""
        return self.ledger.story(frame)

    def validate(self) -> None:
        """Raises `AssertionError` when an invariant does not hold; for tests."""
        self.ledger.validate()
        self.pilot.validate()
