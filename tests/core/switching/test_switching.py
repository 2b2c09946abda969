"""Events in, commands out; then random orders of events against the promises of the table."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seamline.core.switching import (
    Command,
    Deadline,
    Drained,
    Draining,
    Event,
    Generation,
    Idle,
    NodeFailed,
    NodeLost,
    NodePrepared,
    Prepare,
    Preparing,
    Refuse,
    Release,
    Route,
    Serving,
    State,
    StopRequested,
    SwitchRequested,
    generations,
    live,
    routed,
    validate,
)
from seamline.core.vocabulary.errors import InvalidTransition
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
OLD = Generation(0, PLANS[0])
NEW = Generation(1, PLANS[1])
NEWER = Generation(2, PLANS[3])


def run(state: State, *events: Event) -> tuple[State, list[Command]]:
    """All commands of a sequence of events, and where it ends."""
    issued: list[Command] = []
    for event in events:
        state, commands = live(state, event)
        validate(state)
        issued += commands
    return state, issued


def prepared(generation: Generation) -> list[Event]:
    return [NodePrepared(generation.number, node) for node in generation.plan.nodes]


SERVING = Serving(OLD, 0)
WARMING, _ = run(SERVING, SwitchRequested(NEW))
DRAINING, _ = run(WARMING, *prepared(NEW))


def test_the_first_plan_is_routed_when_its_node_is_ready():
    assert run(Idle(), SwitchRequested(OLD)) == (Preparing(None, OLD, frozenset({EDGE})), [Prepare(OLD)])
    assert run(Idle(), SwitchRequested(OLD), *prepared(OLD)) == (SERVING, [Prepare(OLD), Route(OLD)])


def test_old_pipeline_serves_until_the_new_one_is_ready():
    state, commands = run(SERVING, SwitchRequested(NEW))
    assert (routed(state), commands) == (OLD, [Prepare(NEW)])
    state, commands = run(state, NodePrepared(1, EDGE))
    assert (routed(state), commands) == (OLD, [])
    state, commands = run(state, NodePrepared(1, FOG))
    assert (routed(state), commands) == (NEW, [Route(NEW)])


def test_one_node_saying_ready_twice_is_not_two_nodes():
    state, commands = run(WARMING, NodePrepared(1, EDGE), NodePrepared(1, EDGE))
    assert (routed(state), commands) == (OLD, [])


def test_the_old_pipeline_is_released_after_its_last_frame():
    assert run(DRAINING, Drained(0)) == (Serving(NEW, 1), [Release(OLD)])


def test_a_drain_that_takes_too_long_is_cut_off():
    assert run(DRAINING, Deadline(0)) == (Serving(NEW, 1), [Release(OLD)])


@pytest.mark.parametrize(
    ("trouble", "reason", "node"),
    [
        (NodeFailed(1, FOG, "out of memory"), "`fog` could not prepare: out of memory", FOG),
        (NodeLost(FOG), "`fog` was lost while preparing", FOG),
        (Deadline(1), "`edge`, `fog` did not get ready in time", None),
    ],
)
def test_old_pipeline_keeps_serving_when_the_new_one_cannot_be_prepared(trouble: Event, reason: str, node):
    # the number of the failed generation is not used again
    assert run(WARMING, trouble) == (Serving(OLD, 1), [Release(NEW), Refuse(NEW, reason, node)])


def test_a_deadline_names_the_one_node_that_was_silent():
    assert run(WARMING, NodePrepared(1, EDGE), Deadline(1))[1][-1] == Refuse(
        NEW, "`fog` did not get ready in time", FOG
    )


def test_a_first_plan_that_fails_leaves_nothing_routed_and_the_way_open():
    state, _ = run(Idle(), SwitchRequested(NEW), NodeLost(FOG))
    assert state == Idle(1)
    assert run(state, SwitchRequested(NEWER))[1] == [Prepare(NEWER)]


def test_the_latest_request_wins_while_warming():
    state, commands = run(WARMING, SwitchRequested(NEWER))
    assert commands == [Release(NEW), Prepare(NEWER)]
    assert run(state, *prepared(NEW)) == (state, [])
    assert run(state, *prepared(NEWER))[1] == [Route(NEWER)]


def test_a_request_while_draining_does_not_wait_for_the_drain():
    state, commands = run(DRAINING, SwitchRequested(NEWER))
    assert (routed(state), commands) == (NEW, [Prepare(NEWER)])
    assert run(state, Drained(0))[1] == [Release(OLD)]
    state, commands = run(state, *prepared(NEWER))
    assert state == Draining(NEWER, (OLD, NEW), 2)
    assert commands == [Route(NEWER)]


def test_a_failed_request_while_draining_goes_back_to_draining():
    state, _ = run(DRAINING, SwitchRequested(NEWER), NodeLost(CLOUD))
    assert state == Draining(NEW, (OLD,), 2)


def test_a_node_that_dies_under_the_routed_pipeline_is_the_policys_business():
    assert run(Serving(NEW, 1), NodeLost(FOG)) == (Serving(NEW, 1), [])
    assert run(DRAINING, NodeLost(FOG)) == (DRAINING, [])


def test_stopping_releases_everything():
    state, commands = run(DRAINING, SwitchRequested(NEWER), StopRequested())
    assert (state, commands) == (Idle(2), [Prepare(NEWER), Release(OLD), Release(NEW), Release(NEWER)])


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (SERVING, SwitchRequested(OLD)),  # numbers must rise
        (SERVING, NodePrepared(7, EDGE)),  # never requested
        (SERVING, Deadline(7)),
        (SERVING, Drained(0)),  # the routed one cannot have answered its last frame
        (WARMING, Drained(1)),
        (Idle(), NodeFailed(0, EDGE, "no")),
    ],
)
def test_words_that_cannot_be_true_are_refused(state: State, event: Event):
    with pytest.raises(InvalidTransition):
        live(state, event)


def any_event(state: State) -> st.SearchStrategy[Event]:
    """Whatever a real shell could deliver in `state`: late, doubled and unlucky, but not untrue."""
    known = st.integers(0, max(state.newest, 0))
    nodes = st.sampled_from([EDGE, FOG, CLOUD])
    kinds: list[st.SearchStrategy[Event]] = [
        st.sampled_from(PLANS).map(lambda plan: SwitchRequested(Generation(state.newest + 1, plan))),
        nodes.map(NodeLost),
        st.just(StopRequested()),
    ]
    if state.newest >= 0:
        kinds += [
            st.builds(NodePrepared, known, nodes),
            st.builds(NodePrepared, st.just(state.newest), nodes),
            st.builds(NodePrepared, st.just(state.newest), nodes),
            st.builds(NodeFailed, known, nodes, st.just("no memory")),
            st.builds(Deadline, known),
        ]
    finished = [g.number for g in generations(state) if g != routed(state)]
    if isinstance(state, Preparing):
        finished.remove(state.new.number)
    if finished:
        kinds.append(st.sampled_from(finished).map(Drained))
    return st.one_of(kinds)


@given(st.data())
@settings(max_examples=40)
def test_no_order_of_events_breaks_a_promise(data: st.DataObject):
    state: State = Idle()
    is_prepared: dict[int, set[NodeId]] = {}
    loaded: dict[int, Generation] = {}
    in_use: Generation | None = None
    for _ in range(data.draw(st.integers(1, 25))):
        event = data.draw(any_event(state))
        if isinstance(event, NodePrepared):
            is_prepared.setdefault(event.generation, set()).add(event.node)
        state, commands = live(state, event)
        validate(state)
        for command in commands:
            match command:
                case Prepare(generation):
                    assert generation.number not in loaded
                    loaded[generation.number] = generation
                    is_prepared[generation.number] = set()
                case Route(generation):
                    assert loaded[generation.number] == generation
                    assert is_prepared[generation.number] >= set(generation.plan.nodes)
                    in_use = generation
                case Release(generation):
                    assert loaded.pop(generation.number) == generation
                    assert generation != in_use or isinstance(event, StopRequested)
                case Refuse(generation):
                    assert generation != in_use
        if isinstance(event, StopRequested):
            in_use = None
        assert routed(state) == in_use
        assert loaded == {generation.number: generation for generation in generations(state)}
    after, _ = run(state, *(Deadline(g.number) for g in generations(state)))
    assert isinstance(after, Idle | Serving)  # no state without a way out
