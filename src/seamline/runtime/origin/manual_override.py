"""Plans given by hand: whether one fits, which policy decides while it is held, and who waits for it to serve.

How a switch is done is `switcher.py`'s, when to decide `controller.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from seamline.core.adaptation.policy import Fixed, Policy
from seamline.core.vocabulary.errors import PlanError, SwitchError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan
from seamline.model import StoredModel
from seamline.runtime.origin.record import SwitchRecord


def check_fits(plan: Plan, nodes: Sequence[NodeId], model: StoredModel) -> None:
    """Raises `PlanError` when `plan` is none for `model` over `nodes`, the origin first."""
    origin, last = nodes[0], len(model.cuts) - 1
    if plan.origin != origin:
        raise PlanError(
            f"`{plan}` starts on `{plan.origin}`, but frames enter at `{origin}`", hint=f"begin with {origin}"
        )
    if missing := set(plan.nodes) - set(nodes):
        raise PlanError(
            f"`{plan}` uses `{min(missing)}`, which may not take part", hint=f"the nodes are {', '.join(nodes)}"
        )
    if plan.stages[-1].segment.stop != last:
        raise PlanError(
            f"`{plan}` does not end at cut {last}, the last of `{model.name}`", hint="`seamline inspect` lists the cuts"
        )


class ByHand:
    """Owner of the policy that decides about one stream; used on its controller's thread only.

    policy: the one that decides now.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._at_start = self._before = policy
        self._asked: tuple[Plan, Future[SwitchRecord]] | None = None

    @property
    def is_held(self) -> bool:
        """Whether one plan is held, by hand or from the start."""
        return isinstance(self.policy, Fixed)

    def hold(self, plan: Plan, answer: Future[SwitchRecord]) -> None:
        """`plan` is asked for and held from now on; who still waits for another one is told so."""
        if self._asked is not None:
            self._answer(SwitchError("another switch was asked for before this one was over"))
        else:
            self._before = self.policy
        self._asked = (plan, answer)
        self.policy = Fixed(plan)

    def release(self) -> None:
        """The policy decides again that was there before plans were given by hand."""
        self.policy = self._at_start

    def serves(self, plan: Plan, record: SwitchRecord) -> None:
        """`plan` is in service, asked for or not."""
        if self._asked is not None and self._asked[0] == plan:
            self._answer(record)

    def fails(self, plan: Plan, reason: str) -> None:
        """`plan` will not serve; if it was asked for, the policy before decides again."""
        if self._asked is not None and self._asked[0] == plan:
            self._give_up(reason)

    def overruled(self, plan: Plan, reason: str) -> None:
        """`plan` was decided on; another one that was asked for has become impossible meanwhile."""
        if self._asked is not None and self._asked[0] != plan:
            self._give_up(reason)

    def end(self) -> None:
        """The stream is over."""
        self._give_up("the stream has ended")

    def _give_up(self, reason: str) -> None:
        if self._asked is not None:
            self.policy = self._before
            self._answer(SwitchError(f"`{self._asked[0]}` will not serve: {reason}"))

    def _answer(self, outcome: SwitchRecord | SwitchError) -> None:
        if self._asked is None:
            return
        answer, self._asked = self._asked[1], None
        if isinstance(outcome, SwitchError):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
