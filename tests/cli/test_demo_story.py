"""The demo's scenes, what is said of policies in them, and the sentence that ends it."""

from __future__ import annotations

import pytest

from seamline.cli.demo.story import (
    ADAPTIVE,
    LOCAL,
    STATIC,
    Answer,
    Scene,
    pace_warning,
    scene_figures,
    scenes_of,
    verdict,
)
from seamline.config import NodeSpec, SceneSpec, Testbed

NODES = (NodeSpec(name="edge", tier="edge"),)
SCENES = (Scene("good", 0.0, 4.0), Scene("bad", 4.0, 8.0))


def answers(*latencies_s: float, first: int = 0) -> list[Answer]:
    """One a second from 0.5 s on."""
    return [Answer(first + number, 0.5 + number, latency_s) for number, latency_s in enumerate(latencies_s)]


def test_scenes_follow_each_other_to_the_end_of_the_run():
    bed = Testbed(name="t", nodes=NODES, scenes=(SceneSpec(name="b", at_ratio=0.5), SceneSpec(name="a", at_s=0.0)))
    assert scenes_of(bed, 20.0) == (Scene("a", 0.0, 10.0), Scene("b", 10.0, 20.0))


def test_a_testbed_without_scenes_is_one():
    assert scenes_of(Testbed(name="t", nodes=NODES), 20.0) == (Scene("t", 0.0, 20.0),)


def test_what_comes_before_the_first_scene_is_one_too_and_what_comes_after_the_end_none():
    bed = Testbed(name="t", nodes=NODES, scenes=(SceneSpec(name="a", at_s=5.0), SceneSpec(name="b", at_s=30.0)))
    assert scenes_of(bed, 20.0) == (Scene("t", 0.0, 5.0), Scene("a", 5.0, 20.0))


def test_frames_count_in_the_scene_in_which_they_came():
    good, bad = scene_figures(SCENES, {ADAPTIVE: answers(1.0, 1.0, 1.0, 2.0, 5.0, 5.0)})
    assert (good.policies[ADAPTIVE].mean, bad.policies[ADAPTIVE].mean) == (1.25, 5.0)
    assert (good.policies[ADAPTIVE].answered, bad.policies[ADAPTIVE].answered) == (4, 2)


def test_a_number_that_nobody_answered_is_a_lost_frame():
    given = [one for one in answers(1.0, 1.0, 1.0) if one.frame != 1]
    assert scene_figures(SCENES, {ADAPTIVE: given})[0].policies[ADAPTIVE].lost == 1


def test_the_longest_gap_is_between_answers_though_it_began_in_the_scene_before():
    good, bad = scene_figures(SCENES, {ADAPTIVE: [Answer(0, 1.0, 0.5), Answer(1, 3.0, 2.5), Answer(2, 7.0, 0.5)]})
    assert good.policies[ADAPTIVE].longest_gap_s == 4.0
    assert bad.policies[ADAPTIVE].longest_gap_s == 4.0


def test_a_scene_without_answers_has_no_figures():
    bad = scene_figures(SCENES, {ADAPTIVE: answers(1.0), STATIC: []})[1]
    assert bad.policies[ADAPTIVE].mean is None
    assert bad.ahead_ratio is None


def test_the_verdict_says_less_more_and_as_long():
    given = {ADAPTIVE: answers(0.5, 0.5, 0.5, 0.5, 0.3, 0.3), STATIC: answers(1.0, 1.0, 1.0, 1.0, 0.3, 0.303)}
    assert verdict(scene_figures(SCENES, given)) == (
        'Beside the static split adaptive took 50 % less time in "good", as long in "bad"; it lost no frame.'
    )
    worse = {ADAPTIVE: answers(1.0), STATIC: answers(0.5)}
    assert '100 % more time in "good"' in verdict(scene_figures(SCENES, worse))


def test_a_run_of_adaptive_alone_is_compared_with_nothing():
    assert verdict(scene_figures(SCENES, {ADAPTIVE: answers(1.0)})) == "Adaptive ran alone: it lost no frame."


@pytest.mark.parametrize(("took_s", "is_said"), [(0.5, False), (0.51, False), (0.6, True)])
def test_a_computer_that_cannot_keep_the_pace_is_found_by_all_local(took_s: float, is_said: bool):
    figures = scene_figures(SCENES, {ADAPTIVE: answers(0.1), LOCAL: answers(took_s, took_s)})
    assert (pace_warning(figures, 0.5) is not None) == is_said
    assert pace_warning(scene_figures(SCENES, {ADAPTIVE: answers(9.0)}), 0.5) is None, "nobody ran it"
