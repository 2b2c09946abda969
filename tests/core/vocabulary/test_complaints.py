"""Claims about `core.vocabulary.complaints`: few lines whatever peers do, and none of a new peer is swallowed."""

from __future__ import annotations

from seamline.core.vocabulary.complaints import MAX_QUOTED, Complaints, quoted, with_unsaid


def test_a_peer_is_complained_about_once_in_a_while_with_a_count():
    complaints = Complaints(every_s=10.0)
    assert [complaints.due("fog", at / 100.0) for at in range(1000)] == [0] + [None] * 999
    assert complaints.due("cloud", 5.0) == 0
    assert complaints.due("fog", 10.0) == 999
    assert complaints.due("fog", 20.0) == 0


def test_invented_names_share_one_line_and_bounded_memory():
    complaints = Complaints(every_s=10.0, max_peers=8)
    said = [complaints.due(f"stranger{number}", 0.0) for number in range(10_000)]
    assert sum(n_unsaid is not None for n_unsaid in said) == 9
    assert len(complaints._said_s) <= 9
    assert len(complaints._n_unsaid) <= 9
    assert complaints.due("fog", 11.0) == 0, "those long silent make room"


def test_words_of_a_peer_are_one_short_line():
    assert quoted("out of memory") == "out of memory"
    assert quoted("a\nERROR forged\x1b[31m") == "a ERROR forged [31m"
    assert quoted("x" * 3_200_000) == "x" * MAX_QUOTED + "... (3200000 characters)"
    assert with_unsaid("no", 0) == "no"
    assert with_unsaid("no", 7) == "no (7 more like it)"
