"""How long no answer comes when a node of the plan is killed, and what that time is made of.

The nodes of `seamline chaos` in processes; one stream whose plan, held, ends on fog. Fog is killed (SIGKILL) at a
random moment between two frames, again and again, and started again each time. Per kill: until the origin knows that
fog is gone; from then until the first answer that did without it; what the origin computed for that, and how long the
frame queued.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from reporting import Report, parser, progress, spread

from seamline.core.vocabulary.nodes import NodeId
from seamline.runtime.chaos.bed import ORIGIN, ChaosBed
from seamline.runtime.chaos.faults import Fault, FaultKind
from seamline.runtime.chaos.run import EXACT, MODELS, PROFILE_BUDGET_S
from seamline.runtime.chaos.watched_stream import KnownAnswers
from seamline.runtime.origin.results import Result
from seamline.runtime.shared.clock import now_s

FOG = NodeId("fog")
PLAN = "edge[0:8]raw > fog[8:19]"
SERVED_WITHIN_S = 30.0
AFTER_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover:
    """Seconds. known_s: from the kill. answered_s: from `known_s` on. computed_s, queued_s: of that first answer.

    n_failed_over: frames that were run again.
    """

    gap_s: float
    known_s: float
    answered_s: float
    computed_s: float
    queued_s: float
    n_failed_over: int


class Answers:
    """Takes the answers of a stream on a thread, with their times."""

    def __init__(self, stream: Any, known: KnownAnswers, fps: float) -> None:
        self.taken: list[tuple[float, Result]] = []
        self._results = stream.run((known.pictures[at % 8] for at in range(1 << 30)), fps=fps, live=True)
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        for result in self._results:
            self.taken.append((now_s(), result))

    def wait_plan(self, plan: str) -> None:
        """Wait for an answer by `plan`."""
        until_s, begin = now_s() + SERVED_WITHIN_S, len(self.taken)
        while not any(str(result.plan) == plan for _, result in self.taken[begin:]):
            if now_s() > until_s:
                raise TimeoutError(f"{plan} does not serve")
            time.sleep(0.01)


def main() -> None:
    options = parser("The gap when a node is killed, and its parts")
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--fps", type=float, default=20.0)
    chosen = options.parse_args()
    n_kills = 3 if chosen.quick else chosen.kills
    report = Report("failover", "The gap when a node is killed, and its parts", chosen)
    rng, found = random.Random(1), []
    with ChaosBed() as bed:
        model = bed.cluster.add_model(MODELS[0].write(bed.folder, seed=1))
        known = KnownAnswers.of(bed.engine, model, seed=1)
        stream = bed.cluster.stream(
            model, over=(ORIGIN.name, *bed.nodes), policy=PLAN, codecs=EXACT, profile_budget_s=PROFILE_BUDGET_S
        )
        answers = Answers(stream, known, chosen.fps)
        for number in range(n_kills):
            answers.wait_plan(PLAN)
            time.sleep(rng.uniform(1.0, 1.0 + 1.0 / chosen.fps))
            found.append(_one(bed, answers))
            progress(f"kill {number + 1} of {n_kills}: {found[-1].gap_s * 1e3:.0f} ms")
        stream.stop()
        stream.frames.wait_idle(SERVED_WITHIN_S)
        counts = stream.frames.counts()
    report.data["failovers"] = [asdict(each) for each in found]
    report.data["frames"] = {"accepted": counts.accepted, "answered": counts.answered}
    report.say(
        f"{PLAN} at {chosen.fps:g} frames/s, fog killed {n_kills} times; ms, median (10th-90th percentile), worst.",
        f"{counts.accepted} frames accepted, {counts.answered} answered; answers usually come every "
        f"{1e3 / chosen.fps:g} ms.",
        "",
    )
    parts = {
        "longest time without an answer": [each.gap_s for each in found],
        "kill until the origin knows": [each.known_s for each in found],
        "from then until the first answer without fog": [each.answered_s for each in found],
        "of that, the origin computes": [each.computed_s for each in found],
        "of that, the frame queues there": [each.queued_s for each in found],
    }
    report.table(
        ("", "ms", "worst"),
        [(what, spread(times).text(1e3, 0), f"{1e3 * max(times):.0f}") for what, times in parts.items()],
    )
    report.finish()


def _one(bed: ChaosBed, answers: Answers) -> Failover:
    """One kill. Returns when fog is ready again."""
    kill = Fault(kind=FaultKind.KILL, place=(FOG,), at_s=0.0, length_s=0.0)
    begin, killed_s = len(answers.taken), now_s()
    bed.begin(kill)
    while FOG in bed.cluster.nodes():
        time.sleep(0.0005)
    known_s = now_s()
    time.sleep(AFTER_S)
    after = answers.taken[max(0, begin - 1) :]
    times_s = [at_s for at_s, _ in after]
    without = next((at_s, result) for at_s, result in after if FOG not in result.plan.nodes)
    bed.end(kill)
    bed.wait_ready()
    at_s, first = without
    return Failover(
        gap_s=max(later - earlier for earlier, later in pairwise(times_s)),
        known_s=known_s - killed_s,
        answered_s=at_s - known_s,
        computed_s=sum(each.compute_s for each in first.reports),
        queued_s=sum(each.queue_s for each in first.reports),
        n_failed_over=sum(result.n_attempts > 1 for _, result in after),
    )


if __name__ == "__main__":
    main()
