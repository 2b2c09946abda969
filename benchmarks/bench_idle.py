"""What nodes cost that do nothing, in clusters of 2 to 100: processor time, bytes on the wire, memory and threads.

Up to 8 nodes are processes as a user starts them (`seamline node`), more are nodes of one process. All connect to the
first one, which relays. Nobody streams: once all have seen each other and some time has passed, the time that their
threads were on a processor is read twice (`/proc/PID/task/*/schedstat`, nanoseconds). Where the system lets it, the run
has a network namespace of its own, so that its loopback counts nobody else's bytes.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from reporting import Report, parser, progress

from seamline.config import NodeSpec
from seamline.core.vocabulary.ports import LEASE_S
from seamline.fabric.zenoh_session import with_port
from seamline.runtime.chaos.bed import ORIGIN, ChaosBed
from seamline.runtime.chaos.run import MODELS, PROFILE_BUDGET_S
from seamline.runtime.chaos.watched_stream import KnownAnswers
from seamline.runtime.node.node import Node
from seamline.runtime.node.starting import NodeOptions, open_node
from seamline.testbed.processes import NodeProcesses, node_command

PROCESSES, TOGETHER = (2, 4, 8), (30, 100)
SETTLE_S, WATCHED_S = 15.0, 30.0
FPS, STREAM_SETTLE_S = 10.0, 5.0
MEET_TIMEOUT_S = 180.0
ALONE = "SEAMLINE_IDLE_ALONE"
"""Set in a run that has a network of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """What a cluster of `n_nodes` took while it did nothing. Per node: core_ratio, a share of one core; sent_bps.

    hub_core_ratio: of the node that all others connect to; None where it shares a process with them. rss_bytes,
    n_threads: per node. by_thread: share of one core by the name of threads, of all nodes together.
    """

    n_nodes: int
    n_processes: int
    core_ratio: float
    hub_core_ratio: float | None
    sent_bytes_per_s: float
    rss_bytes: float
    n_threads: float
    by_thread: Mapping[str, float]


def main() -> None:
    options = parser("What idle nodes cost")
    options.add_argument("--together", type=int, metavar="N", help="print what N nodes of this process took, and leave")
    options.add_argument("--seconds", type=float, default=WATCHED_S, help="how long each cluster is watched")
    options.add_argument("--no-stream", action="store_true", help="leave out what a stream's threads take")
    options.add_argument("--only", type=int, action="append", metavar="N", help="only clusters of N nodes")
    options.add_argument("--lease", type=float, default=5.0, metavar="S", help="of many nodes in one process")
    chosen = options.parse_args()
    if chosen.together:
        print(json.dumps(asdict(_together(chosen.together, chosen.seconds, chosen.lease))))
        return
    is_alone = _be_alone()
    report = Report("idle", "What idle nodes cost", chosen)
    seconds = min(5.0, chosen.seconds) if chosen.quick else chosen.seconds
    sizes = chosen.only or ((2, 30) if chosen.quick else (*PROCESSES, *TOGETHER))
    found = [_processes(n, seconds, report) if n <= max(PROCESSES) else _child(n, seconds, chosen.lease) for n in sizes]
    report.data["idle"] = [asdict(one) for one in found]
    report.say(
        f"Nobody streams. Processes have a lease of {LEASE_S:g} s, nodes of one process {chosen.lease:g} s: while they "
        "begin they keep each other from showing life.",
        f"Watched for {seconds:g} s, {SETTLE_S:g} s after all had seen each other; every node is "
        "connected to the first.",
        "Bytes are those that cross loopback, each counted once, "
        + ("in a network of this run's own." if is_alone else "other programs' included."),
        "",
    )
    head = (
        "nodes",
        "% of a core per node",
        "the first node",
        "all",
        "bytes/s per node",
        "MB (RSS) per node",
        "threads",
    )
    report.table(head, map(_row, found))
    if not chosen.no_stream:
        _say_stream(report, seconds)
    report.finish()


