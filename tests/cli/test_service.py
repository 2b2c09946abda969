"""`seamline service print`: a unit that systemd reads as it is meant."""

from __future__ import annotations

import configparser
import subprocess
import sys

import pytest

from seamline.cli.commands.service import unit_of
from seamline.cli.reference import undocumented_keys


def read(unit: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parsed.optionxform = str
    parsed.read_string(unit)
    return parsed


def test_flags_of_a_node_are_kept_in_its_unit(seamline):
    outcome = seamline("service", "print", "--tier", "fog", "--listen", "tcp/127.0.0.1:7447")
    assert outcome.exit_code == 0
    service = read(outcome.stdout)["Service"]
    assert service["ExecStart"] == f"{sys.executable} -m seamline node --tier fog --listen tcp/127.0.0.1:7447"
    assert service["EnvironmentFile"] == "-/etc/seamline/node.env"
    assert service["Restart"] == "on-failure"
    assert "/etc/systemd/system/seamline.service" in outcome.stderr


def test_a_unit_of_a_user_names_none_and_needs_no_root(seamline):
    outcome = seamline("service", "print", "--user", "--json")
    assert undocumented_keys("service print", outcome.json) == set()
    unit = read(outcome.json["unit"])
    assert "User" not in unit["Service"]
    assert unit["Install"]["WantedBy"] == "default.target"
    assert outcome.json["path"].startswith("~/.config/systemd/user/")


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (("--threads", "none"), "Invalid value for '--threads'"),
        (("--speed", "9"), "--speed"),
        (("--listen", "tcp/0.0.0.0:7447"), "listens beyond this machine"),
        (("--lease", "1000"), "a lease of 1000 s is not possible"),
        (("--power", "toaster"), "toaster"),
        (("--name", "A B"), "`A B` is not a node name"),
        (("extra",), "unexpected extra argument"),
    ],
)
def test_flags_that_a_node_would_refuse_are_refused(seamline, flags, error):
    outcome = seamline("service", "print", *flags)
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    assert error in outcome.stderr


def test_words_are_escaped_as_units_want_it():
    start = read(unit_of(("/a b/python", "100%", "$HOME", 'say "x\\y"', "tcp/[::1]:7447"), "pi"))["Service"][
        "ExecStart"
    ]
    assert start == '"/a b/python" 100%% $$HOME "say \\"x\\\\y\\"" tcp/[::1]:7447'


@pytest.mark.needs("systemd")
def test_systemd_finds_nothing_wrong_with_it(tmp_path):
    path = tmp_path / "seamline.service"
    path.write_text(unit_of((sys.executable, "-m", "seamline", "node"), "root"))
    outcome = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, timeout=20)
    assert "seamline.service" not in outcome.stderr
