"""Whatever happens, in whatever order: no frame is lost, doubled or disordered, and nothing that was prepared is kept.

Drivers of `conftest.py` audit every command; here the events are those of no sane world, and of an insane one.
"""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from seamline.core.adaptation.policy import Adaptive, Fixed, Local, Offload, Static
from seamline.core.cost.problem import EnergyScope
from seamline.core.link.report import LinkReport
from seamline.core.session import commands as cmd
from seamline.core.session import events as ev
from seamline.core.session.events import Route
from seamline.core.switching import STRATEGIES
from seamline.core.vocabulary.links import LinkEstimate
from seamline.core.vocabulary.nodes import NodeId, Tier
from seamline.core.vocabulary.objectives import Objective, Within
from seamline.core.vocabulary.plans import LOSSINESS, Plan, Segment

EDGE, FOG, CLOUD, MOON = (NodeId(name) for name in ("edge", "fog", "cloud", "moon"))
LOCAL, TO_CLOUD = Plan.parse("edge[0:4]"), Plan.parse("edge[0:0]jpeg > cloud[0:4]")
PLANS = (
    LOCAL,
    TO_CLOUD,
    Plan.parse("edge[0:2]u8 > fog[2:4]"),
    Plan.parse("edge[0:1]raw > fog[1:2]f16 > cloud[2:4]"),
)
ABSURD_PLANS = (
    *PLANS,
    Plan.parse("moon[0:4]"),
    Plan.parse("edge[0:1]raw > moon[1:4]"),
    Plan.parse("edge[0:9]"),
    Plan.parse("fog[0:1]raw > edge[1:4]"),
)
POLICIES = (Adaptive(), Local(), Offload(), Static(), Fixed(PLANS[2]), Fixed(ABSURD_PLANS[5]))

# -- what no sane world says -------------------------------------------------------------------------------------------

nodes = st.sampled_from((EDGE, FOG, CLOUD, MOON))
numbers = st.sampled_from((-1, 0, 1, 2, 3, 4, 5, 99))
plans = st.sampled_from(ABSURD_PLANS)
seconds = st.sampled_from((0.0, 1e-9, 0.01, 0.3, 1.0, 40.0, -1.0, math.inf, -math.inf, math.nan))
rates = st.sampled_from((0.0, 1.0, 1e5, 2e7, 2e9, -1.0, math.inf, math.nan))
segments = st.sampled_from((Segment(0, 0), Segment(0, 4), Segment(1, 2), Segment(2, 4), Segment(7, 9)))
words = st.sampled_from(("", "gone"))
strategies = st.sampled_from((None, "teleport", *STRATEGIES))


def events_of(report, profile) -> st.SearchStrategy[ev.Event]:
    """Every kind of event, with values that fit and values that cannot be."""
    reports = st.lists(
        st.builds(report, node=nodes, compute_s=seconds, queue_s=seconds, sent_bytes=numbers), max_size=2
    )
    routes = st.builds(
        Route,
        generation=numbers,
        plan=plans,
        expected_s=st.floats(0.0, 2.0),
        bottleneck_s=st.none() | st.floats(0.0, 1.0),
        wants_pace=st.booleans(),
    )
    links = st.builds(
        LinkReport, target=nodes, rtt_s=seconds, goodput_bps=rates, goodput_std_ratio=seconds, n_samples=numbers,
        age_s=seconds, oscillating_for_s=seconds,
    )  # fmt: skip
    estimates = st.builds(
        LinkEstimate, source=nodes, target=nodes, rtt_s=seconds, goodput_bps=rates, measured_at_s=seconds
    )
    profiles = st.sampled_from((profile(EDGE), profile(FOG), profile(CLOUD, idle_w=None), profile(FOG, n_cuts=3)))
    offers = st.just(ev.FrameOffered("pixels")) | st.just(ev.FrameOffered("pixels", is_live=False))
    of_frames = st.one_of(
        offers,
        st.just(ev.SourceEnded()),
        st.just(ev.AnswerTaken()),
        st.just(ev.RetryOverdue()),
        st.just(ev.ResumeFrames()),
        st.builds(ev.AnswerArrived, numbers, numbers, numbers, nodes, st.just("answer"), reports),
        st.builds(ev.StageFailed, numbers, numbers, numbers, nodes, words, st.none() | nodes, st.booleans()),
        st.builds(ev.AttemptDropped, numbers, numbers),
        st.builds(ev.PeerChanged, nodes, st.booleans()),
        st.builds(ev.SetRoute, routes, seconds),
        st.builds(ev.AdjustRoute, routes),
        st.builds(ev.SetLocalExpected, st.floats(0.0, 2.0)),
        st.builds(ev.PauseFrames, numbers),
        st.builds(ev.DrainWanted, numbers),
    )
    of_pilot = st.one_of(
        st.just(ev.Begin()),
        st.just(ev.Tick()),
        st.builds(ev.Drained, numbers),
        st.builds(ev.Routed, numbers, seconds),
        st.builds(ev.DeadlineMissed, numbers, plans, seconds),
        st.builds(
            ev.StatusReceived, node=nodes, tier=st.just(Tier("fog")), incarnation=words, queue_s=seconds,
            usable_memory_bytes=numbers, links=st.lists(links, max_size=2).map(tuple),
        ),
        st.builds(ev.LinkEstimated, estimates),
        st.builds(ev.MemoryMeasured, numbers),
        st.builds(ev.ProfileKnown, nodes, profiles),
        st.builds(ev.ProfileFailed, nodes, words),
        st.builds(ev.SegmentTimed, nodes, segments, st.none() | seconds),
        st.builds(ev.NodePrepared, numbers, nodes, seconds),
        st.builds(ev.NodePrepareFailed, numbers, nodes, words),
        st.builds(ev.SwitchAsked, numbers, plans, strategies, words),
        st.builds(ev.UnpinAsked, numbers, strategies),
        st.builds(ev.CodecWithdrawn, numbers, st.sampled_from(LOSSINESS[1:]), words),
        st.builds(ev.ObjectiveAsked, numbers, st.sampled_from((*Objective, Within(slo_s=0.05)))),
        st.builds(
            ev.EnergyScopeAsked, numbers,
            st.sampled_from((EnergyScope.ORIGIN, *(EnergyScope(weights=((node, 0.5),)) for node in (FOG, MOON)))),
        ),
        st.builds(ev.AvoidAsked, numbers, st.sets(nodes, max_size=2).map(tuple)),
        st.builds(ev.StandbyAsked, plans),
    )  # fmt: skip
    return st.one_of(of_frames, of_pilot, st.just(ev.StopAsked()), offers, st.just(ev.Tick()))


