"""What one node does for streams: events in, commands out."""

from __future__ import annotations

import re

import pytest

from seamline.core.cost.feasibility import memory_bytes
from seamline.core.hosting import commands as cmd
from seamline.core.hosting import events as ev
from seamline.core.hosting import host as host_module
from seamline.core.hosting.admission import MAX_PER_ORIGIN, MAX_PER_STREAM, MAX_WAITING, Need, needed_bytes
from seamline.core.hosting.host import ALL, MOST_OVERDUE_S, ORPHAN_S, OVERDUE_FACTOR, OVERDUE_S
from seamline.core.switching.named import PreparationMode
from seamline.core.vocabulary.nodes import NodeId
from seamline.core.vocabulary.plans import Plan, Segment

SHARED = PreparationMode.SHARED
EDGE, CAM, FOG = NodeId("edge"), NodeId("cam"), NodeId("fog")


def test_the_table_names_every_event():
    rows = re.findall(r"^    ([A-Z][A-Za-z]+)  ", host_module.__doc__ or "", re.MULTILINE)
    assert sorted(rows) == sorted(kind.__name__ for kind in ev.Event.__args__)


# -- a generation ------------------------------------------------------------------------------------------------------


def test_a_generation_waits_for_its_model_is_prepared_and_answered(world):
    request = world.prepare("edge", "s")
    assert world.of(cmd.Obtain) == [cmd.Obtain("m", EDGE)]
    assert world.of(cmd.PrepareSegments) == []
    world.obtained()
    (prepare,) = world.of(cmd.PrepareSegments)
    assert (prepare.stream, prepare.generation, prepare.stages) == ("s", 1, (1,))
    assert not world.host.holds("s", 1)
    world.hear(ev.SegmentsPrepared("s", 1, 0.25))
    answer = world.reply("edge", request)
    assert (answer.answer, answer.reason, answer.question) == (0.25, None, cmd.Question.PREPARE)
    assert world.host.holds("s", 1)


def test_a_request_that_comes_twice_is_prepared_once_and_both_are_answered(world):
    first = world.prepare("edge", "s")
    second = world.prepare("edge", "s")
    world.obtained()
    third = world.prepare("edge", "s")
    world.hear(ev.SegmentsPrepared("s", 1, 0.25))
    fourth = world.prepare("edge", "s")
    assert len(world.of(cmd.PrepareSegments)) == 1
    assert [world.reply("edge", one).answer for one in (first, second, third, fourth)] == [0.25] * 4


def test_the_first_plan_of_a_stream_is_news_and_so_is_its_end(world):
    world.held("edge", "s", 1)
    world.held("edge", "s", 2)
    assert [one.stream for one in world.of(cmd.StreamBegan)] == ["s"]
    assert [one.stream for one in world.of(cmd.PlanReady)] == ["s"]
    world.hear(ev.ReleaseAsked(EDGE, "s", ALL))
    assert world.of(cmd.StreamEnded) == [cmd.StreamEnded("s")]
    assert world.of(cmd.ReleaseSegments) == [cmd.ReleaseSegments("s", 1), cmd.ReleaseSegments("s", 2)]
    assert world.host.streams == {}


def test_a_generation_that_cannot_be_prepared_is_refused_and_forgotten(world):
    request = world.prepare("edge", "s")
    world.obtained()
    world.hear(ev.PrepareFailed("s", 1, "no such operator"))
    assert world.reason("edge", request) == "no such operator"
    assert world.host.n_generations == 0
    assert world.reply("edge", world.held("edge", "t")).answer == 0.1, "its turn is over"


def test_a_model_that_cannot_be_had_refuses_everything_that_waits_for_it(world):
    first, second = world.prepare("edge", "s"), world.profile("cam")
    world.hear(ev.ObtainFailed("m", "it does not fit on the disk"))
    assert world.reason("edge", first) == world.reason("cam", second) == "it does not fit on the disk"


def test_a_plan_without_a_stage_here_is_refused(world):
    request = world.prepare("edge", "s", plan=Plan.parse("edge[0:4]"))
    assert "has no stage for `fog`" in world.reason("edge", request)


def test_a_plan_beyond_the_last_cut_is_refused(world):
    request = world.prepare("edge", "s", plan=Plan.parse("edge[0:2]raw > fog[2:9]"))
    world.obtained()
    assert world.reason("edge", request) == "the model has no cut beyond 4"


# -- releases ----------------------------------------------------------------------------------------------------------


def test_a_release_of_one_that_waits_for_its_model_gives_the_model_up(world):
    request = world.prepare("edge", "s")
    world.hear(ev.ReleaseAsked(EDGE, "s", 1))
    assert "released before" in world.reason("edge", request)
    assert world.of(cmd.GiveUp) == [cmd.GiveUp("m")]
    assert world.of(cmd.ReleaseSegments) == []


