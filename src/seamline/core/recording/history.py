"""What a recording shows of a run: its frames, plans, switches and links through time, and the plans it could choose.

The events go through a pilot of today's code, as in `replay`; the planning problem is the one that it ends with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from seamline.core.adaptation.view import View, problem_of
from seamline.core.cost.problem import Problem
from seamline.core.recording.record import Recorded, Step, read, steps
from seamline.core.session import events as ev
from seamline.core.session.commands import SwitchDone, SwitchRecord
from seamline.core.session.pilot import Pilot
from seamline.core.vocabulary.links import Link
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.profiles import Profile


@dataclass(slots=True)
class History:
    """Of one recorded run; clock readings, of which `started_s`, that of its first frame, counts as 0.

    links: (at_s, goodput_bps) of every link in the order of news. switches: those done. best_known: what the pilot knew
    when most nodes were there, the last such moment.
    """

    recorded: Recorded
    frames: list[ev.FrameFinished] = field(default_factory=list)
    links: dict[Link, list[tuple[float, float]]] = field(default_factory=dict)
    switches: list[SwitchRecord] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    profiles: dict[NodeId, Profile] = field(default_factory=dict)
    tiers: dict[NodeId, Tier] = field(default_factory=dict)
    ended_s: float = 0.0
    best_known: View | None = None

    @property
    def started_s(self) -> float:
        return min((each.accepted_s for each in self.frames), default=self.ended_s)

    @property
    def problem(self) -> Problem | None:
        """What there was to plan then; None without a profile."""
        return None if self.best_known is None else problem_of(self.best_known)

    def take(self, event: ev.PilotEvent, at_s: float) -> None:
        match event:
            case ev.FrameFinished():
                self.frames.append(event)
            case ev.LinkEstimated(estimate):
                self._link(estimate.source, estimate.target, at_s, estimate.goodput_bps)
            case ev.StatusReceived():
                self.tiers[event.node] = event.tier
                for each in event.links:
                    self._link(event.node, NodeId(each.target), at_s, each.goodput_bps)
            case ev.ProfileKnown(node, profile):
                self.profiles[node] = profile
            case _:
                pass

    def _link(self, source: NodeId, target: NodeId, at_s: float, goodput_bps: float) -> None:
        known = self.links.setdefault((source, target), [])
        if not known or known[-1][1] != goodput_bps:
            known.append((at_s, goodput_bps))


def history(lines: Iterable[object]) -> History:
    """Raises `ConfigError` naming the line that cannot be."""
    recorded = read(lines)
    pilot, found = Pilot(recorded.spec), History(recorded)
    first_s: float | None = None
    for call in recorded.calls:
        first_s = call.at_s if first_s is None else first_s
        found.ended_s = call.at_s
        found.take(call.event, call.at_s)
        found.steps += steps(call, pilot.handle(call.event, call.at_s), first_s)
        found.switches += [each.record for each in call.decisions if isinstance(each, SwitchDone)]
        if found.best_known is None or _n_usable(pilot.view) >= _n_usable(found.best_known):
            found.best_known = pilot.view
    return found


def _n_usable(view: View) -> int:
    """Nodes that are there and profiled."""
    known: Mapping[NodeId, Profile] = view.profiles
    return sum(node in view.nodes or node == view.origin for node in known)
