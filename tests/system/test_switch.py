"""`seamline switch` against a running stream, as a user types it and as any node may ask for it."""

from __future__ import annotations

import json

import pytest

from seamline.core.vocabulary.nodes import NodeId

EDGE = NodeId("edge")
EARLY, LATE = "edge[0:4]raw > fog[4:15]", "edge[0:6]raw > fog[6:15]"
STRATEGIES = ("live", "pause-resume", "spawn", "standby")


@pytest.fixture(scope="module")
def running(tmp_path_factory, make_system, free_port):
    """A fog node, and a stream that holds its first plan: (system, run process, port of the fog)."""
    system = make_system(tmp_path_factory.mktemp("switch"))
    try:
        port = free_port()
        system.node("fog", port)
        run = system.run("--events", "--plan", EARLY, over="edge,fog", port=port)
        run.wait_plan("fog[4:15]")
        yield system, run, port
    finally:
        system.end()


@pytest.fixture(scope="module")
def observer(running):
    """Who asks from this process: (the stream's name, the client)."""
    system, _, port = running
    with system.visit(port) as visitor:
        yield visitor


def test_the_cut_moves_by_every_strategy_and_stays(running, observer):
    _, run, _ = running
    stream, here = observer
    for number, strategy in enumerate(STRATEGIES):
        plan = (LATE, EARLY)[number % 2]
        record = json.loads(here.switch_plan(EDGE, stream, plan, strategy).result(timeout=90))
        assert (record["to_plan"], record["strategy"]) == (plan, strategy)
        assert (record["pause_s"] > 0) == (strategy == "pause-resume")
        run.wait_plan(plan, after=len(run.events))


def test_the_command_moves_the_cut_of_the_only_stream_and_refuses_in_words_what_cannot_be(running):
    system, run, port = running

    def start(plan: str, *options: str):
        where = ("--cluster", system.cluster, "--connect", f"tcp/127.0.0.1:{port}")
        return system.start("switch", "--plan", plan, *where, *options)

    seen = len(run.events)
    nowhere, unknown = start("edge[0:4]raw > moon[4:15]"), start(LATE, "--stream", "edge-00000000")
    for refused, words in ((nowhere, "`moon`"), (unknown, "no stream `edge-00000000`")):
        assert refused.wait() == 1
        assert words in refused.stderr
    run.wait_plan(EARLY, after=seen)
    assert not [event for event in run.events[seen:] if event.get("plan", EARLY) != EARLY], "a refusal changes nothing"
    moved = start(LATE, "--strategy", "live", "--json")
    assert moved.wait() == 0, moved.stderr
    assert (moved.json["to_plan"], moved.json["strategy"]) == (LATE, "live")
    run.wait_plan(LATE, after=len(run.events))
