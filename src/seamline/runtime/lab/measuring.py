"""Plans measured one by one: a testbed, one stream that is pinned to each plan in turn, and frames one at a time.

    with fresh_cache([model]) as cache, PlanBench(testbed, cache=cache) as bench, bench.pin(model) as pinned:
        problem = pinned.problem()                   # what is estimated before any frame has flowed
        measured = pinned.measure(plan, n_frames=5)  # what frames took, beside what was estimated before them

The origin's node runs in this process, all others in their own, over the testbed's shaped links. Nodes profile the
model one after the other before the stream opens: on their own machines they would not slow each other either. Policies
in one scene are `scenario.py`; which plans are worth measuring is the caller's.
"""

from __future__ import annotations

import queue
import secrets
import statistics
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from seamline.codec import sample_frame
from seamline.config import Testbed
from seamline.core.adaptation.view import problem_of
from seamline.core.cost.formulas import Breakdown, breakdown
from seamline.core.cost.payload import uncompressed_bytes
from seamline.core.cost.problem import Problem
from seamline.core.vocabulary.errors import ConfigError, SeamlineError, SwitchError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec, Plan, Segment, Stage
from seamline.core.vocabulary.ports import Array
from seamline.model import StoredModel
from seamline.model.engine.verify import random_tensors
from seamline.model.metadata.preprocess import FRAME
from seamline.runtime.api.cluster import Cluster, connect
from seamline.runtime.api.stream import Stream
from seamline.runtime.lab.chain import start_chain
from seamline.runtime.origin.results import Result
from seamline.runtime.shared.clock import now_s
from seamline.testbed.processes import NodeProcesses
from seamline.testbed.relay import Network

NODES_TIMEOUT_S = 30.0
LEASE_S = 10.0
"""Nobody is lost on purpose here, and a busy machine keeps nodes silent for longer than the 0.4 s that are usual."""

PROFILE_TIMEOUT_S = 600.0
SWITCH_TIMEOUT_S = 60.0
LINKS_TIMEOUT_S = 10.0
DOUBT_TIMEOUT_S = 3.0
"""For the probe of a link that is estimated to have changed because another one has."""

N_LINK_TRANSFERS = 5
"""Over every link before the first plan is measured; after as many an estimate is meant to be within 10 %."""

PAUSE_S = 0.03
"""Between an answer and the next frame, so that nodes idle as they do at a camera's pace."""

