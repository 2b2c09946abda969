"""`python -m seamline.sim.storm`: many short sessions in a world full of faults, each by its seed, checked throughout.

    python -m seamline.sim.storm --frames 1000000 --seed 1    sessions from seed 1 on, until so many frames are accepted
    python -m seamline.sim.storm --seed 17 --one              one session again, with its story if it fails

A session has two to four small nodes, links that change, a strategy, sometimes plans by hand, and the faults of
`faults.py` in its first part. Then the world is quiet: the session must be back on the best plan within `RECOVERY_S`.
What is checked is `invariants.py`. The first failure ends the storm with exit code 1, its seed and the story.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from seamline.config.trace import Trace
from seamline.core.adaptation.policy import Adaptive
from seamline.core.adaptation.recovery import why_unrecovered
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.switching.named import STRATEGIES, NamedStrategy
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Codec, Plan, Segment, Stage
from seamline.core.vocabulary.profiles import (
    Block,
    CodecCost,
    Cut,
    DeviceInfo,
    FrameInfo,
    ModelInfo,
    Profile,
    Quantiles,
    TensorSpec,
)
from seamline.sim.driver import Conditions, Driver
from seamline.sim.faults import FaultPlan, random_faults, with_hostility
from seamline.sim.invariants import Invariants, Violation
from seamline.sim.network import Network
from seamline.sim.policy_adapters import CorePolicyAdapter
from seamline.sim.run import session_of
from seamline.sim.scene import Scene, SceneLink
from seamline.sim.stage_work import StageWorkTable

RECOVERY_S = 5.0
LOOKS_S = (4.0, 4.6, RECOVERY_S)
N_QUIET_S = 1.5
"""Frames come so long after the recovery, and answers after the last frame."""

LEAST_BPS = 6e6
"""An idle link that is slower is not probed once a second, by design, and what it has become is known later."""

N_CUTS = 5
N_TOLD = 40
"""Lines of the story of a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One session of the storm, made from its seed. by_hand: (at_s, request)."""

    seed: int
    scene: Scene
    faults: FaultPlan
    strategy: NamedStrategy
    by_hand: tuple[tuple[float, ev.SwitchAsked | ev.UnpinAsked], ...]
    faults_until_s: float

    @staticmethod
    def of(seed: int, *, n_frames: int | None = None) -> Trial:
        """n_frames: about so many frames in a shorter time; by the seed otherwise."""
        rng = random.Random(f"storm {seed}")
        names = ["edge", *(f"node-{number}" for number in range(1, rng.randint(2, 4)))]
        nodes = [NodeId(name) for name in names]
        faults_until_s = rng.uniform(3.0, 8.0) if n_frames is None else rng.uniform(1.5, 3.5)
        duration_s = faults_until_s + RECOVERY_S + N_QUIET_S
        fps = rng.choice((25.0, 50.0, 100.0)) if n_frames is None else max(5.0, n_frames / duration_s)
        faults = random_faults(rng, nodes[0], nodes[1:], faults_until_s)
        faults = with_hostility(faults, random.Random(f"hostile {seed}"), nodes[0])
        scene = Scene(
            origin=nodes[0],
            profiles=_profiles(rng, nodes),
            links=tuple(_links(rng, nodes, faults_until_s)),
            fps=fps,
            duration_s=duration_s,
            slowdowns=faults.slowdowns,
            prepare_s=rng.choice((0.02, 0.1, 0.5)),
            seed=seed,
        )
        strategy = STRATEGIES[rng.choice(("live", "live", "live", "standby", "pause-resume", "spawn"))]
        by_hand = tuple(_by_hand(rng, nodes, faults_until_s)) if rng.random() < 0.3 else ()
        return Trial(
            seed=seed,
            scene=scene,
            faults=faults,
            strategy=strategy,
            by_hand=by_hand,
            faults_until_s=faults_until_s,
        )


@dataclass(slots=True)
class Outcome:
    """What a session came to. n_failed: frames whose answer is an error. n_damaged: messages lost to damage.

    n_strange: answers and failures that were no node's to give.
    """

    n_frames: int = 0
    n_failed: int = 0
    n_retried: int = 0
    n_switches: int = 0
    n_damaged: int = 0
    n_strange: int = 0
    violation: Violation | None = None
    story: list[str] = field(default_factory=list)


def run_trial(trial: Trial, *, is_telling: bool = False, knows_true_links: bool = False) -> Outcome:
    """Play one session to its end, or to the first thing that must not be. is_telling: with a story of that.

    knows_true_links: see `check_best_plan`.
    """
    scene = trial.scene
    adapter = CorePolicyAdapter(Adaptive())
    session = session_of(scene, adapter, strategy=trial.strategy, keeps_stories=is_telling)
    local = Plan.local(scene.origin, N_CUTS)
    invariants = Invariants(session, local, is_logging=is_telling)
    conditions = Conditions(absences=trial.faults.absences, is_endless=True)
    driver = Driver(
        scene, session, Network.of(scene, trial.faults.weather), StageWorkTable(scene), conditions, invariants.watch
    )
    outcome = Outcome()
    try:
        trial.faults.befall(driver)
        driver.begin()
        for at_s, request in trial.by_hand:
            driver.schedule.at(at_s, driver.hear, request)
        driver.play(trial.faults_until_s + LOOKS_S[0])
        _look_for_best_plan(driver, trial.faults_until_s, knows_true_links)
        driver.schedule.run(scene.duration_s + N_QUIET_S)
        driver.hear(ev.SourceEnded())
        driver.hear(ev.StopAsked())
        driver.schedule.run(scene.duration_s + 2 * N_QUIET_S)
        invariants.at_end(driver)
    except Violation as violation:
        outcome.violation = violation
        if is_telling:
            outcome.story = list(_story(trial, invariants, violation))
    counts = session.ledger.counts
    outcome.n_frames, outcome.n_retried = counts.accepted, counts.retried
    outcome.n_failed = sum(one.error is not None for one in driver.tally.finished)
    outcome.n_switches = len(driver.tally.switches)
    outcome.n_damaged, outcome.n_strange = driver.network.n_damaged, counts.strange_answers
    return outcome


def _look_for_best_plan(driver: Driver, quiet_s: float, knows_true_links: bool) -> None:
    """Look some times, since a decision may just be on its way. Raises the last `Violation` when none was good."""
    for after_s in LOOKS_S:
        driver.schedule.run(quiet_s + after_s)
        try:
            check_best_plan(driver, knows_true_links=knows_true_links)
        except Violation:
            if after_s == RECOVERY_S:
                raise
        else:
            return


def check_best_plan(driver: Driver, *, knows_true_links: bool = False) -> None:
    """The world has been quiet for `RECOVERY_S`, and the session is as it should be then. Raises `Violation`.

    knows_true_links: the best for the links as they are, not as they are measured: idle ones are probed seldom.
    """
    view = driver.session.pilot.view
    truth = {pair: _as_it_is(driver, known) for pair, known in view.links.items()} if knows_true_links else None
    if (why := why_unrecovered(view, truth)) is not None:
        raise Violation(f"{RECOVERY_S:g} s after the last fault {why}")


def _as_it_is(driver: Driver, known: LinkEstimate) -> LinkEstimate:
    """The true link, with what is remembered of its averages: that belongs to the policy's hysteresis."""
    truth = driver.network.truth((known.source, known.target), driver.schedule.now_s)
    return replace(known, goodput_bps=truth.goodput_bps, rtt_s=truth.rtt_s, overhead_s=0.0)