def test_a_model_that_is_wanted_again_while_it_is_given_up_is_obtained_again(world):
    world.prepare("edge", "s", 1)
    world.hear(ev.ReleaseAsked(EDGE, "s", 1))
    request = world.prepare("edge", "s", 2)
    world.hear(ev.ObtainFailed("m", "nobody wants it"))
    assert len(world.of(cmd.Obtain)) == 2
    assert world.reply("edge", request) is None
    world.obtained()
    world.hear(ev.SegmentsPrepared("s", 2, 0.1))
    assert world.reply("edge", request).answer == 0.1


def test_a_model_that_cannot_be_had_after_it_was_given_up_is_refused(world):
    world.prepare("edge", "s", 1)
    world.hear(ev.ReleaseAsked(EDGE, "s", 1))
    request = world.prepare("edge", "s", 2)
    for reason in ("nobody wants it", "no such model"):
        world.hear(ev.ObtainFailed("m", reason))
    assert world.reason("edge", request) == "no such model"


def test_a_model_that_waits_for_its_turn_and_is_wanted_no_more_is_not_obtained(world):
    for number in range(3):
        world.prepare("edge", f"s{number}", model=f"m{number}")
    world.hear(ev.ReleaseAsked(EDGE, "s2", 1))
    world.hear(ev.ObtainFailed("m0", "no"))
    assert [one.model_id for one in world.of(cmd.Obtain)] == ["m0", "m1"]
    assert world.of(cmd.GiveUp) == []


def test_what_is_released_while_it_is_prepared_leaves_nothing_behind(world):
    request = world.prepare("edge", "s")
    world.obtained()
    world.hear(ev.ReleaseAsked(EDGE, "s", 1))
    assert "released before" in world.reason("edge", request)
    world.hear(ev.SegmentsPrepared("s", 1, 0.1))
    assert world.of(cmd.ReleaseSegments) == [cmd.ReleaseSegments("s", 1)] * 2
    assert world.host.n_generations == 0


@pytest.mark.parametrize("generation", [1, ALL])
def test_a_release_that_overtakes_its_request_counts(world, generation):
    world.hear(ev.ReleaseAsked(EDGE, "s", generation))
    assert "released before" in world.reason("edge", world.prepare("edge", "s", 1))
    assert world.of(cmd.Obtain) == []


def test_nobody_else_releases_a_stream_or_takes_its_name(world):
    world.held("edge", "s")
    world.hear(ev.ReleaseAsked(CAM, "s", ALL))
    assert world.host.holds("s", 1)
    assert world.reason("cam", world.prepare("cam", "s", 2)) == "stream `s` is of `edge`"


def test_a_release_by_another_node_refuses_nothing_that_comes_later(world):
    world.hear(ev.ReleaseAsked(CAM, "s", ALL))
    world.held("edge", "s")
    assert world.host.holds("s", 1)


# -- origins that go ---------------------------------------------------------------------------------------------------


def test_streams_of_an_origin_that_is_gone_are_freed_after_a_while(world):
    world.held("edge", "s")
    waiting = [world.prepare("edge", "t", model="other"), world.profile("edge", model="other")]
    world.held("cam", "u")
    world.hear(ev.PeerChanged(EDGE, False))
    world.hear(ev.Tick(), ORPHAN_S - 1)
    assert world.host.holds("s", 1)
    world.hear(ev.Tick(), 1)
    assert world.host.streams == {"u": CAM}
    assert [world.reason("edge", one) for one in waiting] == ["`edge` is gone"] * 2
    assert cmd.GiveUp("other") in world.commands
    assert world.of(cmd.StreamEnded) == [cmd.StreamEnded("s", "`edge` is gone"), cmd.StreamEnded("t", "`edge` is gone")]


def test_an_origin_that_is_back_in_time_keeps_its_segments(world):
    world.held("edge", "s")
    world.hear(ev.PeerSeen(EDGE, "a"))
    world.hear(ev.PeerChanged(EDGE, False))
    world.hear(ev.PeerChanged(EDGE, True), ORPHAN_S - 1)
    world.hear(ev.PeerSeen(EDGE, "a"))
    world.hear(ev.Tick(), 10 * ORPHAN_S)
    assert world.host.holds("s", 1)


def test_another_process_in_the_place_of_an_origin_has_none_of_its_segments(world):
    world.hear(ev.PeerSeen(EDGE, "a"))
    world.held("edge", "s")
    world.hear(ev.PeerSeen(EDGE, "b"))
    assert world.host.streams == {}
    assert cmd.ReleaseSegments("s", 1) in world.commands


# -- admission ---------------------------------------------------------------------------------------------------------


