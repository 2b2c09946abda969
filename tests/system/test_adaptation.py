"""What a running stream adapts to, in real processes: its goal, nodes that leave and return, the delay of a link.

Beside it: links that fall in `test_demo.py`, loaded nodes in `test_loads.py`, killed and hanging ones in
`test_streams.py`, full ones in `test_streams.py` and `test_memory_limit.py`. No claim here is about how long it takes.
"""

from __future__ import annotations

import signal
from contextlib import ExitStack

import pytest

from seamline import connect
from seamline.cli.reference import undocumented_keys
from seamline.core.vocabulary.nodes import NodeId

LOCAL = "edge[0:15]"
POWERLESS = ("--fps", "10", "--slowdown", "400")
"""An edge that is slow enough for the fog to be quicker by far."""

THRIFTY_EDGE, THIRSTY_FOG = "idle=0,busy=4", "idle=0,busy=400000"


@pytest.fixture
def visit(system, port):
    """Takes part beside the stream's nodes, as `seamline set` does; gives the stream's name and a way to set things."""
    with ExitStack() as stack:

        def visit():
            here = stack.enter_context(
                connect(f"tcp/127.0.0.1:{port}", name="observer-test", tier="observer", cluster=system.cluster)
            )
            here.wait_nodes(["edge"])
            (stream,) = here.nodes(wait_s=0.0)["edge"].streams
            return stream, here.node.client

        yield visit


def test_a_stream_is_judged_by_what_is_set_while_frames_flow_and_says_so(system, port, visit, assert_nothing_lost):
    system.node("fog", port, "--power", THIRSTY_FOG)
    run = system.run("--events", *POWERLESS, "--power", THRIFTY_EDGE, over="edge,fog", port=port)
    seen = run.wait_plan("fog")
    stream, here = visit()
    where = ("--stream", stream, "--cluster", system.cluster, "--connect", f"tcp/127.0.0.1:{port}")
    asked = system.start("set", "objective=energy", "--json", *where)
    refused = system.start("set", "objective=energy", *where, "--stream", "edge-00000000")
    assert asked.wait() == 0, asked.stderr
    assert undocumented_keys("set", asked.json) == set()
    assert (asked.json["objective"], asked.json["before"]) == ("energy", "latency")
    assert refused.wait() == 2, refused.stderr
    assert "no stream `edge-00000000` starts here\nhint: " in refused.stderr
    assert stream in refused.stderr
    seen = run.wait_plan(LOCAL, after=seen)  # the fog draws a hundred thousand times as much

    for set_, value, before, then in (
        (here.set_energy_scope, "origin", "all", "fog"),  # the fog's joules are somebody else's
        (here.set_energy_scope, "all", "origin", LOCAL),
        (here.set_objective, "latency", "energy", "fog"),
        (here.set_objective, "slo=60", "latency", LOCAL),  # the least energy within a minute
        (here.set_objective, "latency=1,energy=0", "slo=60", "fog"),
    ):
        assert set_(NodeId("edge"), stream, value).result(timeout=30) == before
        seen = run.wait_plan(then, after=seen)

    run.popen.send_signal(signal.SIGINT)
    assert run.wait() == 130
    summary = run.events[-1]
    reasons = [switch["reason"] for switch in summary["switches"]]
    words = ("the objective is now energy; edge[0:15] saves", "joules that count are now those of origin",
             "joules that count are now those of all", "the objective is now latency", "the objective is now slo=60",
             "the objective is now latency=1;")  # fmt: skip
    told = [next((reason for reason in reasons if said in reason), None) for said in words]
    assert None not in told, "\n".join(reasons)
    assert all("saves" in reason and "uncertainty" in reason for reason in told[:4]), reasons
    assert_nothing_lost(summary["frames"])
    assert summary["energy"]["source"].startswith("modelled:given")
    assert run.stderr == ""


def test_a_node_that_leaves_in_good_order_is_left_and_one_that_returns_with_power_figures_counts(
    system, port, visit, assert_nothing_lost
):
    fog = system.node("fog", port)
    run = system.run("--events", *POWERLESS, "--power", THRIFTY_EDGE, over="edge,fog", port=port)
    seen = run.wait_plan("fog")
    fog.popen.send_signal(signal.SIGINT)
    assert fog.wait() == 0
    seen = run.wait_plan(LOCAL, after=seen)
    system.node("fog", port, "--power", "idle=0,busy=0.001")
    seen = run.wait_plan("fog", after=seen)
    stream, here = visit()
    assert here.set_objective(NodeId("edge"), stream, "energy").result(timeout=30) == "latency"

    def is_settled(event: dict[str, object]) -> bool:
        return event.get("objective") == "energy" and "is the best plan" in str(event.get("decision"))

    run.wait_until(lambda run: any(is_settled(event) for event in run.events))
    run.popen.send_signal(signal.SIGINT)
    assert run.wait() == 130
    summary = run.events[-1]
    assert "fog" in summary["plan_timeline"][-1]["plan"]  # its joules are known, and less than the edge's
    assert set(summary["energy"]["nodes"]) == {"edge", "fog"}
    assert_nothing_lost(summary["frames"])
    assert run.stderr == ""


TESTBED = """\
name = "links"
[[node]]
name = "edge"
tier = "edge"
slowdown = 400.0
threads = 1
[[node]]
name = "fog"
tier = "fog"
threads = 1
[[link]]
between = ["edge", "fog"]
{link}
"""
LONGER = """\
rate_mbps = 50
delay_ms = 1
[[change]]
at_s = 1
link = "edge-fog"
delay_ms = 150
"""


def test_a_link_whose_delay_grows_is_left(system, tmp_path, assert_nothing_lost):
    testbed = tmp_path / "links.toml"
    testbed.write_text(TESTBED.format(link=LONGER), encoding="utf-8")
    run = system.start(
        "demo", "--testbed", str(testbed), "--model", str(system.model), "--seconds", "14", "--fps", "5",
        "--private", "0", "--no-baselines", "--json",
    )  # fmt: skip
    assert run.wait() == 0, run.stderr
    data = run.json
    assert data["scene_changes"] == [{"at_s": 1.0, "what": "link edge-fog to 150 ms one way"}]
    uses_fog = ["fog" in entry["plan"] for entry in data["plan_timeline"]]
    assert True in uses_fog, data["plan_timeline"]
    assert not uses_fog[-1], data["plan_timeline"]
    # a delay that grew shows in the frames' transfers first; once the shortest round trip of 10 s is long, it is named
    reasons = [switch["reason"] for switch in data["switches"]]
    assert any("edge->fog fell from" in reason or "round trip edge->fog rose" in reason for reason in reasons), reasons
    assert_nothing_lost(data["frames"])
