"""The tables beside `live`: pause-resume and standby, by example; then every strategy under random orders of events."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seamline.core.switching import (
    STRATEGIES,
    Command,
    Deadline,
    Drain,
    Drained,
    Event,
    FallBack,
    Generation,
    Idle,
    Loading,
    NodeFailed,
    NodeLost,
    NodePrepared,
    Paired,
    Pause,
    Pausing,
    Prepare,
    Refuse,
    Release,
    Restoring,
    Resume,
    Route,
    Serving,
    StandbyChosen,
    State,
    StopRequested,
    Strategy,
    SwitchRequested,
    enter,
    generations,
    is_switching,
    leave,
    live,
    pause_resume,
    routed,
    standby,
    strategy_named,
    validate,
)
from seamline.core.vocabulary.errors import InvalidTransition, UsageError
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan

EDGE, FOG, CLOUD = NodeId("edge"), NodeId("fog"), NodeId("cloud")
PLANS = tuple(
    Plan.parse(text)
    for text in (
        "edge[0:9]",
        "edge[0:4]u8 > fog[4:9]",
        "edge[0:2]u8 > fog[2:6]f16 > cloud[6:9]",
        "edge[0:0]jpeg > cloud[0:9]",
    )
)
OLD, NEW, NEWER = Generation(0, PLANS[1]), Generation(1, PLANS[3]), Generation(2, PLANS[0])
AGAIN = Generation(2, OLD.plan)


def run(table: Strategy, state: State, *events: Event) -> tuple[State, list[Command]]:
    """All commands of a sequence of events, and where it ends."""
    issued: list[Command] = []
    for event in events:
        state, commands = table(state, event)
        validate(state)
        issued += commands
    return state, issued


def prepared(generation: Generation) -> list[Event]:
    return [NodePrepared(generation.number, node) for node in generation.plan.nodes]


PAUSING, _ = pause_resume(Serving(OLD, 0), SwitchRequested(NEW))
LOADING, _ = pause_resume(PAUSING, Drained(0))


def test_pause_resume_holds_one_pipeline_at_a_time():
    state, commands = run(pause_resume, Serving(OLD, 0), SwitchRequested(NEW))
    assert (state, commands) == (Pausing(OLD, NEW), [Pause(OLD)])
    state, commands = run(pause_resume, state, Drained(0))
    assert commands == [Release(OLD), Prepare(NEW)]
    assert (generations(state), routed(state)) == ((NEW,), None)
    assert run(pause_resume, state, *prepared(NEW)) == (Serving(NEW, 1), [Route(NEW)])


def test_a_pause_does_not_wait_for_ever_for_frames_in_flight():
    assert run(pause_resume, PAUSING, Deadline(0))[1] == [Release(OLD), Prepare(NEW)]


def test_a_node_lost_before_loading_began_ends_the_pause_with_the_old_plan():
    state, commands = run(pause_resume, PAUSING, NodeLost(CLOUD))
    assert state == Serving(OLD, 1)
    assert commands == [Resume(OLD), Refuse(NEW, "`cloud` was lost before it could prepare", CLOUD)]


def test_a_failed_load_brings_the_old_plan_back():
    state, commands = run(pause_resume, LOADING, NodeFailed(1, CLOUD, "no memory"))
    assert state == Restoring(AGAIN, frozenset({EDGE, FOG}))
    assert commands == [Release(NEW), Prepare(AGAIN), Refuse(NEW, "`cloud` could not prepare: no memory", CLOUD)]
    assert run(pause_resume, state, *prepared(AGAIN)) == (Serving(AGAIN, 2), [Route(AGAIN)])


def test_when_the_old_plan_cannot_come_back_either_the_origin_serves_alone():
    state, commands = run(pause_resume, LOADING, Deadline(1), NodeLost(FOG))
    assert state == Idle(2)
    assert commands[-2:] == [Release(AGAIN), FallBack()]


def test_the_latest_request_wins_while_paused():
    assert run(pause_resume, PAUSING, SwitchRequested(NEWER)) == (Pausing(OLD, NEWER), [])
    state, commands = run(pause_resume, LOADING, SwitchRequested(NEWER))
    assert commands == [Release(NEW), Prepare(NEWER)]
    assert state == Loading(NEWER, frozenset({EDGE}), OLD.plan)


SERVED, _ = run(standby, Idle(), SwitchRequested(OLD), *prepared(OLD))
READY, _ = run(standby, SERVED, StandbyChosen(NEW), *prepared(NEW))


def test_a_guess_is_prepared_beside_the_pipeline_that_serves_and_not_routed():
    state, commands = run(standby, SERVED, StandbyChosen(NEW), *prepared(NEW))
    assert commands == [Prepare(NEW)]
    assert state == Paired(OLD, 1, NEW)


def test_a_right_guess_is_one_swap_and_the_old_pipeline_becomes_the_standby():
    request = Generation(2, NEW.plan)
    state, commands = run(standby, READY, SwitchRequested(request))
    assert commands == [Route(NEW, 2)]
    assert state == Paired(NEW, 2, OLD)
    assert run(standby, state, Drained(0)) == (state, [])
    assert run(standby, state, SwitchRequested(Generation(3, OLD.plan)))[1] == [Route(OLD, 3)]


def test_a_wrong_guess_is_retired_and_the_plan_made_on_demand():
    state, commands = run(standby, READY, SwitchRequested(NEWER))
    assert commands == [Drain(NEW), Prepare(NEWER)]
    assert is_switching(state)
    state, commands = run(standby, state, Drained(1), *prepared(NEWER))
    assert commands == [Release(NEW), Route(NEWER)]
    assert state == Paired(NEWER, 2, OLD)


def test_a_guess_that_is_still_in_progress_is_waited_for():
    state, _ = run(standby, SERVED, StandbyChosen(NEW))
    state, commands = run(standby, state, SwitchRequested(Generation(2, NEW.plan)), *prepared(NEW))
    assert commands == [Route(NEW, 2)]
    assert state == Paired(NEW, 2, OLD)


def test_a_guess_does_not_disturb_a_switch():
    state, _ = run(standby, READY, SwitchRequested(NEWER))
    after, commands = run(standby, state, StandbyChosen(Generation(3, PLANS[2])))
    assert (after.preparing, commands) == (NEWER, [])


def test_a_wanted_plan_that_fails_leaves_the_old_one_serving():
    state, commands = run(standby, SERVED, SwitchRequested(NEW), NodeFailed(1, CLOUD, "no memory"))
    assert state == Paired(OLD, 1)
    assert commands[-2:] == [Release(NEW), Refuse(NEW, "`cloud` could not prepare: no memory", CLOUD)]


def test_a_pipeline_whose_node_died_does_not_stand_by():
    state, commands = run(standby, READY, NodeLost(CLOUD))
    assert commands == [Drain(NEW)]
    assert state.standby is None
    state, commands = run(standby, READY, NodeLost(FOG), SwitchRequested(Generation(2, NEW.plan)))
    assert commands == [Route(NEW, 2), Drain(OLD)]
    assert state.standby is None


@pytest.mark.parametrize("table", [pause_resume, standby])
def test_words_that_cannot_be_true_are_refused(table: Strategy):
    served, _ = run(table, Idle(), SwitchRequested(OLD), *prepared(OLD))
    for event in (SwitchRequested(OLD), NodePrepared(7, EDGE), Deadline(7), Drained(7)):
        with pytest.raises(InvalidTransition):
            table(served, event)


def test_every_strategy_has_one_of_the_tables_tested_here():
    assert {one.table for one in STRATEGIES.values()} == {live, pause_resume, standby}


def test_an_unknown_strategy_is_named_with_those_there_are():
    with pytest.raises(UsageError, match=r"`teleport` is not a strategy.*pause-resume"):
        strategy_named("teleport")


def test_leaving_standby_keeps_the_routed_pipeline_only():
    state, commands = leave(READY)
    assert (routed(state), commands) == (OLD, [Drain(NEW)])
    assert live(state, Drained(1)) == (Serving(OLD, 1), [Release(NEW)])
    assert enter(Serving(OLD, 1), STRATEGIES["standby"]) == Paired(OLD, 1)
    assert enter(Serving(OLD, 1), STRATEGIES["pause-resume"]) == Serving(OLD, 1)


def test_a_strategy_is_not_left_in_the_middle_of_a_switch():
    for state in (PAUSING, LOADING, run(standby, SERVED, SwitchRequested(NEW))[0]):
        assert leave(state) == (state, [])


def any_event(state: State) -> st.SearchStrategy[Event]:
    """Whatever a real shell could deliver in `state`: late, doubled and unlucky, but not untrue."""
    known = st.integers(0, max(state.newest, 0))
    nodes = st.sampled_from([EDGE, FOG, CLOUD])
    kinds: list[st.SearchStrategy[Event]] = [
        st.sampled_from(PLANS).map(lambda plan: SwitchRequested(Generation(state.newest + 1, plan))),
        st.sampled_from(PLANS).map(lambda plan: StandbyChosen(Generation(state.newest + 1, plan))),
        nodes.map(NodeLost),
        st.just(StopRequested()),
    ]
    if state.newest >= 0:
        in_progress = [g.number for g in generations(state)] or [state.newest]
        kinds += [
            st.builds(NodePrepared, known, nodes),
            st.builds(NodePrepared, st.sampled_from(in_progress), nodes),
            st.builds(NodePrepared, st.sampled_from(in_progress), nodes),
            st.builds(NodeFailed, st.sampled_from(in_progress), nodes, st.just("no memory")),
            st.builds(Deadline, known),
        ]
    drainable = [g.number for g in generations(state) if g != routed(state)]
    if isinstance(state, Pausing):
        drainable.append(state.now.number)
    in_preparation = {getattr(getattr(state, name, None), "number", -1) for name in ("new", "preparing", "again")}
    if drainable := [number for number in drainable if number not in in_preparation]:
        kinds.append(st.sampled_from(drainable).map(Drained))
    return st.one_of(kinds)


class Shell:
    """Carries commands out on paper: who holds what, what is routed, which of 4 frames per step are where."""

    def __init__(self) -> None:
        self.loaded: dict[int, Generation] = {}
        self.ready: dict[int, set[NodeId]] = {}
        self.in_use: Generation | None = None
        self.is_paused = False
        self.in_flight: dict[int, int] = {}
        self.n_accepted = self.n_answered = 0
        self.asked: set[int] = set()

    def frame(self) -> None:
        """One frame is offered; -1 stands for the origin alone."""
        if not self.is_paused:
            number = self.in_use.number if self.in_use else -1
            assert number == -1 or number in self.loaded, "a frame set out on a generation that nobody has loaded"
            self.in_flight[number] = self.in_flight.get(number, 0) + 1
            self.n_accepted += 1

    def answer(self, number: int) -> None:
        """All frames of one generation get their answer (those of a released one were completed on the origin)."""
        self.n_answered += self.in_flight.pop(number, 0)

    def handle(self, event: Event) -> None:
        match event:
            case NodePrepared(number, node):
                self.ready.setdefault(number, set()).add(node)
            case SwitchRequested(new):
                self.asked.add(new.number)
            case Drained(number):
                self.answer(number)

    def obey(self, command: Command, is_end: bool) -> None:
        match command:
            case Prepare(generation):
                assert generation.number not in self.loaded, "prepared twice"
                self.loaded[generation.number] = generation
                self.ready[generation.number] = set()
            case Route(generation, request):
                assert self.loaded[generation.number] == generation, "routed without being loaded"
                assert self.ready[generation.number] >= set(generation.plan.nodes), "routed before all nodes were ready"
                assert request is None or request in self.asked
                self.in_use, self.is_paused = generation, False
            case Release(generation):
                assert self.loaded.pop(generation.number) == generation, "released without being loaded"
                assert is_end or self.is_paused or generation != self.in_use, "released what frames set out on"
                if generation == self.in_use:
                    self.in_use = None
                self.answer(generation.number)
            case Pause(generation):
                assert generation == self.in_use
                assert not self.is_paused
                self.is_paused = True
            case Resume(generation):
                assert generation == self.in_use
                assert self.is_paused
                self.is_paused = False
            case FallBack():
                assert self.is_paused
                self.in_use, self.is_paused = None, False
            case Drain(generation):
                assert generation != self.in_use
            case Refuse(generation):
                assert generation.number in self.asked


TABLES = sorted({strategy.table for strategy in STRATEGIES.values()}, key=lambda table: table.__name__)


@pytest.mark.parametrize("table", TABLES)
@given(data=st.data())
@settings(max_examples=40)
def test_no_order_of_events_loses_a_frame_or_leaves_a_state_without_a_way_out(table: Strategy, data: st.DataObject):
    state: State = Idle()
    shell = Shell()
    for _ in range(data.draw(st.integers(1, 25))):
        event = data.draw(any_event(state))
        shell.handle(event)
        state, commands = table(state, event)
        validate(state)
        for command in commands:
            shell.obey(command, isinstance(event, StopRequested))
        if isinstance(event, StopRequested):
            shell.is_paused = False
        shell.frame()
        assert shell.loaded == {one.number: one for one in generations(state)}
        if not shell.is_paused:
            assert routed(state) == shell.in_use
    for _ in range(4):  # whatever hangs has its deadline, and that is enough
        for one in generations(state):
            state, commands = table(state, Deadline(one.number))
            for command in commands:
                shell.obey(command, False)
    assert not is_switching(state)
    assert not shell.is_paused, "paused for ever"
    n_before = shell.n_accepted
    shell.frame()
    assert shell.n_accepted == n_before + 1
    state, commands = table(state, StopRequested())
    for command in commands:
        shell.obey(command, True)
    shell.answer(-1)
    assert not shell.loaded, "prepared and never released"
    assert shell.n_answered == shell.n_accepted
