"""Claims about hostile peers, damaged messages and leaps of the clock in a simulated world."""

from __future__ import annotations

from seamline.sim.faults import Kind
from seamline.sim.storm import Trial, run_trial


def seeds_with(kind: Kind, n: int) -> list[int]:
    found = [seed for seed in range(1, 200) if any(fault.kind is kind for fault in Trial.of(seed).faults.faults)]
    return found[:n]


def test_what_hostile_peers_say_is_heard_counted_and_changes_no_answer():
    outcomes = [run_trial(Trial.of(seed, n_frames=300)) for seed in seeds_with(Kind.HOSTILE, 3)]
    assert [outcome.violation for outcome in outcomes] == [None] * 3
    assert sum(outcome.n_strange for outcome in outcomes) > 0


def test_a_damaged_message_is_lost_and_its_frame_is_not():
    seed = next(seed for seed in range(1, 300) if Trial.of(seed).faults.damaged_ratio == 1e-2)
    outcome = run_trial(Trial.of(seed, n_frames=60))
    assert outcome.violation is None
    assert outcome.n_damaged > 0


def test_a_leap_of_the_clock_loses_nothing():
    for seed in seeds_with(Kind.CLOCK_JUMP, 3):
        assert run_trial(Trial.of(seed, n_frames=60)).violation is None
