"""Whatever is asked, whatever comes of it, in any order: every question has one answer, and nothing is left behind."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from seamline.core.hosting import commands as cmd
from seamline.core.hosting import events as ev
from seamline.core.hosting.host import ALL, ORPHAN_S
from seamline.core.vocabulary.nodes import NodeId

ORIGINS = ("edge", "cam", "fog")
names, streams, models = st.sampled_from(ORIGINS), st.sampled_from("abc"), st.sampled_from("xyz")
generations = st.integers(1, 4)
STEPS = st.one_of(
    st.tuples(st.just("prepare"), names, streams, generations, models),
    st.tuples(st.just("release"), names, streams, generations | st.just(ALL)),
    st.tuples(st.just("profile"), names, models),
    st.tuples(st.just("obtained"), models),
    st.tuples(st.just("lacking"), models),
    st.tuples(st.just("prepared"), streams, generations),
    st.tuples(st.just("unable"), streams, generations),
    st.tuples(st.just("measured"), st.integers(1, 6)),
    st.tuples(st.just("gone"), names),
    st.tuples(st.just("back"), names, st.sampled_from("12")),
    st.tuples(st.just("memory"), st.sampled_from((0, 3_000_000, 10**9))),
    st.tuples(st.just("later"), st.sampled_from((0.1, 9.0, 40.0))),
)


def play(world, step) -> None:
    match step:
        case ("prepare", origin, stream, generation, model):
            world.prepare(origin, f"{stream}-{origin}", generation, model=model)
        case ("release", origin, stream, generation):
            world.hear(ev.ReleaseAsked(NodeId(origin), f"{stream}-{origin}", generation))
        case ("profile", origin, model):
            world.profile(origin, model=model)
        case ("obtained", model):
            world.obtained(model)
        case ("lacking", model):
            world.hear(ev.ObtainFailed(model, "no"))
        case ("prepared" | "unable", stream, generation):
            for origin in ORIGINS:
                known = ev.SegmentsPrepared(f"{stream}-{origin}", generation, 0.1)
                world.hear(known if step[0] == "prepared" else ev.PrepareFailed(known.stream, generation, "no"))
        case ("measured", job):
            world.hear(ev.Measured(job, "costs"))
        case ("gone", origin):
            world.hear(ev.PeerChanged(NodeId(origin), False))
        case ("back", origin, incarnation):
            world.hear(ev.PeerChanged(NodeId(origin), True))
            world.hear(ev.PeerSeen(NodeId(origin), incarnation))
        case ("memory", n_bytes):
            world.hear(ev.MemoryMeasured(n_bytes))
        case ("later", seconds):
            world.hear(ev.Tick(), seconds)


@given(st.lists(STEPS, max_size=25))
@settings(max_examples=60, deadline=None)
def test_every_question_has_one_answer_and_all_that_was_prepared_is_released(make_world, steps):
    world = make_world()
    for step in steps:
        play(world, step)
    prepared: set[tuple[str, int]] = set()
    released: set[tuple[str, int]] = set()
    for origin in ORIGINS:
        world.hear(ev.PeerChanged(NodeId(origin), True))
    for _ in range(20):  # everything comes to its end
        begun, world.commands = world.commands, []
        released |= world.released(begun)
        prepared |= world.prepared(begun)
        for model in "xyz":
            world.hear(ev.ObtainFailed(model, "no"))
        for one in begun:
            if isinstance(one, cmd.PrepareSegments):
                world.hear(ev.SegmentsPrepared(one.stream, one.generation, 0.1))
            elif isinstance(one, cmd.Profile):
                world.hear(ev.Measured(one.job, "costs"))
    assert len(world.replies) == world._request, "a question is not answered"
    assert all(len(answers) == 1 for answers in world.replies.values())
    for origin in ORIGINS:
        world.hear(ev.PeerChanged(NodeId(origin), False))
    world.hear(ev.Tick(), ORPHAN_S)
    assert world.host.streams == {}
    released |= world.released(world.commands)
    assert prepared <= released