@pytest.fixture(scope="session")
def absurd(report, profile) -> st.SearchStrategy[list[tuple[float, ev.Event]]]:
    gaps_s = st.sampled_from((0.0, 0.01, 0.3, 1.0, 31.0, -2.0, -1e6))
    return st.lists(st.tuples(gaps_s, events_of(report, profile)), max_size=40)


INTERNAL = (ev.SetRoute, ev.PauseFrames, ev.Routed)
"""What only the other half says: from outside it makes the halves disagree, which `validate` rightly finds."""


@settings(phases=(Phase.explicit, Phase.generate))
@given(data=st.data(), strategy=st.sampled_from(sorted(STRATEGIES)), policy=st.sampled_from(POLICIES))
@pytest.mark.parametrize("is_begun", [True, False])
def test_no_event_in_any_state_raises_or_costs_a_frame(is_begun, data, strategy, policy, absurd, session_of):
    driver = session_of(strategy=strategy, policy=policy, is_begun=is_begun)
    for number, (gap_s, event) in enumerate(data.draw(absurd)):
        if isinstance(event, INTERNAL):
            continue
        if hasattr(event, "request"):
            object.__setattr__(event, "request", number)
        driver.now_s += gap_s
        driver.handle(event)
    driver.handle(ev.StopAsked())
    assert driver.loaded == {}
    assert driver.audit.asked == set()
    counts = driver.session.ledger.counts
    assert counts.accepted == counts.answered + driver.session.ledger.n_in_flight()


@settings(phases=(Phase.explicit, Phase.generate))
@given(data=st.data(), strategy=st.sampled_from(sorted(STRATEGIES)))
def test_what_only_the_other_half_says_raises_nothing_either_when_it_comes_from_outside(
    data, strategy, absurd, session_of
):
    driver = session_of(strategy=strategy)
    session = driver.session
    delivered = []
    for at_s, event in data.draw(absurd):
        found = session.handle(event, driver.now_s + at_s)
        session.ledger.validate()
        delivered += [command.frame for command in found if isinstance(command, cmd.Deliver)]
    assert delivered == list(range(len(delivered)))


# -- what an insane world does -----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def chaotic(driver_kind):
    """A driver whose messages are lost, late, doubled or errors, as a seed has it."""

    class Chaotic(driver_kind):
        def __init__(self, session, seed: int) -> None:
            super().__init__(session)
            self.random = random.Random(seed)
            self.is_calm = False

        def later(self, after_s: float, event: ev.Event | cmd.RunFrame) -> None:
            if self.is_calm:
                super().later(after_s, event)
                return
            fate = self.random.random()
            is_remote = isinstance(event, cmd.RunFrame) and not event.route.plan.is_local
            if fate < 0.1 and (is_remote or isinstance(event, ev.NodePrepared)):
                return
            if fate < 0.2 and not isinstance(event, ev.AnswerTaken):
                super().later(after_s * self.random.uniform(0.0, 2.0), event)
            if fate < 0.4:
                is_home = isinstance(event, cmd.RunFrame) and not is_remote
                after_s *= self.random.choice((0.0, 3.0) if is_home else (0.0, 3.0, 30.0))
            super().later(after_s, event)

        def _obey(self, command: cmd.Command) -> None:
            if isinstance(command, cmd.AskProfile | cmd.TimeSegment) and command.node in self.dead:
                no_answer = (
                    ev.ProfileFailed(command.node, "no answer in time")
                    if isinstance(command, cmd.AskProfile)
                    else ev.SegmentTimed(command.node, command.segment, None)
                )
                self.later(5.0, no_answer)
            else:
                super()._obey(command)

        def answer_to(self, run: cmd.RunFrame) -> ev.Event:
            if self.is_calm or self.random.random() < 0.85:
                return super().answer_to(run)
            node, *others = self.random.sample(run.route.plan.nodes, len(run.route.plan.nodes))
            lost = others[0] if others and self.random.random() < 0.5 else None
            is_input = lost is None and self.random.random() < 0.5
            return ev.StageFailed(run.frame, run.attempt, run.route.generation, node, "out of memory", lost, is_input)

        def _prepare(self, generation, node) -> None:
            if not self.is_calm and self.random.random() < 0.15:
                self.refusals[node] = 1
            super()._prepare(generation, node)

    return Chaotic


