"""`seamline set`: what can be set, and what is refused before anybody is asked."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("objective=joy", "`joy` is not an objective"),
        ("energy-scope=nobody", "`nobody` says nobody's energy"),
        ("energy-scope", "`energy-scope` is not a setting"),
        ("slo=0", "a deadline of 0 s cannot be met"),
        ("speed=2", "`speed=2` is not a setting"),
    ],
)
def test_wrong_use_is_said_with_a_hint(seamline, setting: str, said: str):
    outcome = seamline("set", setting, "--stream", "edge-12345678")
    assert outcome.exit_code == 2
    assert said in outcome.stderr
    assert outcome.stderr.count("hint:") == 1