def _story(trial: Trial, invariants: Invariants, violation: Violation) -> Iterator[str]:
    """The events around the failure, and the life of the frame concerned."""
    yield f"seed {trial.seed}: {violation}"
    yield f"strategy {trial.strategy.name}, {len(trial.scene.profiles)} nodes, {trial.scene.fps:g} frames/s"
    yield from (f"  {fault}" for fault in trial.faults.faults)
    yield f"the last {N_TOLD} events that are not measurements:"
    told = []
    for now_s, event, commands in invariants.log:
        is_usual = isinstance(event, ev.LinkEstimated | ev.StatusReceived | ev.Tick | ev.AnswerTaken | ev.FrameOffered)
        said = [command for command in commands if not isinstance(command, ev.FrameFinished | cmd.Deliver)]
        if not is_usual or said:
            told.append(f"{now_s:10.6f} {_short(event)} -> {'; '.join(map(_short, said))}")
    yield from told[-N_TOLD:]
    if violation.frame is not None:
        yield f"frame {violation.frame}:"
        yield from (str(step) for step in invariants.session.story(violation.frame))


def _short(one: object) -> str:
    match one:
        case ev.StatusReceived():
            return f"Status({one.node} {one.incarnation})"
        case ev.LinkEstimated(known):
            return f"Link({known.source}>{known.target} {known.goodput_bps / 1e6:.2f} Mbit/s)"
        case ev.AnswerArrived():
            return f"Answer({one.frame}.{one.attempt} of {one.generation})"
        case ev.ProfileKnown(node):
            return f"ProfileKnown({node})"
        case ev.FrameFinished():
            return f"Finished({one.frame}, {one.error or one.generation})"
        case cmd.RunFrame(frame, attempt, route):
            return f"Run({frame}.{attempt} by {route.generation}:{route.plan})"
        case cmd.Prepare(generation) | cmd.Release(generation):
            return f"{type(one).__name__}({generation.number}:{generation.plan})"
        case cmd.SwitchDone(generation):
            return f"SwitchDone({generation})"
        case cmd.Say(_, words):
            return f"Say({words})"
        case cmd.Decided(plan, reason):
            return f"Decided({plan}: {reason})"
    return str(one)[:200]


