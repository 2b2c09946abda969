"""Processes are started, killed and stopped by name, and nothing of them is left behind."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from seamline.config import NodeSpec, last_resort
from seamline.core.vocabulary.errors import SeamlineError, UsageError
from seamline.testbed.processes import NodeProcesses, node_command

READY = 'print(\'{"event": "ready"}\', flush=True);'
SLEEPING = (sys.executable, "-c", f"import time; {READY} time.sleep(600)")
STUBBORN = (
    sys.executable,
    "-c",
    f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY} time.sleep(600)",
)


@pytest.fixture
def processes() -> Iterator[NodeProcesses]:
    with NodeProcesses() as made:
        yield made


def test_the_command_line_says_what_the_testbed_says() -> None:
    node = NodeSpec(name="fog", tier="fog", slowdown=3.0, threads=2, memory_mb=512, idle_w=2.0, busy_w=9.0)
    command = node_command(node, listen="tcp/127.0.0.1:1", connect=["tcp/a:2", "tcp/b:3"], cluster="x")
    assert command == (
        sys.executable, "-m", "seamline", "node", "--json", "--name", "fog", "--tier", "fog",
        "--listen", "tcp/127.0.0.1:1", "--connect", "tcp/a:2", "--connect", "tcp/b:3", "--cluster", "x",
        "--slowdown", "3", "--parent-pid", str(os.getpid()), "--threads", "2", "--memory", "512MB",
        "--power", "idle=2,busy=9",
    )  # fmt: skip


def test_a_killed_process_is_gone_and_can_be_started_again(processes: NodeProcesses) -> None:
    first = processes.start("fog", SLEEPING)
    processes.wait_ready("fog")
    processes.kill("fog")
    assert first.popen.returncode == -signal.SIGKILL
    assert not processes.is_alive("fog")
    processes.kill("fog")
    second = processes.restart("fog")
    processes.wait_ready("fog")
    assert processes.is_alive("fog")
    assert second.command == first.command
    assert second.popen.pid != first.popen.pid


def test_stop_asks_first_and_then_insists(processes: NodeProcesses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seamline.testbed.processes.STOP_TIMEOUT_S", 0.2)
    polite, stubborn = processes.start("polite", SLEEPING), processes.start("stubborn", STUBBORN)
    for name in ("polite", "stubborn"):
        processes.wait_ready(name)
        processes.stop(name)
    assert polite.popen.returncode == -signal.SIGTERM
    assert stubborn.popen.returncode == -signal.SIGKILL


def test_one_that_ends_while_starting_is_reported_with_its_last_words(processes: NodeProcesses) -> None:
    processes.start("fog", (sys.executable, "-c", "import sys; sys.exit('the port is in use')"))
    with pytest.raises(SeamlineError, match=r"node `fog` ended with code 1 while starting: the port is in use"):
        processes.wait_ready("fog")


def test_one_that_never_gets_ready_is_not_waited_for_without_end(processes: NodeProcesses) -> None:
    processes.start("fog", SLEEPING)
    with pytest.raises(SeamlineError, match=r"not ready after 0\.1 s"):
        processes.wait_ready("fog", lambda process: False, timeout_s=0.1)


def test_a_process_is_told_to_slow_down_on_its_standard_input(processes: NodeProcesses) -> None:
    echoing = f"import sys; {READY} print(sys.stdin.readline(), end='', file=sys.stderr, flush=True)"
    process = processes.start("fog", (sys.executable, "-c", echoing))
    processes.wait_ready("fog")
    processes.slow_down("fog", 2.5)
    process.popen.wait(timeout=20)
    assert processes.log_tail("fog") == "slowdown 2.5"
    with pytest.raises(SeamlineError, match="node `fog` has ended, and cannot be told `slowdown 3`"):
        processes.slow_down("fog", 3.0)


def test_a_paused_process_goes_on_where_it_was(processes: NodeProcesses) -> None:
    echoing = f"import sys; {READY} print(sys.stdin.readline(), end='', file=sys.stderr, flush=True)"
    process = processes.start("fog", (sys.executable, "-c", echoing))
    processes.wait_ready("fog")
    processes.pause("fog")
    processes.slow_down("fog", 2.0)
    with pytest.raises(subprocess.TimeoutExpired):
        process.popen.wait(timeout=0.3)
    assert processes.exit_code("fog") is None
    processes.resume("fog")
    process.popen.wait(timeout=20)
    assert processes.log_tail("fog") == "slowdown 2"
    assert processes.exit_code("fog") == 0


def test_a_process_writes_no_more_than_its_limit_until_it_is_lifted(processes: NodeProcesses) -> None:
    writing = f"""
