"""`seamline switch` against a running stream, as a user types it."""

from __future__ import annotations

import pytest

STRATEGIES = ("live", "pause-resume", "spawn", "standby")


@pytest.fixture
def running(system, port):
    """A fog node, and a stream that holds its first plan: (run process, fog's endpoint, the stream's name)."""
    system.node("fog", port)
    run = system.run("--events", "--plan", "edge[0:4]raw > fog[4:15]", over="edge,fog", port=port)
    run.wait_plan("fog[4:15]")
    endpoint = f"tcp/127.0.0.1:{port}"
    nodes = system.start("nodes", "--json", "--cluster", system.cluster, "--connect", endpoint)
    assert nodes.wait() == 0, nodes.stderr
    (stream,) = [name for node in nodes.json["nodes"] for name in node["streams"]]
    return run, endpoint, stream


def test_the_cut_moves_by_every_strategy_and_stays(system, running):
    run, endpoint, stream = running
    for number, strategy in enumerate(STRATEGIES):
        plan = ("edge[0:6]raw > fog[6:15]", "edge[0:4]raw > fog[4:15]")[number % 2]
        asked = system.start(
            "switch", "--json", "--stream", stream, "--plan", plan, "--strategy", strategy,
            "--cluster", system.cluster, "--connect", endpoint,
        )  # fmt: skip
        assert asked.wait() == 0, asked.stderr
        assert asked.json["to_plan"] == plan
        assert asked.json["strategy"] == strategy
        assert (asked.json["pause_s"] > 0) == (strategy == "pause-resume")
        run.wait_plan(plan, after=len(run.events))


WRONG = (
    ({"--plan": "edge[0:4]raw > moon[4:15]"}, "`moon`", 1),
    ({"--strategy": "teleport"}, "not a strategy", 2),
    ({"--stream": "nonsense"}, "not a stream's name", 2),
    ({"--stream": "edge-00000000"}, "no stream `edge-00000000`", 1),
)


def test_switches_that_cannot_be_are_refused_in_words_and_change_nothing(system, running):
    run, endpoint, stream = running
    usual = {"--stream": stream, "--plan": "edge[0:6]raw > fog[6:15]", "--cluster": system.cluster,
             "--connect": endpoint}  # fmt: skip
    started = [
        system.start("switch", *(word for pair in {**usual, **change}.items() for word in pair))
        for change, _, _ in WRONG
    ]
    for asked, (_, words, exit_code) in zip(started, WRONG, strict=True):
        assert asked.wait() == exit_code
        assert words in asked.stderr
    run.wait_plan("fog[4:15]", after=len(run.events))
    assert not [event for event in run.events if "fog[6:15]" in event.get("plan", "")]
