"""Rounds of faults: drawn from the seed alone, every kind in turn, never two at one place."""

from itertools import islice
from pathlib import Path

from seamline.runtime.chaos.faults import LONGEST_S, ON_NODES, SHORTEST_S, FaultKind, rounds

NODES, LINKS = ("fog", "cloud"), (("edge", "fog"), ("fog", "cloud"))


def drawn(seed, n_rounds=200, kinds=tuple(FaultKind)):
    return list(islice(rounds(seed, kinds, NODES, LINKS), n_rounds))


def test_a_seed_gives_the_same_rounds_and_another_one_others():
    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_every_kind_comes_before_any_comes_again():
    first = [faults[0].kind for faults in drawn(3, len(FaultKind))]
    assert sorted(first) == sorted(FaultKind)


def test_faults_are_bounded_and_befall_what_they_can_befall():
    for faults in drawn(5):
        for each in faults:
            assert each.length_s == 0.0 or SHORTEST_S <= each.length_s <= LONGEST_S
            assert each.at_s <= faults[0].ends_s
            if each.kind in ON_NODES:
                assert each.place[0] in NODES
            else:
                assert tuple(sorted(each.place, key=("edge", "fog", "cloud").index)) in LINKS


def test_two_at_once_are_at_different_places():
    both = [faults for faults in drawn(9) if len(faults) == 2]
    assert both
    assert all(one.place != other.place for one, other in both)


def test_every_kind_is_explained():
    page = (Path(__file__).parents[2] / "docs" / "faults.md").read_text(encoding="utf-8")
    assert [kind for kind in FaultKind if f"`{kind}`" not in page] == []


def test_only_the_kinds_asked_for_come():
    assert {each.kind for faults in drawn(1, kinds=(FaultKind.KILL,)) for each in faults} == {FaultKind.KILL}
