"""Bytes that are no messages, messages that make no sense, and names that are taken: refused, and the node lives on."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import zenoh

from seamline.fabric import messages as msg
from seamline.fabric.wire import pack

SPLIT = "edge[0:4]u8 > fog[4:15]"
N_RAW_CONNECTIONS = 12


@pytest.fixture(scope="module")
def house(tmp_path_factory, make_system, free_port) -> Iterator[tuple[Any, int, Any]]:
    """One node `fog` for all tests: (its system, its port, the node)."""
    system = make_system(tmp_path_factory.mktemp("house"))
    try:
        port = free_port()
        yield system, port, system.node("fog", port)
    finally:
        system.end()


def test_a_node_that_was_sent_noise_and_nonsense_serves_on(house):
    system, port, fog = house
    send_raw_bytes(port)
    with messages_of_an_intruder(system.cluster, port) as (send, answered):
        for payload in malformed():
            for lane in ("control", "data", "credit"):
                send(payload, lane)
        send(bytes(pack(msg.Ping(seq=1))), name="not a name")
        for message in senseless():
            send(bytes(message))
        send(bytes(pack(msg.Ping(seq=7))))
        assert answered.wait(20), f"the node no longer answers: {fog.stderr}"
    run = system.run("--frames", "10", "--plan", SPLIT, over="edge,fog", port=port)
    assert run.wait() == 0, run.stderr
    assert run.json["plan_timeline"] == [{"at_s": 0.0, "plan": SPLIT}]
    assert run.json["frames"]["lost"] == 0
    assert fog.popen.poll() is None
    assert "Traceback" not in fog.stderr


def send_raw_bytes(port: int) -> None:
    """Connections to a node's port that speak no protocol."""
    noise = np.random.default_rng(11)
    for number in range(N_RAW_CONNECTIONS):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            # the first two bytes are Zenoh's length of what follows: none, the largest there is, or noise
            head = [b"\x00\x00", b"\xff\xff", noise.bytes(2)][number % 3]
            connection.sendall(head + noise.bytes(1 << number))


@contextmanager
def messages_of_an_intruder(cluster: str, port: int) -> Iterator[tuple[Callable[..., None], threading.Event]]:
    """A way to send bytes to fog in any name, and whether anything was answered; beside names that are none."""
    config = zenoh.Config()
    config.insert_json5("mode", '"peer"')
    config.insert_json5("connect/endpoints", json.dumps([f"tcp/127.0.0.1:{port}"]))
    config.insert_json5("scouting/multicast/enabled", "false")
    with zenoh.open(config) as session:
        root, own = f"seamline/{cluster}", "0123456789abcdef"
        answered = threading.Event()
        declared = [
            session.declare_subscriber(f"{root}/intruder/control/**", lambda sample: answered.set()),
            session.liveliness().declare_token(f"{root}/intruder/alive/{own}"),
            session.liveliness().declare_token(f"{root}/Not A Name!/alive/x"),
        ]
        (fog,) = [str(reply.ok.key_expr) for reply in session.liveliness().get(f"{root}/fog/alive/*")]
        there = fog.rpartition("/")[2]

        def send(payload: bytes, lane: str = "control", name: str = "intruder", incarnation: str = own) -> None:
            session.put(f"{root}/fog/{lane}/{name}/{incarnation}/{there}", payload)

        yield send, answered
        for one in declared:
            one.undeclare()


def malformed() -> list[bytes]:
    """Payloads that are not messages: empty, truncated at several places, damaged, too long, of another version."""
    whole = bytes(pack(msg.Probe(seq=1), (np.arange(100, dtype=np.float32),)))
    other_version = whole[:3] + bytes([whole[3] + 1]) + whole[4:]
    endless = whole[:8] + (1 << 62).to_bytes(8, "little") + whole[16:]
    flipped = bytearray(whole)
    flipped[20] ^= 0xFF
    return [b"", b"SLM", whole[:10], whole[:-1], whole + b"\0", other_version, endless, bytes(flipped), bytes(5 << 20)]


