"""Terms of one session: by what its plans are judged and what they may not do, as people change them while it runs."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from seamline.core.adaptation import events as ae
from seamline.core.cost.problem import EnergyScope
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.spec import SessionSpec
from seamline.core.session.stream_view import StreamView
from seamline.core.vocabulary.constraints import Constraints
from seamline.core.vocabulary.errors import UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.objectives import Goal, counts_energy
from seamline.core.vocabulary.plans import LOSSINESS, Codec


class Terms:
    """Owner of a stream's objective, constraints and energy scope, which stand in its view."""

    def __init__(self, spec: SessionSpec, view: StreamView, out: list[cmd.PilotOutput]) -> None:
        self._origin, self._others = spec.origin, tuple(sorted(spec.others))
        self._view = view
        self._out = out
        self._forbidden_nodes = spec.constraints.forbidden_nodes
        self._avoided: tuple[NodeId, ...] = ()

    def asked(self, event: ev.ObjectiveAsked | ev.EnergyScopeAsked | ev.AvoidAsked, now_s: float) -> None:
        """Change them, and settle the request with what they were. Raises `UsageError` for what cannot be."""
        view = self._view.view
        match event:
            case ev.ObjectiveAsked(objective=objective):
                here = view.profiles.get(self._origin)
                if counts_energy(objective) and (here is None or here.device.idle_w is None):
                    raise UsageError(f"`{self._origin}` has no power figures", hint="start it with --power PROFILE")
                self._view.apply(ae.ObjectiveSet(objective, view.constraints, now_s))
                self._say(f"plans are judged by {objective} from now on, before by {view.objective}")
                self._settle(event, view.objective)
            case ev.EnergyScopeAsked(scope=scope):
                scope.among((self._origin, *self._others))
                self._view.apply(ae.EnergyScopeSet(scope, now_s))
                self._say(f"joules that count are those of {scope} from now on, before of {view.energy_scope}")
                self._out.append(cmd.ChargeEnergy(scope))
                self._settle(event, view.energy_scope)
            case ev.AvoidAsked(nodes=nodes):
                if strangers := [node for node in nodes if node not in self._others]:
                    hint = f"it may avoid: {', '.join(self._others) or 'none'}"
                    raise UsageError(f"the stream cannot do without `{strangers[0]}`", hint=hint)
                before, self._avoided = self._avoided, nodes
                self._limit(replace(view.constraints, forbidden_nodes=(*self._forbidden_nodes, *nodes)), now_s)
                self._say(f"nodes avoided from now on: {', '.join(nodes) or 'none'}")
                self._settle(event, before)
            case _:
                assert_never(event)

    def withdraw(self, cut: int, codec: Codec, reason: str, now_s: float) -> None:
        """Let no plan use `codec` at `cut`, nor one of fewer bits; where nothing was calibrated it is only said."""
        limits = self._view.view.constraints
        words = f"{codec} at cut {cut}: {reason}"
        if limits.lossy is None:
            self._warn(f"{words}; it was allowed without a calibration, and stays")
            return
        coarser = LOSSINESS[LOSSINESS.index(codec) :]
        left = tuple(pair for pair in limits.lossy if pair[0] != cut or pair[1] not in coarser)
        if left != limits.lossy:
            self._limit(replace(limits, lossy=left), now_s)
            self._warn(f"withdrawn is {words}")

    def _limit(self, constraints: Constraints, now_s: float) -> None:
        self._view.apply(ae.ObjectiveSet(self._view.view.objective, constraints, now_s))

    def _settle(
        self,
        event: ev.ObjectiveAsked | ev.EnergyScopeAsked | ev.AvoidAsked,
        before: Goal | EnergyScope | tuple[NodeId, ...],
    ) -> None:
        self._out.append(cmd.Settle(event.request, before))

    def _say(self, words: str) -> None:
        self._out.append(cmd.Say(cmd.Level.INFO, words))

    def _warn(self, words: str) -> None:
        self._out.append(cmd.Say(cmd.Level.WARNING, words))
