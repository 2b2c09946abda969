"""Claims about `fabric.fair_queue`: sources in turn, each in order, within bounds, whatever is put and taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.fabric.fair_queue import FairQueue


def test_sources_are_served_in_turn_and_each_in_order():
    queue: FairQueue[str] = FairQueue(max_per_source=10, max_in_all=100)
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        queue.put(item[0], item)
    assert [queue.take() for _ in range(6)] == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert not queue
    with pytest.raises(IndexError):
        queue.take()


def test_an_item_larger_than_a_sources_share_goes_in_alone():
    queue: FairQueue[bytes] = FairQueue(max_per_source=5, max_in_all=20, size=len)
    assert queue.put("a", bytes(9))
    assert not queue.put("a", b"x")
    assert queue.put("a", b"x", is_kept=True)
    assert not queue.put("b", bytes(11))
    queue.clear()
    assert not queue
    assert queue.put("b", bytes(5))
    assert queue.put("a", bytes(15)), "nothing is left of what was cleared"


@given(st.lists(st.one_of(st.tuples(st.sampled_from("abc"), st.integers(0, 6)), st.none()), max_size=200))
def test_whatever_is_put_and_taken_keeps_order_and_is_refused_only_for_want_of_room(
    steps: list[tuple[str, int] | None],
):
    queue: FairQueue[tuple[str, int, int]] = FairQueue(max_per_source=10, max_in_all=20, size=lambda item: item[1])
    held: dict[str, list[tuple[str, int, int]]] = {"a": [], "b": [], "c": []}
    sizes = dict.fromkeys(held, 0)
    for number, step in enumerate(steps):
        if step is not None:
            item = (*step, number)
            has_room = sizes[step[0]] + step[1] <= 10 and sum(sizes.values()) + step[1] <= 20
            assert queue.put(step[0], item) == has_room
            if has_room:
                held[step[0]].append(item)
        elif queue:
            item = queue.take()
            assert held[item[0]].pop(0) == item
        sizes = {source: sum(item[1] for item in items) for source, items in held.items()}
        assert queue.size_in_all == sum(sizes.values())
        assert bool(queue) == any(held.values())
