"""Claims about what a process gives up when it is ended before it could close."""

from __future__ import annotations

import pytest

from seamline.config import last_resort


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_resort, "_open", [])


def test_everything_that_is_open_is_given_up_once_also_beside_what_fails():
    given_up: list[str] = []

    def fail() -> None:
        raise OSError("gone already")

    last_resort.register(lambda: given_up.append("one"))
    last_resort.register(fail)
    last_resort.register(lambda: given_up.append("other"))
    last_resort.give_up_all()
    last_resort.give_up_all()
    assert given_up == ["other", "one"]


def test_what_is_closed_is_not_given_up():
    given_up: list[str] = []

    def give_up() -> None:
        given_up.append("closed")

    last_resort.register(give_up)
    last_resort.withdraw(give_up)
    last_resort.withdraw(give_up)
    last_resort.give_up_all()
    assert given_up == []
