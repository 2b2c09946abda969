"""Claims about `fabric.roster`: whose a name is, whatever tokens come and go."""

from __future__ import annotations

import pytest

from seamline.core.vocabulary.nodes import NodeId
from seamline.fabric import roster as rs
from seamline.fabric.roster import Roster, Standing

EDGE, FOG = NodeId("edge"), NodeId("fog")


@pytest.fixture
def roster() -> Roster:
    made = Roster(EDGE, "own")
    assert made.token(FOG, "first", True) == [(FOG, True)]
    return made


def test_a_second_run_of_a_name_is_left_out_until_the_first_is_gone(roster: Roster) -> None:
    epoch = roster.epoch(FOG)
    for number in range(20):
        assert roster.token(FOG, f"other{number}", True) == []
        assert roster.token(FOG, f"other{number}", False) == []
    assert roster.token(FOG, "second", True) == []
    assert (roster.epoch(FOG), roster.incarnation(FOG)) == (epoch, "first")
    assert roster.standing(FOG, "first") is Standing.CURRENT
    assert roster.standing(FOG, "second") is Standing.LEFT_OUT
    assert roster.duplicates() == {FOG}
    assert roster.token(FOG, "first", False) == [(FOG, False), (FOG, True)]
    assert roster.standing(FOG, "second") is Standing.CURRENT
    assert roster.epoch(FOG) != epoch
    assert roster.duplicates() == frozenset()


def test_a_restart_is_a_loss_and_a_return(roster: Roster) -> None:
    first = roster.epoch(FOG)
    assert roster.token(FOG, "first", True) == []
    assert roster.token(FOG, "first", False) == [(FOG, False)]
    assert roster.epoch(FOG) is None
    assert roster.token(FOG, "second", True) == [(FOG, True)]
    assert roster.epoch(FOG) not in (None, first)
    assert roster.token(FOG, "first", False) == []


def test_who_comes_back_after_another_took_its_name_is_left_out(roster: Roster) -> None:
    roster.token(FOG, "second", True)
    roster.token(FOG, "first", False)
    assert roster.token(FOG, "first", True) == []
    assert roster.incarnation(FOG) == "second"


def test_the_own_name_is_nobody_elses(roster: Roster) -> None:
    assert roster.token(EDGE, "own", True) == []
    assert roster.token(EDGE, "another", True) == []
    assert roster.standing(EDGE, "another") is roster.standing(EDGE, "own") is Standing.LEFT_OUT
    assert roster.alive() == {FOG}
    assert roster.duplicates() == {EDGE}


def test_a_node_that_was_away_has_another_epoch(roster: Roster) -> None:
    epoch = roster.epoch(FOG)
    roster.token(FOG, "first", False)
    assert roster.epoch(FOG) is None
    roster.token(FOG, "first", True)
    assert roster.epoch(FOG) not in (None, epoch)


def test_names_and_runs_without_end_are_forgotten_or_not_remembered(
    roster: Roster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rs, "MAX_PEERS", 10)
    for number in range(100):
        roster.token(f"name{number}", "x", True)
        roster.token(FOG, f"other{number}", True)
    assert len(roster.alive()) == 10
    assert roster.incarnation(FOG) == "first"
    assert len(roster._incarnations[FOG]) == rs.MAX_INCARNATIONS
    for number in range(100):
        roster.token(f"name{number}", "x", False)
    roster.token("Not A Name!", "x", True)
    assert roster.alive() == {FOG}
    assert set(roster._epochs) == {FOG}
    assert roster.standing(NodeId("name1"), "x") is Standing.UNKNOWN


@pytest.mark.parametrize("name", ["", "UPPER", "a b", "x" * 64, "*"])
def test_tokens_with_names_that_are_none_are_ignored(name: str) -> None:
    roster = Roster(EDGE, "0")
    assert roster.token(name, "a", True) == []
    assert roster.alive() == frozenset()