def _say_stream(report: Report, seconds: float) -> None:
    """What the threads of an origin take while a stream runs, by their names."""
    by_thread = report.data["stream"] = _stream(seconds)
    report.say(
        f"## A stream at {FPS:g} frames/s",
        "",
        f"The three nodes of `seamline chaos` behind their relays; adaptive, {seconds:g} s. Threads of the origin:",
        "",
    )
    rows = [(name, f"{100 * ratio:.2f}") for name, ratio in by_thread.items() if ratio > 1e-4]
    report.table(("thread", "% of a core"), rows)


def _row(idle: Idle) -> tuple[object, ...]:
    return (
        f"{idle.n_nodes} {'processes' if idle.n_processes > 1 else 'in one process'}",
        f"{100 * idle.core_ratio:.2f}",
        "-" if idle.hub_core_ratio is None else f"{100 * idle.hub_core_ratio:.2f}",
        f"{100 * idle.core_ratio * idle.n_nodes:.1f}",
        f"{idle.sent_bytes_per_s:.0f}",
        f"{idle.rss_bytes / 1e6:.0f}",
        f"{idle.n_threads:.0f}",
    )


def _be_alone() -> bool:
    """Run this again in a network namespace of its own, where that is possible; whether this run has one."""
    if ALONE in os.environ:
        return os.environ[ALONE] == "yes"
    if shutil.which("unshare") and shutil.which("ip"):
        for enter in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
            up = [*enter, "ip", "link", "set", "lo", "up"]
            if subprocess.run(up, capture_output=True, check=False).returncode == 0:
                again = ['ip link set lo up && exec "$@"', "sh", sys.executable, *sys.argv]
                os.execvpe(enter[0], [*enter, "sh", "-c", *again], {**os.environ, ALONE: "yes"})
    return False


# -- clusters ------------------------------------------------------------------------------------------------------


def _processes(n_nodes: int, seconds: float, report: Report) -> Idle:
    """A cluster of as many processes."""
    progress(f"{n_nodes} processes")
    hub, cluster = with_port("tcp/127.0.0.1:0"), f"idle-{secrets.token_hex(4)}"
    with NodeProcesses() as processes:
        pids = []
        for number in range(n_nodes):
            name = f"node-{number}"
            command = node_command(
                NodeSpec(name=name, tier="fog", threads=1),
                listen="tcp/127.0.0.1:0" if number else hub,
                connect=(hub,) if number else (),
                cluster=cluster,
                options=("--cache", str(processes.folder / f"{name}-cache")),
            )
            as_a_user = _without(command, "--parent-pid")  # nothing of the testbed's wakes it
            pids.append(processes.start(name, as_a_user).popen.pid)
        for number in range(n_nodes):
            processes.wait_ready(f"node-{number}", timeout_s=MEET_TIMEOUT_S)
        time.sleep(SETTLE_S)
        idle = _watch(pids, n_nodes, seconds)
        for pid in pids:
            report.child_cpu(pid)
    return idle


def _without(command: tuple[str, ...], option: str) -> tuple[str, ...]:
    at = command.index(option)
    return command[:at] + command[at + 2 :]


def _child(n_nodes: int, seconds: float, lease_s: float) -> Idle:
    """A cluster within one process, which does nothing else."""
    progress(f"{n_nodes} nodes in one process")
    command = [sys.executable, __file__, "--together", str(n_nodes)]
    command += ["--seconds", f"{seconds:g}", "--lease", f"{lease_s:g}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return Idle(**json.loads(done.stdout))


def _together(n_nodes: int, seconds: float, lease_s: float) -> Idle:
    with _nodes(n_nodes, lease_s) as nodes:
        until_s = time.monotonic() + MEET_TIMEOUT_S
        while any(len(node.membership.statuses()) < n_nodes - 1 for node in nodes):
            if time.monotonic() > until_s:
                raise TimeoutError(f"not all of {n_nodes} nodes saw each other within {MEET_TIMEOUT_S:g} s")
            time.sleep(0.5)
        time.sleep(SETTLE_S)
        return _watch([os.getpid()], n_nodes, seconds)


@contextmanager
def _nodes(n_nodes: int, lease_s: float) -> Iterator[list[Node]]:
    hub, cluster = with_port("tcp/127.0.0.1:0"), f"idle-{secrets.token_hex(4)}"
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="seamline-idle-")))
        nodes = []
        for number in range(n_nodes):
            options = NodeOptions(
                name=f"node-{number}",
                tier="fog",
                listen=() if number else (hub,),
                connect=(hub,) if number else (),
                cluster=cluster,
                n_threads=1,
                cache=folder / str(number),
                lease_s=lease_s,
            )
            node = open_node(options)
            opened.callback(node.close)
            nodes.append(node)
        yield nodes