def test_an_origin_holds_so_many_generations_and_is_told_why_it_gets_no_more(world):
    for number in range(MAX_PER_ORIGIN):
        world.held("edge", f"s{number}")
    request = world.prepare("edge", "one-more")
    assert f"{MAX_PER_ORIGIN} generations of streams that start there are held here" in world.reason("edge", request)
    assert "hint: " in world.reason("edge", request)
    assert world.reply("cam", world.held("cam", "other")).reason is None, "nobody else is refused for that"


def test_a_stream_holds_so_many_generations(world):
    for number in range(MAX_PER_STREAM):
        world.held("edge", "s", number)
    assert "of this stream" in world.reason("edge", world.prepare("edge", "s", 99))
    world.hear(ev.ReleaseAsked(EDGE, "s", 0))
    assert world.reply("edge", world.held("edge", "s", 100)).reason is None


def test_eight_hundred_requests_begin_a_few(world):
    for number in range(800):
        world.prepare("edge", f"s{number}", mode=PreparationMode.PRIVATE_SESSION)
    world.obtained()
    for number in range(MAX_PER_ORIGIN):
        world.hear(ev.SegmentsPrepared(f"s{number}", 1, 0.1))
    assert len(world.of(cmd.PrepareSegments)) == MAX_PER_ORIGIN == world.host.n_generations
    assert len(world.replies) == 800


def test_a_node_without_the_memory_says_how_much_is_missing(world):
    world.hear(ev.MemoryMeasured(1_000_000))
    request = world.prepare("edge", "s")
    world.obtained()
    reason = world.reason("edge", request)
    assert re.match(r"its segments need 2\.2 MB here, 2\.2 MB together, and 1\.0 may be used; hint: cut so", reason)
    assert world.host.n_generations == 0


def test_private_weights_of_every_stream_count(world):
    world.hear(ev.MemoryMeasured(5_000_000))
    own = PreparationMode.PRIVATE_WEIGHTS
    assert world.reply("edge", world.held("edge", "a", mode=own)).reason is None
    assert world.reply("cam", world.held("cam", "b", mode=own)).reason is None
    third = world.prepare("edge", "c", mode=own)
    world.obtained()
    assert "beside those of 2 other streams, 6.6 MB together, and 5.0 may be used" in world.reason("edge", third)


def test_weights_that_streams_share_count_once(world):
    world.hear(ev.MemoryMeasured(5_000_000))
    for number in range(10):
        assert world.reply("edge", world.held("edge", f"s{number}", cut=0)).reason is None


def test_the_plan_before_is_on_its_way_out_and_does_not_count(world):
    world.hear(ev.MemoryMeasured(5_000_000))
    own = PreparationMode.PRIVATE_WEIGHTS
    for generation in (1, 2, 3):
        assert world.reply("edge", world.held("edge", "s", generation, cut=0, mode=own)).reason is None


def test_a_plan_smaller_than_the_one_on_its_way_out_is_admitted_when_memory_falls(world):
    world.hear(ev.MemoryMeasured(5_000_000))
    world.held("edge", "s", 1, cut=0)
    world.hear(ev.MemoryMeasured(3_000_000))
    assert world.reply("edge", world.held("edge", "s", 2, cut=2)).reason is None


def test_activations_of_segments_that_share_weights_count_for_each(world):
    def needed(*streams: str) -> int:
        needs = [Need(stream=one, model_id="m", segments=(Segment(2, 4),), mode=SHARED) for one in streams]
        return needed_bytes(needs, {"m": cuts})

    cuts = world.cuts_of(weights_bytes=4_000_000)
    assert needed("a") == memory_bytes(Segment(2, 4), cuts)
    assert 0 < needed("a", "b") - needed("a") < needed("a") / 2


def test_what_waits_for_its_turn_counts_too(world):
    world.hear(ev.MemoryMeasured(5_000_000))
    requests = [world.prepare("edge", f"s{number}", mode=PreparationMode.PRIVATE_WEIGHTS) for number in range(5)]
    world.obtained()
    assert [world.reply("edge", one) is not None for one in requests] == [False, False, True, True, True]


def test_streams_of_this_node_are_its_users_and_never_refused(world):
    world.hear(ev.MemoryMeasured(1))
    for number in range(2 * MAX_PER_STREAM):
        request = world.prepare("fog", "own", number, plan=Plan.parse("fog[0:4]"))
        world.obtained()
        world.hear(ev.SegmentsPrepared("own", number, 0.1))
        assert world.reply("fog", request).reason is None


def test_questions_of_one_origin_wait_in_bounded_number(world):
    requests = [world.profile("edge", model=f"m{number}") for number in range(MAX_WAITING + 1)]
    assert f"the most is {MAX_WAITING}" in world.reason("edge", requests[-1])
    assert world.reply("edge", requests[0]) is None