storms = st.lists(
    st.tuples(
        st.sampled_from((0.0, 0.01, 0.06, 0.3, 1.0, 3.0, 35.0)),
        st.sampled_from(
            ("frames", "frames", "frames", "kill", "revive", "restart", "silent", "link", "slow", "switch", "unpin",
             "standby", "objective", "queue")
        ),
    ),
    max_size=30,
)  # fmt: skip


def happens(driver, what: str, number: int) -> None:
    """One thing that goes on in the world beside the messages that are on their way."""
    pick = driver.random
    node = pick.choice((FOG, CLOUD))
    match what:
        case "frames":
            driver.frames(pick.randrange(1, 8), every_s=pick.choice((0.02, 0.1, 0.4)))
        case "kill":
            driver.kill(node)
        case "silent":
            driver.dead.add(node)
        case "revive":
            driver.revive(node, incarnation=pick.choice("abc"))
        case "restart":
            driver.restart(node, incarnation=pick.choice("abc"))
        case "link":
            driver.link(node, pick.choice((0.0, 0.2e6, 5e6, 200e6)))
        case "slow":
            driver.slowdown[pick.choice((EDGE, FOG, CLOUD))] = pick.choice((1.0, 1.3, 20.0))
        case "queue":
            driver.status(node, queue_s=pick.choice((0.0, 0.2)))
        case "switch":
            driver.handle(ev.SwitchAsked(number, pick.choice(PLANS), pick.choice((None, *STRATEGIES)), "asked for"))
        case "unpin":
            driver.handle(ev.UnpinAsked(number, pick.choice((None, *STRATEGIES))))
        case "standby":
            driver.handle(ev.StandbyAsked(pick.choice(PLANS)))
        case "objective":
            driver.handle(ev.ObjectiveAsked(number, pick.choice(tuple(Objective))))


def calm_down(driver) -> None:
    """The world is as it should be, and so are the requests."""
    driver.is_calm = True
    driver.refusals.clear()
    driver.slowdown.clear()
    for node in (FOG, CLOUD):
        driver.revive(node, incarnation="z")
        driver.link(node, 200e6)
    driver.handle(ev.UnpinAsked(-1, None))
    driver.handle(ev.ObjectiveAsked(-2, Objective.LATENCY))


@settings(max_examples=settings.default.max_examples // 2, phases=(Phase.explicit, Phase.generate))
@given(seed=st.integers(0, 2**32 - 1), storm=storms, strategy=st.sampled_from(sorted(STRATEGIES)))
def test_a_storm_costs_no_frame_and_after_it_the_best_plan_serves(seed, storm, strategy, chaotic, session_of):
    driver = session_of(strategy=strategy, kind=lambda session: chaotic(session, seed))
    for number, (gap_s, what) in enumerate(storm):
        happens(driver, what, number)
        driver.run(gap_s)
    calm_down(driver)
    for _ in range(20):
        driver.frames(4, every_s=0.5)
        driver.link(FOG, 200e6)
        driver.link(CLOUD, 200e6)
    for _ in range(40):  # the deadline of a frame that set out on a plan of half a minute is two minutes away
        driver.run(5.0 if driver.audit.in_flight else 0.0)
    counts = driver.session.ledger.counts
    assert counts.lost == 0
    assert driver.delivered == list(range(counts.accepted))
    assert driver.plan == TO_CLOUD
    assert driver.audit.asked == set()
    assert [say for say in driver.of(cmd.Say) if say.error is not None] == []
    assert len(driver.loaded) <= (2 if strategy.startswith("standby") or driver.session.pilot.standby else 1)
    driver.handle(ev.StopAsked())
    assert driver.loaded == {}


def test_ticks_after_the_end_are_never_due(session_of):
    driver = session_of()
    driver.handle(ev.FrameOffered("pixels"))
    driver.dead.add(CLOUD)
    driver.handle(ev.StopAsked())
    assert driver.session.due_s == math.inf
    driver.run(10.0)
