"""Node processes of a testbed: started by their command line as a user would, killed on purpose, never left behind.

Every process is its own group and writes to files in one temporary folder. Leaving the context manager ends them all
and removes the folder, also on an exception, Ctrl-C or SIGTERM; against SIGKILL of this process nodes watch their
``--parent-pid`` themselves.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil

from seamline.config import NodeSpec, last_resort
from seamline.core.vocabulary.errors import SeamlineError, UsageError
from seamline.testbed.orders import BEGIN_LINE, slowdown_line
from seamline.testbed.priority import prefer

SEAMLINE = (sys.executable, "-m", "seamline")
STOP_TIMEOUT_S = 1.5
READY_TIMEOUT_S = 30.0
POLL_S = 0.02
FOLLOW_LOADS = "--slowdown-from-stdin"
"""Makes a process take what `NodeProcesses.slow_down` says."""

WAIT_TO_BEGIN = "--wait-to-begin"
"""Makes an origin wait, when all else is ready, until `NodeProcesses.begin`."""

N_LOG_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProcess:
    """Started process of a node. out: its standard output. log: its standard error. Both are files of this run only."""

    name: str
    command: tuple[str, ...]
    out: Path
    log: Path
    popen: subprocess.Popen[bytes]

    @property
    def is_alive(self) -> bool:
        return self.popen.poll() is None


FOR_ONE_PROCESS = frozenset({"SEAMLINE_METRICS", "SEAMLINE_LOG_FORMAT"})
"""Variables that are not for the nodes of a testbed: they cannot share a port, and what they say is read here."""

IsReady = Callable[[NodeProcess], bool]


def node_command(
    node: NodeSpec,
    *,
    listen: str,
    connect: Iterable[str] = (),
    cluster: str = "default",
    options: Sequence[str] = (),
) -> tuple[str, ...]:
    """The command line of `node`, which ends when this process does. options: further flags of ``seamline node``."""
    command = [*SEAMLINE, "node", "--json", "--name", node.name, "--tier", node.tier, "--listen", listen]
    for endpoint in connect:
        command += ["--connect", endpoint]
    command += ["--cluster", cluster, "--slowdown", f"{node.slowdown:g}", "--parent-pid", str(os.getpid())]
    if node.threads:
        command += ["--threads", str(node.threads)]
    if node.memory_mb is not None:
        command += ["--memory", f"{node.memory_mb:.0f}MB"]
    return (*command, *power_options(node), *options)


def power_options(node: NodeSpec) -> tuple[str, ...]:
    """Options by which `node` is given its power figures; none when the testbed has none."""
    return () if node.power_spec is None else ("--power", node.power_spec.to_text())


def announced_ready(process: NodeProcess) -> bool:
    """Whether a node has printed its ``{"event": "ready", ...}``."""
    try:
        said = json.loads(process.out.read_text(encoding="utf-8", errors="replace"))
    except ValueError:
        return False  # nothing yet, or half a line
    return isinstance(said, dict) and said.get("event") == "ready"


@contextmanager
def terminating_as_exception() -> Iterator[None]:
    """Within it, SIGTERM raises `SystemExit` and takes the same way out as Ctrl-C; it would leave no `with`.

    Only the main thread can have it so, and only where nobody else handles the signal; else it changes nothing.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _exit_on_terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class NodeProcesses:
    """The processes of one run. Use it as a context manager; methods may be called from any thread."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="seamline-testbed-"))
        self._processes: dict[str, NodeProcess] = {}
        self._lock = threading.RLock()
        self._is_closed = False
        self._terminating = ExitStack()
        atexit.register(self.close)
        last_resort.register(self._give_up)

    def start(self, name: str, command: Sequence[str]) -> NodeProcess:
        """Start `command` as the process `name`. Raises `UsageError` when that one runs already, or all were ended."""
        with self._lock:
            if self._is_closed:
                raise UsageError(f"node `{name}` cannot start: this run is over", hint="make another NodeProcesses")
            running = self._processes.get(name)
            if running is not None and running.is_alive:
                raise UsageError(f"node `{name}` runs already", hint="stop or kill it first")
            out, log = self.folder / f"{name}.out", self.folder / f"{name}.log"
            with out.open("wb") as out_file, log.open("ab") as log_file:
                popen = subprocess.Popen(
                    list(command),
                    stdin=subprocess.PIPE,
                    bufsize=0,
                    stdout=out_file,
                    stderr=log_file,
                    env={name: value for name, value in os.environ.items() if name not in FOR_ONE_PROCESS},
                    start_new_session=True,  # a group of its own: ended as a whole, and not by the terminal's Ctrl-C
                )
            prefer(popen.pid)
            process = NodeProcess(name=name, command=tuple(command), out=out, log=log, popen=popen)
            self._processes[name] = process
            return process

    def wait_ready(self, name: str, is_ready: IsReady = announced_ready, *, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until `is_ready` says so. Raises `SeamlineError` with the end of its log if it ends or is too slow."""
        process = self._get(name)
        deadline_s = time.monotonic() + timeout_s
        while not is_ready(process):
            if not process.is_alive:
                code = process.popen.returncode
                raise SeamlineError(f"node `{name}` ended with code {code} while starting: {self.log_tail(name)}")
            if time.monotonic() > deadline_s:
                raise SeamlineError(f"node `{name}` was not ready after {timeout_s:g} s: {self.log_tail(name)}")
            time.sleep(POLL_S)

    def slow_down(self, name: str, slowdown: float) -> None:
        """Computing in the process `name`, started with `FOLLOW_LOADS`, takes `slowdown` times as long from now on.

        Raises `SeamlineError` when it has ended.
        """
        self._order(name, slowdown_line(slowdown))

    def begin(self, name: str) -> None:
        """The frames of the process `name`, started with `WAIT_TO_BEGIN`, begin. Raises `SeamlineError` if it ended."""
        self._order(name, BEGIN_LINE)

    def kill(self, name: str) -> None:
        """End a process at once, as a power cut would (SIGKILL to its group). One that has ended already stays so."""
        process = self._get(name)
        _signal(process, signal.SIGKILL)
        _wait(process, None)

    def stop(self, name: str, *, timeout_s: float | None = None) -> None:
        """Ask a process to end (SIGTERM), and after `timeout_s`, `STOP_TIMEOUT_S` when None, make it."""
        process = self._get(name)
        _signal(process, signal.SIGTERM)
        self._finish(process, time.monotonic() + (STOP_TIMEOUT_S if timeout_s is None else timeout_s))

    def pause(self, name: str) -> None:
        """Freeze a process, connections and all, as a machine that hangs (SIGSTOP); `resume` lets it go on."""
        _signal(self._get(name), signal.SIGSTOP)

    def resume(self, name: str) -> None:
        _signal(self._get(name), signal.SIGCONT)

    def limit_files(self, name: str, n_bytes: int | None) -> None:
        """No file that the process writes may grow beyond `n_bytes`, as on a full disk; None: as large as may be."""
        _limit(self._get(name), resource.RLIMIT_FSIZE, n_bytes)

    def limit_memory(self, name: str, n_more_bytes: int | None) -> None:
        """The process may take so much more address space than it has now; None: as much as may be."""
        process = self._get(name)
        if process.is_alive:
            has = 0 if n_more_bytes is None else psutil.Process(process.popen.pid).memory_info().vms
            _limit(process, resource.RLIMIT_AS, None if n_more_bytes is None else has + n_more_bytes)

    def exit_code(self, name: str) -> int | None:
        """As `subprocess` has it: negative for a signal; None while the process runs."""
        return self._get(name).popen.poll()

    def restart(self, name: str) -> NodeProcess:
        """Start a process that has ended, or is stopped now, with the same command."""
        if self.is_alive(name):
            self.stop(name)
        return self.start(name, self._get(name).command)

    def is_alive(self, name: str) -> bool:
        process = self._processes.get(name)
        return process is not None and process.is_alive

    def log_text(self, name: str) -> str:
        """All that the processes of this name wrote to their standard error."""
        return self._get(name).log.read_text(encoding="utf-8", errors="replace")

    def log_tail(self, name: str) -> str:
        """The last lines that a process wrote to its standard error."""
        return "\n".join(self.log_text(name).splitlines()[-N_LOG_LINES:]) or "(it wrote nothing)"

    def close(self) -> None:
        """End everything within `STOP_TIMEOUT_S`, and remove the folder. May be called twice."""
        atexit.unregister(self.close)
        with self._lock:
            self._is_closed = True
            for process in self._processes.values():
                _signal(process, signal.SIGTERM)
            deadline_s = time.monotonic() + STOP_TIMEOUT_S
            for process in self._processes.values():
                self._finish(process, deadline_s)
            shutil.rmtree(self.folder, ignore_errors=True)
        last_resort.withdraw(self._give_up)

    def _give_up(self) -> None:
        """Leave nothing, without waiting: this process is being ended."""
        self._is_closed = True
        for process in list(self._processes.values()):
            with suppress(OSError):
                _signal(process, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> NodeProcesses:
        self._terminating.enter_context(terminating_as_exception())
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.close()
        finally:
            self._terminating.close()

    def _get(self, name: str) -> NodeProcess:
        process = self._processes.get(name)
        if process is None:
            known = ", ".join(sorted(self._processes)) or "none"
            raise UsageError(f"no process `{name}` was started here", hint=f"there are: {known}")
        return process

    def _order(self, name: str, line: str) -> None:
        stdin = self._get(name).popen.stdin
        assert stdin is not None, "every process is started with a pipe"
        try:
            stdin.write(line.encode())
        except (OSError, ValueError) as exc:  # the other end is gone, or this one was closed with it
            raise SeamlineError(f"node `{name}` has ended, and cannot be told `{line.strip()}`") from exc

    def _finish(self, process: NodeProcess, deadline_s: float) -> None:
        try:
            _wait(process, max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            _wait(process, None)


def _wait(process: NodeProcess, timeout_s: float | None) -> None:
    process.popen.wait(timeout_s)
    if process.popen.stdin is not None:
        process.popen.stdin.close()


def _signal(process: NodeProcess, number: signal.Signals) -> None:
    """Send `number` to the process's group. One that has ended is left alone: its number may be another's by now."""
    if process.is_alive:
        os.killpg(process.popen.pid, number)


def _limit(process: NodeProcess, kind: int, n_bytes: int | None) -> None:
    if process.is_alive:
        _, most = resource.prlimit(process.popen.pid, kind)
        resource.prlimit(process.popen.pid, kind, (most if n_bytes is None else n_bytes, most))


def _exit_on_terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
