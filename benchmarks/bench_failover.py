"""How long no answer comes when a node of the plan is lost, and what that time is made of.

The nodes of `seamline chaos` in processes; one stream whose plan, held, ends on fog. Fog is killed (SIGKILL), stopped
(SIGSTOP), or its link silent in both directions or one, at a random moment between two frames, again and again. Per
loss: until the origin knows that fog is gone; from then until the first answer that did without it (less than nothing
where a frame was overdue and ran at home before); what the origin computed for that, and how long the frame queued.
"""

from __future__ import annotations

import argparse
import json
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from reporting import Report, parser, progress, spread

from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.ports import LEASE_S
from seamline.runtime.chaos.bed import ORIGIN, ChaosBed
from seamline.runtime.chaos.faults import Fault, FaultKind
from seamline.runtime.chaos.run import EXACT, MODELS, PROFILE_BUDGET_S
from seamline.runtime.chaos.watched_stream import KnownAnswers
from seamline.runtime.origin.results import Result
from seamline.runtime.shared.clock import now_s

FOG = NodeId("fog")
PLAN = "edge[0:8]raw > fog[8:19]"
SERVED_WITHIN_S = 90.0
LOST_S, AFTER_S = 1.5, 0.5
"""The first beyond a lease."""

PLACES = {
    FaultKind.KILL: (FOG,),
    FaultKind.FREEZE: (FOG,),
    FaultKind.SILENCE: (ORIGIN.name, FOG),
    FaultKind.ONE_WAY: (FOG, ORIGIN.name),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover:
    """Seconds. known_s: from the loss. answered_s: from `known_s` on. computed_s, queued_s: of that first answer.

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
    options = parser("The gap when a node is lost, and its parts")
    options.add_argument("--losses", type=int, default=50, help="of each kind")
    options.add_argument("--kinds", default=",".join(PLACES), help="of kill, freeze, silence, one-way-silence")
    options.add_argument("--seed", type=int, default=1, help="of the moments")
    options.add_argument("--add", action="store_true", help="to the losses that earlier runs have written down")
    options.add_argument("--lease", type=float, default=LEASE_S)
    options.add_argument("--fps", type=float, default=20.0)
    chosen = options.parse_args()
    kinds = [FaultKind(kind) for kind in chosen.kinds.split(",")]
    report = Report("failover", "The gap when a node is lost, and its parts", chosen)
    report.say(
        f"{PLAN} at {chosen.fps:g} frames/s, a lease of {chosen.lease:g} s, fog lost at random moments; ms, "
        f"median (10th-90th percentile), 99th percentile, worst. Usually an answer comes every {1e3 / chosen.fps:g}.",
        "",
    )
    written = json.loads(report.path("json").read_text(encoding="utf-8")) if chosen.add else {}
    for kind in PLACES:
        before = written.get(kind, {"failovers": [], "frames": {"accepted": 0, "answered": 0}})
        found = [Failover(**each) for each in before["failovers"]]
        frames = before["frames"]
        if kind in kinds:
            more, counts = _all_of(kind, chosen)
            found += more
            frames = {
                "accepted": frames["accepted"] + counts.accepted,
                "answered": frames["answered"] + counts.answered,
            }
        if found:
            report.data[kind] = {"failovers": [asdict(each) for each in found], "frames": frames}
            _tell(report, kind, found, frames)
    report.finish()


def _tell(report: Report, kind: FaultKind, found: list[Failover], frames: Mapping[str, int]) -> None:
    n_lost = frames["accepted"] - frames["answered"]
    report.say(f"## {kind}, {len(found)} times", f"{n_lost} of {frames['accepted']} accepted frames lost.", "")
    parts = {
        "longest time without an answer": [each.gap_s for each in found],
        "until the origin knows": [each.known_s for each in found],
        "from then until the first answer without fog": [each.answered_s for each in found],
        "of that, the origin computes": [each.computed_s for each in found],
        "of that, the frame queues there": [each.queued_s for each in found],
    }
    report.table(
        ("", "ms", "99th", "worst"),
        [
            (what, spread(times).text(1e3, 0), f"{1e3 * np.percentile(times, 99):.0f}", f"{1e3 * max(times):.0f}")
            for what, times in parts.items()
        ],
    )


def _all_of(kind: FaultKind, chosen: argparse.Namespace) -> tuple[list[Failover], Any]:
    """Lose fog as often as is asked, in a bed of its own; what came of that, and the counts of frames."""
    rng, found, n_losses = random.Random(chosen.seed), [], 3 if chosen.quick else chosen.losses
    with ChaosBed(lease_s=chosen.lease) as bed:
        model = bed.cluster.add_model(MODELS[0].write(bed.folder, seed=1))
        known = KnownAnswers.of(bed.engine, model, seed=1)
        stream = bed.cluster.stream(
            model, over=(ORIGIN.name, *bed.nodes), policy=PLAN, codecs=EXACT, profile_budget_s=PROFILE_BUDGET_S
        )
        answers = Answers(stream, known, chosen.fps)
        for number in range(n_losses):
            answers.wait_plan(PLAN)
            time.sleep(rng.uniform(1.0, 1.0 + 1.0 / chosen.fps))
            found.append(_one(bed, answers, kind, chosen.lease + LOST_S))
            progress(f"{kind} {number + 1} of {n_losses}: {found[-1].gap_s * 1e3:.0f} ms")
        stream.stop()
        stream.frames.wait_idle(SERVED_WITHIN_S)
        return found, stream.frames.counts()


def _one(bed: ChaosBed, answers: Answers, kind: FaultKind, length_s: float) -> Failover:
    """One loss of so long. Returns when fog is ready again."""
    fault = Fault(kind=kind, place=PLACES[kind], at_s=0.0, length_s=length_s)
    begin, lost_s = len(answers.taken), now_s()
    bed.begin(fault)
    while FOG in bed.cluster.nodes():
        time.sleep(0.0005)
    known_s = now_s()
    time.sleep(max(0.0, lost_s + length_s - known_s))
    bed.end(fault)
    time.sleep(AFTER_S)
    bed.wait_ready()
    after = answers.taken[max(0, begin - 1) :]
    times_s = [at_s for at_s, _ in after]
    later_on = [(at_s, result) for at_s, result in after if at_s > lost_s]
    without_s, first = next((one for one in later_on if FOG not in one[1].plan.nodes), later_on[0])
    return Failover(
        gap_s=max(later - earlier for earlier, later in pairwise(times_s)),
        known_s=known_s - lost_s,
        answered_s=without_s - known_s,
        computed_s=sum(each.compute_s for each in first.reports),
        queued_s=sum(each.queue_s for each in first.reports),
        n_failed_over=sum(result.n_attempts > 1 for _, result in after),
    )


if __name__ == "__main__":
    main()
