"""``--log-format json``: every line on stderr is one object, whatever is said."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from seamline.cli.shared.logs import JsonLines


def test_an_error_is_one_line_with_its_hint(seamline):
    outcome = seamline("node", "--log-format", "json", "--name", "a b")
    assert outcome.exit_code == 2
    (line,) = outcome.stderr.splitlines()
    said = json.loads(line)
    assert (said["level"], said["message"], said["exit_code"]) == ("error", "`a b` is not a node name", 2)
    assert said["hint"]
    assert said["time"].endswith("+00:00")


def test_the_environment_says_it_for_services(seamline, monkeypatch):
    monkeypatch.setenv("SEAMLINE_LOG_FORMAT", "json")
    assert json.loads(seamline("node", "--name", "a b").stderr)["level"] == "error"
    assert seamline("--log-format=text", "node", "--name", "a b").stderr.startswith("error: ")


def test_another_format_is_wrong_use(seamline):
    outcome = seamline("zoo", "list", "--log-format", "xml")
    assert outcome.exit_code == 2
    assert outcome.stderr.splitlines() == ["error: `xml` is not a log format", "hint: one of text, json"]


@pytest.mark.parametrize("words", ["plain", 'with "quotes" and\nlines', "ünïcode"])
def test_a_line_is_one_object_whatever_it_says(words):
    record = logging.LogRecord("seamline.x", logging.WARNING, __file__, 1, "%s", (words,), None)
    line = JsonLines().format(record)
    assert "\n" not in line
    said = json.loads(line)
    assert (said["level"], said["logger"], said["message"]) == ("warning", "seamline.x", words)
    assert "traceback" not in said


def test_a_traceback_stays_in_its_line():
    try:
        raise ValueError("broken")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
    line = JsonLines().format(record)
    assert "\n" not in line
    assert "ValueError: broken" in json.loads(line)["traceback"]