def test_requests_for_one_generation_wait_in_bounded_number(world):
    requests = [world.prepare("edge", "s") for _ in range(MAX_WAITING + 1)]
    assert f"{MAX_WAITING} requests wait" in world.reason("edge", requests[-1])
    world.obtained()
    world.hear(ev.SegmentsPrepared("s", 1, 0.25))
    assert {world.reply("edge", one).answer for one in requests[:-1]} == {0.25}


# -- turns -------------------------------------------------------------------------------------------------------------


def test_models_of_a_silent_source_hold_up_no_other_origin(world):
    for number in range(30):
        world.prepare("edge", f"s{number}", model=f"invented-{number}", source="nobody")
    assert len(world.of(cmd.Obtain)) == 2, "an origin has so many at once"
    request = world.prepare("cam", "victim")
    assert world.commands[-1] == cmd.Obtain("m", CAM)
    world.obtained()
    world.hear(ev.SegmentsPrepared("victim", 1, 0.1))
    assert world.reply("cam", request).answer == 0.1


def test_a_model_that_waits_behind_what_is_stuck_begins_when_another_origin_wants_it(world):
    for number in range(3):
        world.prepare("edge", f"s{number}", model=f"m{number}")
    assert [one.model_id for one in world.of(cmd.Obtain)] == ["m0", "m1"]
    world.prepare("cam", "t", model="m2")
    (_, _, third) = world.of(cmd.Obtain)
    assert third.model_id == "m2"
    assert world.commands[-1] == cmd.AddSource("m2", CAM)
    world.hear(ev.ObtainFailed("m0", "no"))
    assert len(world.of(cmd.Obtain)) == 3, "it is not begun a second time"


def test_a_model_that_is_here_before_its_turn_has_come_is_not_obtained_then(world):
    for number, model in enumerate("xyz"):
        world.prepare("edge", f"s{number}", model=model)
    world.obtained("z")
    world.obtained("x")
    assert [one.model_id for one in world.of(cmd.Obtain)] == ["x", "y"]


def test_another_origin_brings_another_source(world):
    world.prepare("edge", "s")
    world.prepare("cam", "t")
    world.profile("cam")
    assert world.of(cmd.Obtain) == [cmd.Obtain("m", EDGE)]
    assert world.of(cmd.AddSource) == [cmd.AddSource("m", CAM)]


def test_segments_of_one_origin_are_prepared_in_turn_those_of_another_beside(world):
    for stream in ("a", "b"):
        world.prepare("edge", stream)
    world.prepare("cam", "c")
    world.obtained()
    assert [one.stream for one in world.of(cmd.PrepareSegments)] == ["a", "c"]
    world.hear(ev.SegmentsPrepared("a", 1, 0.1))
    assert [one.stream for one in world.of(cmd.PrepareSegments)] == ["a", "c", "b"]


def test_one_thing_is_measured_at_a_time(world):
    first, second = world.profile("edge"), world.profile("cam")
    world.obtained()
    (job,) = world.of(cmd.Profile)
    world.hear(ev.Measured(job.job, "costs"))
    assert world.reply("edge", first).answer == "costs"
    assert world.reply("cam", second) is None
    assert len(world.of(cmd.Profile)) == 2


def test_measuring_that_takes_far_too_long_holds_up_nobody_else(world):
    world.profile("edge", budget_s=3.0)
    world.obtained()
    request = world.profile("cam", model="other")
    world.obtained("other")
    overdue_s = OVERDUE_S + OVERDUE_FACTOR * 3.0
    world.hear(ev.Tick(), overdue_s - 0.1)
    assert [one.model_id for one in world.of(cmd.Profile)] == ["m"]
    world.hear(ev.Tick(), 0.1)
    assert [one.model_id for one in world.of(cmd.Profile)] == ["m", "other"]
    world.hear(ev.Measured(world.of(cmd.Profile)[1].job, "costs"))
    assert world.reply("cam", request).answer == "costs"


def test_a_budget_of_a_day_is_overdue_like_any_other(world):
    world.profile("edge", budget_s=86400.0)
    world.obtained()
    world.profile("cam")
    world.obtained()
    world.hear(ev.Tick(), MOST_OVERDUE_S - 0.1)
    assert len(world.of(cmd.Profile)) == 1
    world.hear(ev.Tick(), 0.1)
    assert len(world.of(cmd.Profile)) == 2


def test_a_segment_is_timed_without_asking_for_its_model(world):
    world.hear(ev.TimeAsked(origin=EDGE, request=7, model_id="m", segment=Segment(1, 3)))
    (job,) = world.of(cmd.TimeSegment)
    world.hear(ev.Measured(job.job, None, "no such model"))
    assert world.reason("edge", 7) == "no such model"
