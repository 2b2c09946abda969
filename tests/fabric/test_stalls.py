"""Nodes that were silent for longer than the lease: told of with the way out, once for each length."""

from __future__ import annotations

from seamline.fabric.stalls import LONGEST_STALL_S, Stalls


def told(stalls: Stalls, *tokens: tuple[str, bool, float], node: str = "fog") -> list[str]:
    found = [stalls.token(node, incarnation, alive, now_s) for incarnation, alive, now_s in tokens]
    return [str(stall) for stall in found if stall is not None]


def test_a_node_that_comes_back_as_the_same_process_was_silent_and_the_hint_names_a_lease():
    (words,) = told(Stalls(0.4), ("a", True, 0.0), ("a", False, 10.0), ("a", True, 10.8))
    assert words.startswith("`fog` was silent for 1.2 s and is back")
    assert words.endswith("hint: start all nodes with --lease 3")


def test_another_process_of_the_same_name_was_no_stall():
    assert told(Stalls(0.4), ("a", True, 0.0), ("a", False, 10.0), ("b", True, 10.8)) == []


def test_an_outage_is_no_stall():
    assert told(Stalls(0.4), ("a", True, 0.0), ("a", False, 10.0), ("a", True, 10.0 + LONGEST_STALL_S)) == []


def test_the_same_is_not_told_again_but_a_much_longer_one_is():
    stalls = Stalls(0.4)
    stall = ("a", False, 10.0), ("a", True, 10.6)
    assert len(told(stalls, *stall)) == 1
    assert told(stalls, *stall) == []
    assert told(stalls, ("a", False, 20.0), ("a", True, 20.9)) == []
    assert len(told(stalls, ("a", False, 30.0), ("a", True, 31.5))) == 1
    assert len(told(stalls, *stall, node="cloud")) == 1


def test_tokens_that_went_for_good_are_forgotten():
    stalls = Stalls(0.4)
    for number in range(100):
        stalls.token("fog", str(number), True, float(number))
        stalls.token("fog", str(number), False, number + 0.5)
    assert len(stalls._went_s) <= LONGEST_STALL_S + 1
