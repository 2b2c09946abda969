"""Short sessions in a world full of faults, by seed: nothing is lost, doubled, disordered or left behind.

SEAMLINE_STORM_SEEDS=2000 plays more of them; `python -m seamline.sim.storm` plays a million frames.
"""

import os

import pytest

from seamline.sim import storm
from seamline.sim.faults import Kind
from seamline.sim.storm import Trial, run_trial

N_SEEDS = int(os.environ.get("SEAMLINE_STORM_SEEDS", "100"))
N_FRAMES = 100
"""Per session; about so many are accepted."""

N_TOGETHER = 10


@pytest.mark.parametrize("first", range(1, N_SEEDS + 1, N_TOGETHER))
def test_no_fault_loses_doubles_or_disorders_a_frame_and_the_best_plan_returns(first: int):
    n_frames = 0
    for seed in range(first, min(first + N_TOGETHER, N_SEEDS + 1)):
        trial = Trial.of(seed, n_frames=N_FRAMES)
        outcome = run_trial(trial)
        if outcome.violation is not None:
            pytest.fail("\n".join(run_trial(trial, is_telling=True).story))
        n_frames += outcome.n_frames
    assert n_frames > N_TOGETHER * N_FRAMES // 3


def test_a_seed_is_one_session_and_every_kind_of_fault_occurs():
    assert Trial.of(7) == Trial.of(7)
    kinds = {fault.kind for seed in range(60) for fault in Trial.of(seed).faults.faults}
    assert kinds == set(Kind)
    one, other = (run_trial(Trial.of(7)) for _ in range(2))
    assert one == other


def test_a_violation_ends_the_storm_with_its_seed_and_story(monkeypatch, capsys):
    def check(*arguments: object, **options: object) -> None:
        raise storm.Violation("nothing is ever good enough", 3)

    monkeypatch.setattr(storm, "check_best_plan", check)
    assert storm.main(["--frames", "100", "--seed", "5"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("seed 5: nothing is ever good enough")
    assert "frame 3:" in said
    assert "--seed 5 --one" in said


def test_the_command_counts_what_it_played(capsys):
    assert storm.main(["--frames", "100", "--seed", "5", "--one"]) == 0
    assert "lost 0, doubled 0, disordered 0" in capsys.readouterr().out