def senseless() -> list[bytearray]:
    """Well-formed messages that ask for what cannot be, or tell what nobody asked."""
    frame = {"stream": "s", "frame": -1, "attempt": 0, "generation": 99, "model_id": "../..", "seq": -5}
    frame |= {"encoding": b"\xff", "reports": ()}
    plans = ["", "fog", "fog[4:2]", "edge[0:4] > fog[4:15]", "fog[0:4] > edge[4:9] > fog[9:15]"]
    link = msg.LinkReport(
        target="../etc", rtt_s=float("nan"), goodput_bps=-1.0, goodput_std_ratio=float("inf"), n_samples=-1, age_s=-1.0
    )
    status = msg.Status(
        tier="x" * 10_000, incarnation="", version="", engine="", threads=-1, n_cores=0, memory_bytes=-1,
        free_memory_bytes=1 << 62, queue_s=float("nan"), models=("../../etc/passwd",), links=(link,) * 100,
    )  # fmt: skip
    return [
        *(pack(msg.FrameData(plan=plan, stage=stage, **frame)) for plan in plans for stage in (-1, 0, 1, 7)),
        pack(status),
        pack(msg.Receipt(seq=-1)),
        pack(msg.Pong(seq=1 << 60)),
        pack(msg.FetchModel(request_id=1, model_id="../../../etc", part="passwd", offset=-1, length=1 << 40)),
        pack(msg.ModelPart(request_id=1, model_id="x", part="y", offset=0)),
        pack(msg.Prepare(request_id=1, stream="s", generation=1, model_id="0" * 64, plan="fog[0:1]", source="nobody")),
        pack(msg.Prepare(request_id=2, stream="s", generation=1, model_id="x", plan="no plan", source="../x")),
        pack(msg.Prepared(request_id=99, stream="s", generation=1, prepare_s=-1.0)),
        pack(msg.Release(stream="nobody's", generation=-1)),
        pack(msg.ProfileModel(request_id=3, model_id="0" * 64, source="nobody", budget_s=1e308)),
        pack(msg.Profiled(request_id=99, profile=b"{")),
        *(
            pack(msg.TimeSegment(4, model_id, *cuts))
            for model_id in ("../..", "0" * 64)
            for cuts in ((3, 1), (0, 1 << 60))
        ),
        pack(msg.SegmentTimed(request_id=99, compute_s=float("nan"))),
        pack(msg.ResultData(stream="s", frame=0, attempt=0, generation=0, outputs=("a", "b"), reports=())),
        pack(msg.FrameFailed(stream="s", frame=0, attempt=0, generation=0, node="fog", error="")),
    ]


@pytest.fixture(scope="module")
def refusals(house) -> tuple[dict[str, Any], str]:
    """Commands that the running node `fog` makes impossible, started at once and ended; what `fog` said meanwhile."""
    system, port, fog = house
    before = fog.stderr
    commands = {
        "node of the same name": system.start(
            "node", "--json", "--name", "fog", "--cluster", system.cluster, "--connect", f"tcp/127.0.0.1:{port}"
        ),
        "run of the same name": system.run(over="fog,edge", port=port),
        "unknown node": system.run(over="origin-1,frog", port=port),
        "private plan": system.run(
            "--plan", "origin-2[0:4]u8 > fog[4:15]", "--private", "6", over="origin-2,fog", port=port
        ),
    }  # fmt: skip
    for process in commands.values():
        process.wait()
    return commands, fog.stderr.removeprefix(before)


@pytest.mark.parametrize(
    ("command", "exit_code", "fact"),
    [
        ("node of the same name", 1, "a node named `fog` is already in cluster `CLUSTER`"),
        ("run of the same name", 1, "a node named `fog` is already in cluster `CLUSTER`"),
        ("unknown node", 2, "no node `frog` answered within 5 s"),
        ("private plan", 2, "`origin-2[0:4]u8 > fog[4:15]` lets cut 4 leave `origin-2`, which is private"),
    ],
)
def test_what_the_nodes_there_make_impossible_is_refused(house, refusals, command, exit_code, fact):
    process = refusals[0][command]
    assert process.popen.returncode == exit_code
    assert process.stdout == ""
    error, hint = process.stderr.splitlines()
    assert error == f"error: {fact.replace('CLUSTER', house[0].cluster)}"
    assert hint.startswith("hint: ")


def test_the_owner_of_a_name_is_not_disturbed_by_those_who_want_it(house, refusals):
    assert house[2].popen.poll() is None
    assert refusals[1] == ""