# -- small worlds ------------------------------------------------------------------------------------------------------


def _profiles(rng: random.Random, nodes: Sequence[NodeId]) -> dict[NodeId, Profile]:
    """A model of few layers, whose tensors shrink; the origin is the slowest."""
    n_elements = [30_000, rng.randint(10_000, 60_000), rng.randint(5_000, 20_000), rng.randint(1_000, 8_000), 10]
    cuts = tuple(
        Cut(
            index=at,
            after=f"layer{at}",
            tensors=(TensorSpec(name=f"t{at}", dtype="float32", shape=(1, n)),),
            payload_bytes=4 * n,
        )
        for at, n in enumerate(n_elements)
    )
    whole_s = rng.choice((0.01, 0.03, 0.1))
    shares = [rng.random() + 0.1 for _ in cuts[1:]]
    found = {}
    for number, node in enumerate(nodes):
        speed = 1.0 if number == 0 else rng.uniform(2.0, 20.0)
        times_s = [whole_s * share / sum(shares) / speed for share in shares]
        blocks = tuple(
            Block(from_cut=at, to_cut=at + 1, compute_s=Quantiles(median=took_s, p90=took_s))
            for at, took_s in enumerate(times_s)
        )
        found[node] = Profile(
            model=ModelInfo(name="small"),
            device=DeviceInfo(name=node),
            cuts=cuts,
            blocks=blocks,
            whole_s=Quantiles(median=sum(times_s), p90=sum(times_s)),
            frame=FrameInfo(raw_bytes=30_000, jpeg_bytes=6_000, preprocess_s=0.0),
            codecs=tuple(
                CodecCost(codec=codec, encode_s_per_byte=1e-9, decode_s_per_byte=1e-9)
                for codec in (Codec.F16, Codec.U8, Codec.JPEG)
            ),
        )
    return found


