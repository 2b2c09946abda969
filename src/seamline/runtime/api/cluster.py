"""The Python API: `connect` starts this machine's node (`starting.py`) and gives a `Cluster`, where streams begin.

What a stream is asked for is checked here, before anything is prepared; the stream itself is `stream.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from seamline.core.adaptation.policy import Fixed, Policy, policy_named
from seamline.core.cost.feasibility import check_fits
from seamline.core.cost.payload import offered_codecs
from seamline.core.cost.problem import EnergyScope
from seamline.core.hosting.compute_queue import MOST_PRIORITY
from seamline.core.switching import strategy_named
from seamline.core.vocabulary.calibration import CALIBRATED, limits_named
from seamline.core.vocabulary.constraints import Constraints, limited
from seamline.core.vocabulary.errors import PlanError, UsageError
from seamline.core.vocabulary.nodes import NodeId, node_id
from seamline.core.vocabulary.objectives import goal_named
from seamline.core.vocabulary.plans import LOSSY, Codec, Plan
from seamline.core.vocabulary.ports import LEASE_S
from seamline.core.vocabulary.providers import AUTO
from seamline.fabric import messages as msg
from seamline.model import FrameRecipe, Preprocess, StoredModel
from seamline.model.store.calibration import read_calibration
from seamline.runtime.api.dynamic_shapes import First, add_model
from seamline.runtime.api.stream import Stream
from seamline.runtime.api.usable import why_unusable
from seamline.runtime.identity.securing import require_let_in
from seamline.runtime.node.node import Node
from seamline.runtime.node.starting import NodeOptions, open_node
from seamline.runtime.node.status import OBSERVER
from seamline.runtime.origin.answer_reading import AnswerReading
from seamline.runtime.shared.clock import now_s
from seamline.testbed.slowdown import Slowdown

DISCOVERY_TIMEOUT_S = 5.0
NEIGHBOUR_TIMEOUT_S = 3.0
NEIGHBOUR_GRACE_S = 0.3
WHY_AFTER_S = 0.5
"""Whoever has not answered by then is looked at: does it want a certificate?"""

LOOK_S = 0.05
_Name = TypeVar("_Name", bound=StrEnum)


def connect(
    *endpoints: str,
    name: str = "edge",
    tier: str = "edge",
    listen: Sequence[str] = ("tcp/127.0.0.1:0",),
    n_threads: int | None = None,
    provider: str = AUTO,
    cluster: str = "default",
    slowdown: float = 1.0,
    pace: Slowdown | None = None,
    cache: Path | None = None,
    relay: bool = True,
    shared_memory: bool = True,
    allow_insecure: bool = False,
    power: str | None = None,
    meter: str | None = None,
    lease_s: float = LEASE_S,
    discover: bool = False,
) -> Cluster:
    """Join the nodes at `endpoints` (``tcp/HOST:7447``) as node `name`, where streams will start.

    Use it as a context manager. provider: what computes here, as `--provider`. discover: find nodes of the cluster on
    the local network, too, and be found; `listen` then has to lead there. Raises `UsageError` for bad options and
    `FabricError` when the name is taken.
    """
    node = open_node(
        NodeOptions(
            name=name,
            tier=tier,
            connect=tuple(endpoints),
            listen=tuple(listen),
            n_threads=n_threads,
            provider=provider,
            cluster=cluster,
            slowdown=slowdown,
            pace=pace,
            cache=cache,
            relay=relay,
            shared_memory=shared_memory,
            allow_insecure=allow_insecure,
            power=power,
            meter=meter,
            lease_s=lease_s,
            discover=discover,
        )
    )
    return Cluster(node, n_expected=len(endpoints))


class Cluster:
    """This machine's node and what it sees of the others; streams start here and are closed with it.

    n_expected: how many neighbours were named, so that one asked at once for a stream knows whom to wait for.
    """

    def __init__(self, node: Node, *, n_expected: int = 0) -> None:
        self.node = node
        self._n_expected = n_expected
        self._streams: list[Stream] = []

    def nodes(self, *, wait_s: float = 0.0) -> Mapping[NodeId, msg.Status]:
        """Who is there, by what they last said of themselves: some minutes ago maybe, or lately after `wait_s`, for
        which those who are there are asked to report, and the links to them are measured.

        Raises `IdentityError` when nobody answers because of who this machine is, or is not.
        """
        until_s, why_s, asked = now_s() + wait_s, now_s() + WHY_AFTER_S, set[NodeId]()
        while (left_s := until_s - now_s()) > 0.0:
            if new := self.node.membership.statuses().keys() - asked:
                asked |= new
                for name in new:
                    self.node.client.measure_links(name, "", (), left_s)
                self.node.client.measure_links(self.node.name, "", asked, left_s)
            elif not asked and now_s() >= why_s:
                self._require_admitted()
                why_s += WHY_AFTER_S
            time.sleep(min(left_s, LOOK_S))
        return self.node.membership.statuses()

    def unusable(self, *, is_measured: bool = False) -> Mapping[NodeId, str]:
        """Nodes that are there and that no stream can use, with what is in the way. is_measured: after `nodes` with a
        time in which links were measured."""
        statuses = self.node.membership.statuses()
        links = {estimate.target: estimate for estimate in self.node.links.estimates()}
        found = {}
        for peer in sorted(self.node.fabric.peers()):
            status = statuses.get(peer)
            if status is not None and status.tier == OBSERVER:
                continue
            why = why_unusable(
                status,
                role=self._role_of(peer),
                link=links.get(peer),
                is_measured=is_measured,
                refused=self.node.dispatcher.foreign.get(peer),
            )
            if why is not None:
                found[peer] = why
        return found

    def wait_nodes(self, names: Sequence[str], timeout_s: float = DISCOVERY_TIMEOUT_S) -> None:
        """Wait until all of `names` are there. Raises `UsageError` naming those that are not, `IdentityError` when
        nobody answers because of who this machine is, or is not."""
        wanted = {node_id(name) for name in names} - {self.node.name}
        until_s, why_s = now_s() + timeout_s, now_s() + WHY_AFTER_S
        while missing := wanted - self.node.membership.statuses().keys():
            if now_s() >= until_s:
                seen = ", ".join(sorted(self.node.membership.statuses())) or "none"
                raise UsageError(
                    f"no node `{min(missing)}` answered within {timeout_s:g} s",
                    hint=f"nodes seen: {seen}; `seamline nodes` lists them, --connect says where to look",
                )
            if now_s() >= why_s:
                self._require_admitted()
                why_s += WHY_AFTER_S
            time.sleep(0.02)

    def computes(self, name: NodeId) -> bool:
        """Whether the role of node `name` lets it compute for others; without certificates everybody may."""
        return self._role_of(name) in (None, "node")

    def _role_of(self, name: NodeId) -> str | None:
        """Role in the certificate of node `name`; None without certificates."""
        found: str | None = getattr(self.node.fabric, "role_of", lambda peer: None)(name)
        return found

    def _require_admitted(self) -> None:
        """Raise `IdentityError` when this node was excluded, or has no certificate where a neighbour wants one."""
        getattr(self.node.fabric, "require_member", lambda: None)()
        require_let_in(getattr(self.node.fabric, "neighbours", ()))

    def _neighbours(self) -> list[NodeId]:
        """Everybody who is there, after a moment for those who were named and those behind them to say so."""
        until_s = now_s() + NEIGHBOUR_TIMEOUT_S
        while len(self.node.membership.statuses()) < self._n_expected and now_s() < until_s:
            time.sleep(0.02)
        if self._n_expected:
            time.sleep(NEIGHBOUR_GRACE_S)
        return sorted(name for name, status in self.node.membership.statuses().items() if status.tier != OBSERVER)

    def add_model(
        self,
        model: str | Path | StoredModel,
        *,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
        values: Mapping[str, float] | None = None,
        preprocess: Preprocess | FrameRecipe | str | None = None,
        first: First | None = None,
    ) -> StoredModel:
        """`model` in this node's store: an ONNX file, or one that is there already.

        shapes, values: fix inputs by name. preprocess: how a camera frame becomes the input, before what the
        `seamline.toml` beside the file and the file say; a preset's name does, see docs/inputs.md. first: a frame, or
        the source of frames; says what is open still, and whether frames are pictures or arrays.
        Raises `OpenAxis` when something stays open, `UsageError` when it is not known how a picture becomes the input.
        """
        if isinstance(model, StoredModel):
            return model
        path = Path(model)
        if not path.is_file():
            raise UsageError(f"no model file `{model}`", hint="`seamline zoo build NAME` makes one to try")
        return add_model(self.node.store, path, shapes=shapes, values=values, preprocess=preprocess, first=first)

    def stream(
        self,
        model: str | Path | StoredModel,
        *,
        first: First | None = None,
        over: Sequence[str] = (),
        objective: str = "latency",
        energy_scope: str = "all",
        private: int = 0,
        trust: Sequence[str] = (),
        memory_bytes: Mapping[str, int] | None = None,
        pins: Mapping[str, str] | None = None,
        forbid: Sequence[str] = (),
        codecs: str | Sequence[str] = CALIBRATED,
        min_agreement: float | None = None,
        policy: str | Policy = "adaptive",
        profile_budget_s: float = 3.0,
        strategy: str = "live",
        record: Path | None = None,
        reading: AnswerReading | None = None,
        priority: int = 0,
    ) -> Stream:
        """A stream of frames through `model`, ready to run: nodes profiled, links measured, first plan chosen.

        first: the first frame, or the source of frames, where the model's input is open. over: the nodes that may take
        part, this one first; all that are there when empty. objective: ``latency``, ``throughput``, ``energy``,
        ``slo=0.1`` (the least energy within 0.1 s; the quickest while none is in time), or a weighted sum as in
        ``latency=1,energy=0.2``. energy_scope: whose joules count: ``all``, ``origin``, or weights as in
        ``fog=0.5,cloud=0``. private: the model input and the first N-1 cuts never leave this node. trust, memory_bytes,
        pins, forbid: see `core.vocabulary.constraints.limited`; what nodes report of their memory counts besides.
        codecs: what tensors may lose at most, ``lossless``, ``f16``, ``u8``, ``q6`` to ``q2``; ``calibrated``: no bit,
        but where `seamline accuracy` found answers to change by at most 1 % (``calibrated=0.02``: 2 %); or the codecs
        themselves. min_agreement: in place of that limit, the share of answers that a codec must leave as they mean, by
        `seamline calibrate`. policy: ``adaptive``, ``static`` (best at the start), ``local``, ``offload``, or a plan to
        hold; or a value of `core.adaptation.policy`, such as ``Adaptive(PolicySettings(cooldown_s=5.0))``. strategy:
        how the cut moves, see `core.switching.STRATEGIES`. record: a file for `seamline replay` to read. reading:
        outputs are read on the last stage's node, see `AnswerReader.reading`: what comes back is small, unless
        `min_agreement` has outputs compared. priority: of its frames where they wait to be computed, -4 to 4: each step
        halves the time that a frame counts as having left. Raises `UsageError` for unknown nodes and names,
        `Infeasible` when the constraints leave no plan.
        """
        others = [node_id(name) for name in over if name != self.node.name]
        if len(set(over)) < len(over):
            raise UsageError(f"a node stands twice among {', '.join(over)}", hint="name every node once")
        if over and over[0] != self.node.name:
            raise UsageError(
                f"`{over[0]}` comes first in the list of nodes, but frames enter at `{self.node.name}`",
                hint=f"start with {self.node.name}, or run this on {over[0]}",
            )
        goal = goal_named(objective)
        if abs(priority) > MOST_PRIORITY:
            raise UsageError(f"priority {priority} is not possible", hint=f"-{MOST_PRIORITY} to {MOST_PRIORITY}")
        limits = Constraints(n_private_cuts=private)
        if isinstance(codecs, str):
            limits_named(codecs, min_agreement=min_agreement)  # a wrong one is said before nodes are waited for
        else:
            limits = replace(limits, codecs=tuple(_one_of(Codec, codec, "a codec") for codec in codecs))
        chosen, how = _policy(policy), strategy_named(strategy)
        self.wait_nodes(others)
        if not over:
            others = [name for name in self._neighbours() if self.computes(name)]
        for name in others:
            if not self.computes(name):
                raise UsageError(
                    f"the certificate of `{name}` is not for the role node: it computes for nobody else",
                    hint=f"leave out {name}, or let it join again by `seamline invite --name {name} --role node`",
                )
        stored = self.add_model(model, first=first)
        if stored.graph.is_local:
            if over[1:]:
                raise UsageError(
                    f"`{stored.name}` takes or gives strings or sequences, which cannot be sent: it runs whole here",
                    hint=f"leave out {', '.join(others)}",
                )
            others = []
        calibration = read_calibration(stored.folder)
        if isinstance(codecs, str):
            limits = limits_named(codecs, calibration, limits, min_agreement=min_agreement)
        constraints = limited(
            limits, stored.cuts, (self.node.name, *others),
            memory_bytes=memory_bytes, pins=pins, forbid=forbid, trust=trust,
        )  # fmt: skip
        if isinstance(chosen, Fixed):
            constraints = _with_codecs_of(chosen.plan, constraints)
            _check_held(chosen.plan, (self.node.name, *others), stored, constraints)
        stream = Stream(
            self.node,
            stored,
            others=tuple(others),
            objective=goal,
            constraints=constraints,
            energy_scope=EnergyScope.parse(energy_scope).among((self.node.name, *others)),
            policy=chosen,
            profile_budget_s=profile_budget_s,
            strategy=how,
            record=record,
            reading=None if min_agreement is not None else reading,  # audits compare outputs
            calibration=calibration,
            min_agreement=min_agreement,
            priority=priority,
        )
        self._streams.append(stream)
        try:
            stream.open()
        except BaseException:
            stream.close()
            raise
        return stream

    def close(self) -> None:
        """Close the streams, then the node; idempotent."""
        try:
            for stream in self._streams:
                stream.close()
        finally:
            self._streams.clear()
            self.node.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _one_of(kind: type[_Name], text: str, what: str) -> _Name:
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"`{text}` is not {what}", hint=f"one of {', '.join(kind)}") from None


def _policy(wanted: str | Policy) -> Policy:
    if not isinstance(wanted, str):
        return wanted
    with _wrong_use():
        return policy_named(wanted)


@contextmanager
def _wrong_use() -> Iterator[None]:
    """A plan that a user wrote and that cannot be one is wrong use, not a failure of the world."""
    try:
        yield
    except PlanError as exc:
        raise UsageError(str(exc).partition("; hint: ")[0], hint=exc.hint) from exc


def _with_codecs_of(plan: Plan, limits: Constraints) -> Constraints:
    """`limits` that allow `plan` what it says: whoever writes a codec allows it."""
    allowed = {*limits.codecs, *(stage.codec for stage in plan.stages)}
    return replace(limits, codecs=tuple(codec for codec in Codec if codec in allowed), lossy=None)


def _check_held(plan: Plan, nodes: Sequence[NodeId], model: StoredModel, constraints: Constraints) -> None:
    """Raise `UsageError` when a plan to hold can never be used here: another plan would silently stand in for it."""
    with _wrong_use():
        check_fits(plan, nodes, last_cut=len(model.cuts) - 1, model=model.name)
    for here, there in pairwise(plan.stages):
        cut = model.cuts[here.segment.stop]
        if here.codec in LOSSY and cut.exact and here.codec not in offered_codecs(cut, None):
            raise UsageError(
                f"`{plan}` sends {', '.join(sorted(cut.exact))} as {here.codec}, and every bit of that counts",
                hint=f"write {Codec.LOSSLESS} there",
            )
        if not constraints.may_leave(cut, there.node):
            raise UsageError(
                f"`{plan}` lets cut {cut.index} leave `{here.node}`, which is private",
                hint=f"cut at {constraints.n_private_cuts} or later, lower --private, or --trust {there.node}",
            )
