"""`seamline switch`: what is refused before anybody is asked."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--plan", "bogus"), "`bogus` is not a stage"),
        (("--plan", "auto", "--strategy", "teleport"), "`teleport` is not a strategy"),
        (("--plan", "auto", "--stream", "edge"), "`edge` is not a stream's name"),
    ],
)
def test_wrong_use_is_said_with_a_hint(seamline, options: tuple[str, ...], said: str):
    outcome = seamline("switch", "--connect", "tcp/127.0.0.1:1", "--stream", "edge-12345678", *options)
    assert outcome.exit_code == 2
    assert said in outcome.stderr
    assert outcome.stderr.count("hint:") == 1