def _links(rng: random.Random, nodes: Sequence[NodeId], until_s: float) -> Iterator[SceneLink]:
    """A chain, or a star around the origin; what changes of rates does so before `until_s`."""
    is_chain = rng.random() < 0.5
    for at, node in enumerate(nodes[1:]):
        times_s, rates_bps = [0.0], [rng.uniform(LEAST_BPS, 50e6)]
        if rng.random() < 0.6:
            for _ in range(rng.randint(1, 4)):
                times_s.append(rng.uniform(times_s[-1], until_s) + 1e-3)
                rates_bps.append(rng.choice((LEAST_BPS, 12e6, 50e6)))
        trace = Trace(times_s=tuple(times_s), rates_bps=tuple(rates_bps), length_s=float("inf"))
        between = (nodes[at] if is_chain else nodes[0], node)
        yield SceneLink(between=between, trace=trace, delay_s=rng.choice((0.5e-3, 5e-3, 40e-3)))


def _by_hand(
    rng: random.Random, nodes: Sequence[NodeId], until_s: float
) -> Iterator[tuple[float, ev.SwitchAsked | ev.UnpinAsked]]:
    """Plans by hand, and the policy again before the world is quiet."""
    request = 0
    for _ in range(rng.randint(1, 3)):
        cut, node = rng.randint(0, N_CUTS - 2), rng.choice(nodes)
        plan = Plan.local(nodes[0], N_CUTS)
        if node != nodes[0]:
            codec = rng.choice((Codec.RAW, Codec.F16, Codec.U8)) if cut else Codec.JPEG
            plan = Plan((Stage(nodes[0], Segment(0, cut), codec), Stage(node, Segment(cut, N_CUTS - 1))))
        request += 1
        yield rng.uniform(0.0, until_s), ev.SwitchAsked(request, plan, None, "by hand")
    yield until_s, ev.UnpinAsked(request + 1, None)


# -- the command -------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m seamline.sim.storm", description="Sessions in a world of faults.")
    parser.add_argument("--frames", type=int, default=20_000, help="accepted frames, over all sessions")
    parser.add_argument("--seed", type=int, default=1, help="of the first session")
    parser.add_argument("--one", action="store_true", help="only that session, with its story")
    parser.add_argument("--keep-going", action="store_true", help="count failures by what they say; a line for each")
    parser.add_argument("--true-links", action="store_true", help="the best plan is that for the links as they are")
    chosen = parser.parse_args(arguments)
    checks = {"knows_true_links": chosen.true_links}
    started_s = time.monotonic()
    total: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    seed, n_failures = chosen.seed, 0
    while True:
        trial = Trial.of(seed)
        outcome = run_trial(trial, is_telling=chosen.one, **checks)
        if outcome.violation is not None:
            n_failures += 1
            if not chosen.keep_going:
                print("\n".join(run_trial(trial, is_telling=True, **checks).story))
                print(f"again: python -m seamline.sim.storm --seed {seed} --one")
                return 1
            print(f"seed {seed}: {outcome.violation}", flush=True)
        total.update(
            sessions=1,
            frames=outcome.n_frames,
            failed=outcome.n_failed,
            retried=outcome.n_retried,
            switches=outcome.n_switches,
            damaged=outcome.n_damaged,
            strange=outcome.n_strange,
        )
        faults.update(str(fault.kind) for fault in trial.faults.faults)
        if sys.stderr.isatty():
            print(f"\r{total['frames']} frames, {total['sessions']} sessions", end="", file=sys.stderr, flush=True)
        if chosen.one or total["frames"] >= chosen.frames:
            break
        seed += 1
    took = f"{time.monotonic() - started_s:.1f} s, {time.process_time():.1f} of them computing"
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(f"{total['frames']} frames in {total['sessions']} sessions (seeds {chosen.seed} to {seed}), {took}")
    print(f"lost 0, doubled 0, disordered 0; failed answers {total['failed']}, run again {total['retried']} times")
    print(f"damaged messages {total['damaged']}, false answers and failures dropped {total['strange']}")
    print(f"{total['switches']} switches; faults: {', '.join(f'{n} {kind}' for kind, n in sorted(faults.items()))}")
    return 1 if n_failures else 0


if __name__ == "__main__":
    sys.exit(main())
