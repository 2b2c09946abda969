"""Nodes that leave in good order and return with other figures while frames flow, and another goal set meanwhile.

How a stream adapts in general is shown in virtual time: `tests/core/session`, `tests/sim`.
"""

from __future__ import annotations

import signal

from seamline.cli.reference import undocumented_keys

LOCAL = "edge[0:15]"
POWERLESS = ("--fps", "10", "--slowdown", "400")
"""An edge that is slow enough for the fog to be quicker by far."""

THRIFTY_EDGE, THIRSTY_FOG = "idle=0,busy=4", "idle=0,busy=400000"


def test_a_node_that_leaves_is_left_and_one_that_returns_is_judged_by_its_figures_and_by_what_is_set(
    system, port, assert_nothing_lost
):
    fog = system.node("fog", port)
    run = system.run("--events", *POWERLESS, "--power", THRIFTY_EDGE, over="edge,fog", port=port)
    seen = run.wait_plan("fog")
    fog.popen.send_signal(signal.SIGINT)
    assert fog.wait() == 130
    assert fog.stderr == ""
    seen = run.wait_plan(LOCAL, after=seen)
    system.node("fog", port, "--power", THIRSTY_FOG)
    seen = run.wait_plan("fog", after=seen)

    with system.visit(port) as (stream, _):
        where = ("--cluster", system.cluster, "--connect", f"tcp/127.0.0.1:{port}")
        asked = system.start("set", "objective=energy", "--json", "--stream", stream, *where)
        refused = system.start("set", "objective=energy", "--stream", "edge-00000000", *where)
        assert asked.wait() == 0, asked.stderr
    assert undocumented_keys("set", asked.json) == set()
    assert (asked.json["objective"], asked.json["before"]) == ("energy", "latency")
    assert refused.wait() == 2, refused.stderr
    assert "no stream `edge-00000000` starts here\nhint: " in refused.stderr
    assert stream in refused.stderr
    run.wait_plan(LOCAL, after=seen)  # the fog draws a hundred thousand times as much

    run.popen.send_signal(signal.SIGINT)
    assert run.wait() == 130
    summary = run.events[-1]
    reason = summary["switches"][-1]["reason"]
    assert "the objective is now energy; edge[0:15] saves" in reason
    assert_nothing_lost(summary["frames"])
    assert summary["energy"]["source"].startswith("modelled:given")
    assert set(summary["energy"]["nodes"]) == {"edge", "fog"}
    assert run.stderr == ""
