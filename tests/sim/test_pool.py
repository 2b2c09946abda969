"""Runs made by several processes are the runs made by one."""

import io
import subprocess
import sys

import numpy as np
import pytest

from seamline.sim import POLICIES, compare, generate
from seamline.sim.compare import compared_by
from seamline.sim.pool import LEAST_FRAMES, Pool, n_helpers, receive, send, serve
from seamline.sim.run import Play, Run, made
from seamline.sim.stage_work import StageWorkTable


def same(one: Run, other: Run) -> bool:
    """Whether both are the same to the last bit."""
    arrays = ("latency_s", "accepted_s", "wait_s")
    fields = [name for name in Run.__dataclass_fields__ if name not in arrays]
    figures = all(getattr(one, name) == getattr(other, name) for name in fields)
    return figures and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays)


@pytest.fixture
def scene(make_scene):
    return make_scene(generate("steps", 1, 60.0), duration_s=30.0)


def test_a_helper_changes_nothing_but_the_time_it_takes(scene):
    told: list[str] = []
    with Pool(scene, 1, told.append) as pool:
        shared = compared_by(pool, scene)
    alone = compare(scene)
    assert set(told) >= {"adaptive", "last_value", "offload", "static_best", "oracle"}
    assert list(shared.runs) == list(alone.runs)
    assert all(same(shared.runs[name], alone.runs[name]) for name in POLICIES)


def test_what_a_helper_that_dies_had_to_make_is_made_here(scene):
    with Pool(scene, 1) as pool:
        (helper,) = pool._processes  # what a crash of it does cannot be had otherwise
        helper.kill()
        shared = compared_by(pool, scene, ("adaptive", "local"))
    assert same(shared.runs["adaptive"], compare(scene, ("adaptive",)).runs["adaptive"])


def interrupted(pool: Pool) -> None:
    with pool:
        pool.begin(Play("adaptive"))
        raise KeyboardInterrupt


def test_helpers_end_with_the_pool_even_when_it_is_left_in_the_middle(scene):
    pool = Pool(scene, 2)
    with pytest.raises(KeyboardInterrupt):
        interrupted(pool)
    assert all(helper.returncode is not None for helper in pool._processes)


def test_a_helper_makes_every_run_asked_for_until_its_input_ends(scene):
    asked, answers = io.BytesIO(), io.BytesIO()
    send(asked, scene)
    send(asked, Play("local"))
    asked.seek(0)
    serve(asked, answers)
    answers.seek(0)
    run = receive(answers, Run)
    assert run is not None
    assert same(run, compare(scene, ("local",)).runs["local"])
    assert receive(answers, Run) is None


def test_a_helper_without_a_scene_ends_in_peace():
    outcome = subprocess.run(
        [sys.executable, "-c", "from seamline.sim.pool import main; main()"], input=b"", capture_output=True, timeout=60
    )
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, b"", b"")


def test_helpers_are_started_only_where_they_pay(scene, make_scene):
    assert n_helpers(scene, 9) == 0
    long = make_scene(generate("steps", 1, 60.0), fps=10.0, duration_s=LEAST_FRAMES / 10.0)
    assert 0 <= n_helpers(long, 2) <= 1
    assert n_helpers(long, 1) == 0


def test_nobody_plays_what_is_no_policy(scene):
    with pytest.raises(ValueError, match="nobody plays luck"):
        made(scene, Play("luck"), StageWorkTable(scene))