N_SURELY = 3
MAX_DISTURBED = 3
"""Frames per plan that may fail over; they are not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredPlan:
    """What frames took under one plan. problem: as estimated before the first of them.

    results: at least one answer, in order, each by `plan` at its first try.
    """

    plan: Plan
    problem: Problem
    results: tuple[Result, ...]

    @property
    def predicted(self) -> Breakdown:
        """What was predicted of the plan."""
        return breakdown(self.plan, self.problem)

    @property
    def latencies_s(self) -> tuple[float, ...]:
        return tuple(result.latency_s for result in self.results)

    @property
    def median_s(self) -> float:
        return statistics.median(self.latencies_s)

    @property
    def error_ratio(self) -> float:
        """Predicted over measured, minus 1."""
        return self.predicted.latency_s / self.median_s - 1.0


@contextmanager
def fresh_cache(models: Sequence[StoredModel]) -> Iterator[Path]:
    """Within it, a cache for nodes that has `models` and no profiles, so that these are measured anew.

    The models stay where they are and are linked to; a large one would take minutes over a slow link.
    """
    with tempfile.TemporaryDirectory(prefix="seamline-measuring-") as name:
        folder = Path(name)
        for model in models:
            (folder / model.model_id).symlink_to(model.folder.resolve(), target_is_directory=True)
        yield folder


class PlanBench:
    """The nodes and links of `testbed` as long as it is open. Use it as a context manager, in the main thread.

    Frames enter at the first node of tier ``edge``. cache: where all nodes keep models and profiles.
    """

    def __init__(self, testbed: Testbed, *, cache: Path) -> None:
        if len(testbed.nodes) < 2:
            raise ConfigError(f"testbed `{testbed.name}` has one node only", hint="add a second [[node]]")
        self._testbed = testbed
        self._cache = cache
        self._origin = testbed.in_tier("edge")[0]
        self._others = tuple(node for node in testbed.nodes if node.name != self._origin.name)
        self._open = ExitStack()
        self._cluster: Cluster | None = None

    def __enter__(self) -> PlanBench:
        with ExitStack() as opening:
            self._cluster = self._start(opening)
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    @contextmanager
    def pin(self, model: StoredModel, *, profile_budget_s: float, frame: Array | None = None) -> Iterator[PinnedStream]:
        """A stream of `model` over all nodes, some frames old: so many that every link there has carried five.

        profile_budget_s: what each node may spend on measuring the model. frame: what is sent, uint8[H, W, 3]; a
        synthetic picture, or random tensors for a model that takes none, when not given.
        Raises `ModelError` when a node cannot run the model, `SeamlineError` when one says nothing.
        """
        assert self._cluster is not None, "use it as a context manager"
        names = [self._origin.name, *(node.name for node in self._others)]
        self._cluster.wait_nodes(names, NODES_TIMEOUT_S)
        for name in names:
            profiled = self._cluster.node.client.profile(NodeId(name), model.model_id, profile_budget_s)
            try:
                profiled.result(timeout=PROFILE_TIMEOUT_S)
            except FutureTimeout:
                raise SeamlineError(f"`{name}` did not profile the model within {PROFILE_TIMEOUT_S:.0f} s") from None
        self._cluster.wait_nodes(names, NODES_TIMEOUT_S)  # profiling may have kept one from answering
        with self._cluster.stream(
            model, over=names, policy="local", codecs=tuple(Codec), profile_budget_s=profile_budget_s
        ) as stream:
            pinned = PinnedStream(stream, _frame_of(model) if frame is None else frame)
            try:
                pinned.learn_links(names[1:])
                yield pinned
            finally:
                pinned.close()

    def _start(self, opening: ExitStack) -> Cluster:
        network = opening.enter_context(Network(self._testbed))
        processes = opening.enter_context(NodeProcesses())
        cluster = f"measuring-{secrets.token_hex(4)}"
        options = ("--cache", str(self._cache), "--lease", f"{LEASE_S:g}")
        start_chain(self._others, network, processes, cluster=cluster, options=options)
        origin = self._origin
        here = connect(
            *(network.endpoint(origin.name, node.name) for node in self._others),
            name=origin.name,
            tier=origin.tier,
            listen=(network.listen(origin.name),),
            n_threads=origin.threads or None,
            cluster=cluster,
            slowdown=origin.slowdown,
            cache=self._cache,
            relay=False,
            lease_s=LEASE_S,
        )
        return opening.enter_context(here)


class PinnedStream:
    """Stream that is pinned to one plan after the other; made by `PlanBench.pin`."""

    def __init__(self, stream: Stream, frame: Any) -> None:
        self._stream = stream
        self._frame = frame
        self._asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._results = self._answers()

    def problem(self) -> Problem:
        """Profiles, links, and what earlier frames have taught, as the controller estimates them now."""
        problem = problem_of(self._stream.controller.view)
        assert problem is not None, "a stream that is open has profiles"
        return problem

    def learn_links(self, others: Sequence[str]) -> None:
        """Send frames through all of `others` in turn, each of them once the first, as a stream's past would have."""
        self._wait_links(len(others) * (1 + len(others)), LINKS_TIMEOUT_S)
        for at in range(len(others)):
            self._move_to(_chain([*others[at:], *others[:at]], self.problem()))
            for _ in range(N_LINK_TRANSFERS):
                self._answer()

    def measure(self, plan: Plan, *, n_frames: int, n_warm_up: int = 0, budget_s: float = float("inf")) -> MeasuredPlan:
        """Move to `plan` and send frames, each when the one before is back.

        n_warm_up: frames that are not counted, before the others. budget_s: no more frames after that, but three.
        Raises `SwitchError` when a node refuses the plan, `PlanError` when it does not fit the model or the nodes, and
        `SeamlineError` when frames fail or keep failing over.
        """
        self._wait_links(0, DOUBT_TIMEOUT_S)
        problem = self.problem()
        self._move_to(plan)
        until_s = now_s() + budget_s
        results: list[Result] = []
        n_disturbed = 0
        for _ in range(n_warm_up):
            self._answer()
        while len(results) < n_frames and (now_s() < until_s or len(results) < min(N_SURELY, n_frames)):
            result = self._answer()
            if result.plan == plan and result.n_attempts == 1:
                results.append(result)
                continue
            n_disturbed += 1
            if n_disturbed > MAX_DISTURBED:
                raise SeamlineError(
                    f"{n_disturbed} frames did not go the way of `{plan}`", hint="is the machine busy? run it again"
                )
        return MeasuredPlan(plan=plan, problem=problem, results=tuple(results))

    def close(self) -> None:
        """Send no more frames."""
        self._asked.put(None)
        self._results.close()

    def _wait_links(self, n_links: int, timeout_s: float) -> None:
        """Wait until `n_links` directions were measured and none is in doubt; for a silent one not long."""
        until_s = now_s() + timeout_s
        while now_s() < until_s:
            links = self._stream.controller.links
            if len(links) >= n_links and all(link.n_samples > 0 for link in links):
                return
            time.sleep(0.05)

    def _answers(self) -> Generator[Result, None, None]:
        yield from self._stream.run(self._frames(), live=False)

    def _frames(self) -> Iterator[Any]:
        while (frame := self._asked.get()) is not None:
            yield frame

    def _move_to(self, plan: Plan) -> None:
        if self._stream.plan == plan:
            return
        try:
            self._stream.switch(plan, reason="to be measured").result(timeout=SWITCH_TIMEOUT_S)
        except FutureTimeout:
            raise SwitchError(f"`{plan}` did not serve within {SWITCH_TIMEOUT_S:.0f} s") from None

    def _answer(self) -> Result:
        time.sleep(PAUSE_S)
        self._asked.put(self._frame)
        result = next(self._results, None)
        if result is None or result.error is not None:
            why = "the stream has ended" if result is None else result.error
            raise SeamlineError(f"a frame got no answer under `{self._stream.plan}`: {why}")
        return result


def _chain(others: Sequence[str], problem: Problem) -> Plan:
    """The model over all of `others` in order, cut where about as much crosses as enters."""
    inner = [cut for cut in problem.cuts[1:-1] if cut.is_candidate]
    entering = uncompressed_bytes(problem.cuts[0], problem.frame)
    alike = sorted(inner, key=lambda cut: abs(cut.payload_bytes - entering))[: len(others) - 1]
    ends = [0, 0, *sorted(cut.index for cut in alike), problem.last_cut]
    names = [problem.origin, *(NodeId(name) for name in others)][: len(ends) - 1]
    codecs = [*(Codec.RAW for _ in names[1:]), None]
    return Plan(
        tuple(
            Stage(name, Segment(ends[at], ends[at + 1]), codec)
            for at, (name, codec) in enumerate(zip(names, codecs, strict=True))
        )
    )


def _frame_of(model: StoredModel) -> Any:
    values: dict[str, Any] = random_tensors(model.inputs, seed=0)
    if model.preprocess is not None:
        values[FRAME] = sample_frame(model.preprocess.height, model.preprocess.width)
    return values
