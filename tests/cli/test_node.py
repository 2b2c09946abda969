"""`seamline node` and `seamline nodes`: what they refuse. Nodes that run are in tests/system."""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Iterator

import pytest
from rich.console import Console

from seamline.cli.shared.node_flags import NodeFlags
from seamline.cli.shared.render import NodeRow, nodes_table
from seamline.core.vocabulary.ports import LEASE_S


@pytest.fixture
def taken_endpoint() -> Iterator[str]:
    """An endpoint that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp/127.0.0.1:{server.getsockname()[1]}"


def test_a_port_in_use_is_said_without_the_innards_of_the_library(seamline, taken_endpoint):
    outcome = seamline("node", "--name", "fog", "--listen", taken_endpoint)
    assert outcome.exit_code == 1
    error, hint = outcome.stderr.splitlines()
    assert error == f"error: cannot listen on {taken_endpoint}: address already in use"
    assert "--listen" in hint


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (["--name", "a b"], "`a b` is not a node name"),
        (["--name", "x", "--tier", "a b"], "`a b` is not a tier"),
        (["--name", "x", "--cluster", "a b"], "`a b` is not a cluster name"),
        (["--name", "x", "--listen", "0.0.0.0:7447"], "`0.0.0.0:7447` is not an endpoint"),
        (["--name", "x", "--listen", "tcp/0.0.0.0:7447"], "listens beyond this machine"),
        (["--name", "x", "--listen", "tcp/[::]:7447"], "listens beyond this machine"),
        (["--name", "x", "--connect", "nowhere"], "`nowhere` is not an endpoint"),
        (["--name", "x", "--threads", "0"], "Invalid value for '--threads'"),
        (["--name", "x", "--memory", "much"], "`much` is not a size"),
        (["--provider", "cudo"], "`cudo` is no provider"),
        (["--lease", "0"], "a lease of 0 s is not possible"),
    ],
)
def test_wrong_use_of_node_is_said_in_two_lines(seamline, arguments, fact):
    outcome = seamline("node", *arguments)
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    error, hint = outcome.stderr.splitlines()
    assert fact in error
    assert hint.startswith("hint: ")


def test_what_is_given_can_be_checked_without_a_node(seamline):
    outcome = seamline("node", "--check", "--tier", "fog", "--listen", "tcp/0.0.0.0:7447", "--insecure")
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (0, "", "")
    assert seamline("node", "--check", "--listen", "tcp/0.0.0.0:7447").exit_code == 2


@pytest.mark.parametrize("how", [(), ("--json",)])
def test_nodes_of_nowhere_is_a_failure_that_names_where_it_looked(seamline, how):
    outcome = seamline("nodes", "--connect", "tcp/127.0.0.1:1", "--wait", "0.1", *how)
    assert outcome.exit_code == 1
    assert outcome.stdout == ""
    error, _ = outcome.stderr.splitlines()
    assert error == "error: no node of cluster `default` answered at tcp/127.0.0.1:1 within 0.1 s"


def test_a_wait_below_nothing_is_refused(seamline):
    assert seamline("nodes", "--wait", "-1").exit_code == 2


@pytest.mark.parametrize(("width", "is_narrow"), [(60, True), (110, False)])
def test_the_table_of_nodes_names_them_in_any_terminal(width, is_narrow):
    row = NodeRow(
        name="fog-rack-2", tier="fog", engine="onnxruntime 1.31.1", threads=2, n_cores=2,
        memory_bytes=25_300_000_000, free_memory_bytes=24_600_000_000, queue_s=0.0123, models=("x",),
        rtt_s=0.0123, goodput_bps=350.5e6, version="0.1.0",
        streams=(), energy=None, provider="cpu", gpu=None,
    )  # fmt: skip
    console = Console(width=width, file=io.StringIO())
    console.print(nodes_table([row], is_narrow=is_narrow))
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 3, "a cell was wrapped"
    assert re.match(r"fog-rack-2 +fog +12\.3 ms +12\.3 ms +350\.5 Mbit/s +2 of 2", lines[2])
    assert ("onnxruntime 1.31.1" in lines[2]) is not is_narrow


def test_the_lease_of_the_command_line_is_the_usual_one():
    assert NodeFlags().lease_s == LEASE_S  # written out there: naming it would load NumPy for every --help