def _stream(seconds: float) -> dict[str, float]:
    """Share of one core of each thread of an origin whose stream answers `FPS` frames a second."""
    progress(f"a stream at {FPS:g} frames/s")
    with ChaosBed() as bed:
        model = bed.cluster.add_model(MODELS[0].write(bed.folder, seed=1))
        known = KnownAnswers.of(bed.engine, model, seed=1)
        stream = bed.cluster.stream(model, over=(ORIGIN.name, *bed.nodes), profile_budget_s=PROFILE_BUDGET_S)
        pictures = (known.pictures[at % 8] for at in range(1 << 30))
        answers = stream.run(pictures, fps=FPS, live=True)
        before: dict[tuple[str, int], float] = {}
        began_s = time.monotonic() + STREAM_SETTLE_S
        for _ in answers:
            if not before and time.monotonic() >= began_s:
                before, began_s = _busy(os.getpid()), time.monotonic()
            if before and time.monotonic() >= began_s + seconds:
                break
        took_s, names = time.monotonic() - began_s, _names()
        by_thread: Counter[str] = Counter()
        for (name, number), busy_s in _busy(os.getpid()).items():
            by_thread[names.get(number, name)] += (busy_s - before.get((name, number), 0.0)) / took_s
        stream.stop()
    return dict(by_thread.most_common())


# -- figures -------------------------------------------------------------------------------------------------------


def _watch(pids: list[int], n_nodes: int, seconds: float) -> Idle:
    before, bytes_before, began_s = [_busy(pid) for pid in pids], _lo_bytes(), time.monotonic()
    time.sleep(seconds)
    after, n_bytes, took_s = [_busy(pid) for pid in pids], _lo_bytes() - bytes_before, time.monotonic() - began_s
    ratios = [(sum(late.values()) - sum(early.values())) / took_s for early, late in zip(before, after, strict=True)]
    names = _names()
    by_thread: Counter[str] = Counter()
    for early, late in zip(before, after, strict=True):
        for (name, number), busy_s in late.items():
            by_thread[names.get(number, name)] += (busy_s - early.get((name, number), 0.0)) / took_s
    processes = [psutil.Process(pid) for pid in pids]
    return Idle(
        n_nodes=n_nodes,
        n_processes=len(pids),
        core_ratio=sum(ratios) / n_nodes,
        hub_core_ratio=ratios[0] if len(pids) > 1 else None,
        sent_bytes_per_s=n_bytes / took_s / n_nodes,
        rss_bytes=sum(process.memory_info().rss for process in processes) / n_nodes,
        n_threads=sum(process.num_threads() for process in processes) / n_nodes,
        by_thread=dict(by_thread.most_common()),
    )


def _busy(pid: int) -> dict[tuple[str, int], float]:
    """Seconds on a processor of each thread of a process, by its name and number."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        nanoseconds = int((task / "schedstat").read_text().split()[0])
        found[(task / "comm").read_text().strip(), int(task.name)] = nanoseconds / 1e9
    return found


def _names() -> dict[int, str]:
    """Names of this process's Python threads by number, without what tells those of one kind apart."""
    running = [(thread.native_id, thread.name) for thread in threading.enumerate()]
    return {number: re.split("-(?:node|edge)", name)[0] for number, name in running if number}


def _lo_bytes() -> int:
    return psutil.net_io_counters(pernic=True)["lo"].bytes_sent


if __name__ == "__main__":
    main()