import sys
{READY}
for _ in "12":
    sys.stdin.readline()
    try:
        with open(sys.argv[1], "wb") as file:
            file.write(bytes(10_000))
        print("written", file=sys.stderr, flush=True)
    except OSError as error:
        print(error.strerror, file=sys.stderr, flush=True)
    print(end="x", flush=True)
"""
    process = processes.start("fog", (sys.executable, "-c", writing, str(processes.folder / "large")))
    processes.wait_ready("fog")
    processes.limit_files("fog", 4096)
    processes.slow_down("fog", 1.0)
    processes.wait_ready("fog", lambda process: process.out.read_text().endswith("x"))
    processes.limit_files("fog", None)
    processes.slow_down("fog", 1.0)
    process.popen.wait(timeout=20)
    assert processes.log_tail("fog").splitlines() == ["File too large", "written"]


def test_a_process_takes_no_more_memory_than_its_limit_until_it_is_lifted(processes: NodeProcesses) -> None:
    taking = f"""
import sys
{READY}
for _ in "12":
    sys.stdin.readline()
    try:
        bytearray(1 << 28)
        print("taken", file=sys.stderr, flush=True)
    except MemoryError:
        print("refused", file=sys.stderr, flush=True)
    print(end="x", flush=True)
"""
    process = processes.start("fog", (sys.executable, "-c", taking))
    processes.wait_ready("fog")
    processes.limit_memory("fog", 16 << 20)
    processes.slow_down("fog", 1.0)
    processes.wait_ready("fog", lambda process: process.out.read_text().endswith("x"))
    processes.limit_memory("fog", None)
    processes.slow_down("fog", 1.0)
    process.popen.wait(timeout=20)
    assert processes.log_tail("fog").splitlines() == ["refused", "taken"]


def test_names_are_checked(processes: NodeProcesses) -> None:
    processes.start("fog", SLEEPING)
    with pytest.raises(UsageError, match="node `fog` runs already"):
        processes.start("fog", SLEEPING)
    with pytest.raises(UsageError, match="no process `edge` was started here; hint: there are: fog"):
        processes.kill("edge")


def test_an_exception_ends_the_processes_and_removes_the_folder() -> None:
    processes = NodeProcesses()
    process = processes.start("fog", SLEEPING)
    processes.wait_ready("fog")
    assert process.log.exists()

    def fail() -> None:
        with processes:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert process.popen.returncode == -signal.SIGTERM
    assert not processes.folder.exists()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_parent_ends_the_processes_and_removes_the_folder(how: signal.Signals, tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import signal, time
        from seamline.testbed.processes import NodeProcesses
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background ignores it
        with NodeProcesses() as processes:
            child = processes.start("fog", {SLEEPING!r})
            processes.wait_ready("fog")
            print(child.popen.pid, processes.folder, flush=True)
            time.sleep(600)
        """
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert parent.stdout is not None
    pid, folder = parent.stdout.readline().split()
    parent.send_signal(how)
    assert parent.wait(timeout=20) != 0
    parent.stdout.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
    assert not Path(folder).exists()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_given_up_leaves_no_process_and_no_folder():
    processes = NodeProcesses()
    try:
        process = processes.start("one", [sys.executable, "-c", "import time; time.sleep(60)"])
        last_resort.give_up_all()
        assert process.popen.wait(10) == -signal.SIGKILL
        assert not processes.folder.exists()
    finally:
        processes.close()


def test_what_one_process_is_told_by_the_environment_is_not_for_all_nodes(
    processes: NodeProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEAMLINE_METRICS", "9464")
    monkeypatch.setenv("SEAMLINE_LOG_FORMAT", "json")
    monkeypatch.setenv("SEAMLINE_THREADS", "1")
    says = 'import os, sys; print([name for name in os.environ if name.startswith("SEAMLINE_")], file=sys.stderr);'
    fog = processes.start("fog", (sys.executable, "-c", says + READY + "import time; time.sleep(60)"))
    processes.wait_ready("fog")
    said = fog.log.read_text(encoding="utf-8")
    assert "SEAMLINE_THREADS" in said
    assert "SEAMLINE_METRICS" not in said
    assert "SEAMLINE_LOG_FORMAT" not in said
