"""Manual override of one session: the policy in force while a plan is pinned, and the request that waits for it."""

from __future__ import annotations

from seamline.core.adaptation.baselines import Fixed
from seamline.core.adaptation.policy import Policy
from seamline.core.session import commands as cmd
from seamline.core.vocabulary.errors import SwitchError
from seamline.core.vocabulary.plans import Plan


class ManualOverride:
    """Owner of the policy of one stream. policy: the one in force."""

    def __init__(self, policy: Policy, out: list[cmd.PilotOutput]) -> None:
        self.policy = policy
        self._out = out
        self._at_start = self._before = policy
        self._asked: tuple[Plan, int] | None = None

    @property
    def is_pinned(self) -> bool:
        """Whether one plan is pinned, by a request or from the start."""
        return isinstance(self.policy, Fixed)

    def pin(self, plan: Plan, request: int) -> None:
        """Pin `plan` from now on; a request that still waits for another plan is rejected."""
        if self._asked is not None:
            self._reject("another switch was asked for before this one was over")
        else:
            self._before = self.policy
        self._asked = (plan, request)
        self.policy = Fixed(plan)

    def unpin(self) -> None:
        """Put the policy back in force that was there before plans were pinned, whatever is still asked for."""
        self.policy = self._before = self._at_start

    def serves(self, plan: Plan, record: cmd.SwitchRecord) -> None:
        """`plan` is in service: the request for it, if any, is settled."""
        if self._asked is not None and self._asked[0] == plan:
            self._out.append(cmd.Settle(self._asked[1], record))
            self._asked = None

    def fails(self, plan: Plan, reason: str) -> None:
        """`plan` will not serve; if it was asked for, the policy before is in force again."""
        if self._asked is not None and self._asked[0] == plan:
            self._give_up(reason)

    def superseded(self, plan: Plan, reason: str) -> None:
        """`plan` was decided on; another one that was asked for has become infeasible meanwhile."""
        if self._asked is not None and self._asked[0] != plan:
            self._give_up(reason)

    def end(self) -> None:
        """The stream is over."""
        self._give_up("the stream has ended")

    def _give_up(self, reason: str) -> None:
        if self._asked is not None:
            self.policy = self._before
            self._reject(f"`{self._asked[0]}` will not serve: {reason}")

    def _reject(self, words: str) -> None:
        assert self._asked is not None
        self._out.append(cmd.Reject(self._asked[1], SwitchError(words)))
        self._asked = None
