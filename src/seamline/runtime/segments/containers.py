"""Segments in containers of their own, for the strategies `spawn-container` and `standby-container`.

With Podman on the machine each segment runs in a container: from the image `localhost/seamline` when that was built
(containers/Containerfile), else on an empty root with this Python and the system's libraries mounted read-only, so that
no image need be fetched. Docker runs the image only. Where neither works a fresh process takes the container's place,
and `kind` says so. A container has no network, sees the model store read-only besides, and joins the control group
of its node where there is one for processor and memory alike, so that what limits the node limits it too.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

import seamline
from seamline.config.cgroup import ControlGroups
from seamline.core.vocabulary.errors import FabricError, ModelError
from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.ports import Array, Tensors
from seamline.core.vocabulary.profiles import TensorSpec
from seamline.core.vocabulary.providers import CPU
from seamline.model import ModelStore
from seamline.runtime.segments.segment_server import receive_tensors, send_tensors

log = logging.getLogger(__name__)

IMAGE = "localhost/seamline"
START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 5.0
PROBE_TIMEOUT_S = 20.0
SOCKETS_PREFIX = "seamline-segments-"
"""Sockets lie in a temporary folder ``seamline-segments-PID-...`` of the node with that process id."""

_SYSTEM = ("/usr", "/lib", "/lib64", "/bin")
_LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


class ContainerEngine:
    """Makes segments in containers; implements `core.vocabulary.ports.Engine`. Its folder goes with it."""

    def __init__(self, store: ModelStore, n_threads: int) -> None:
        self.store = store
        self.n_threads = n_threads
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()
        self._n_started = 0

    @property
    def name(self) -> str:
        return f"segments in {self.kind}"

    @property
    def provider(self) -> str:
        return CPU

    @property
    def computes_on_caller(self) -> bool:
        return False

    @cached_property
    def kind(self) -> str:
        """Kind of what runs a segment here: ``podman image``, ``docker image``, ``podman rootfs`` or ``process``."""
        return container_kind()

    def prepare(self, model_id: str, segment: Segment) -> ContainerSegment:
        """`segment` of a model, running in a container of its own. Raises `ModelError` when that does not start."""
        part = self.store.get(model_id).segment(segment)
        path = self._next_socket()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(1)
            listener.settimeout(0.1)
            arguments = (str(path), str(self.store.root), model_id, str(segment.start), str(segment.stop))
            popen = subprocess.Popen(
                self._command((*arguments, str(self.n_threads)), path.parent),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            try:
                connection = _accept(listener, popen)
            except BaseException:  # nothing stays behind, whatever it was
                popen.kill()
                _reap(popen)
                path.unlink(missing_ok=True)
                raise
        made = ContainerSegment(connection, popen, path, part.inputs, part.outputs)
        try:
            receive_tensors(connection)
        except BaseException as exc:  # nor here
            made.close()
            if isinstance(exc, EOFError | OSError):
                words = f"segment {segment} ended while it was loaded"
                raise ModelError(words, hint="is there memory for it?") from exc
            raise
        connection.settimeout(None)
        return made

    def _next_socket(self) -> Path:
        with self._lock:
            if self._folder is None:
                prefix = f"{SOCKETS_PREFIX}{os.getpid()}-"
                self._folder = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
            self._n_started += 1
            return Path(self._folder.name) / f"{self._n_started}"

    def _command(self, arguments: Sequence[str], sockets: Path) -> list[str]:
        server = ["-m", "seamline.runtime.segments.segment_server", *arguments]
        if self.kind == "process":
            return [sys.executable, *server]
        store = str(self.store.root)
        return [*container_command(self.kind, sockets, store), *server]


class ContainerSegment:
    """A segment that runs elsewhere on this machine; implements `core.vocabulary.ports.RunnableSegment`. `close` ends
    it.
    """

    def __init__(
        self,
        connection: socket.socket,
        popen: subprocess.Popen[bytes],
        path: Path,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._connection = connection
        self._popen = popen
        self._path = path
        self._lock = threading.Lock()

    def run(self, tensors: Tensors) -> dict[str, Array]:
        """Outputs by name. Raises `ModelError` when the segment fails or its container has ended."""
        try:
            with self._lock:
                send_tensors(self._connection, tensors)
                return receive_tensors(self._connection)
        except (EOFError, OSError, FabricError) as exc:
            raise ModelError(f"the container of a segment has ended: {exc}") from exc

    def close(self) -> None:
        """Hang up, which ends it; the rest is waited for in the background."""
        self._connection.close()
        self._path.unlink(missing_ok=True)
        threading.Thread(target=_reap, args=(self._popen,), name="reap-segment", daemon=True).start()


def container_kind() -> str:
    """Return the kind of container that works here, by trying: see `ContainerEngine.kind`."""
    for engine in ("podman", "docker"):
        if shutil.which(engine) and _works([engine, "image", "inspect", IMAGE]):
            return f"{engine} image"
    if shutil.which("podman") and sys.platform == "linux":
        with tempfile.TemporaryDirectory(prefix=SOCKETS_PREFIX) as folder:
            if _works([*container_command("podman rootfs", Path(folder)), "-c", "import seamline"]):
                return "podman rootfs"
    log.warning("no container engine works here; a fresh process takes a container's place")
    return "process"


def container_command(kind: str, folder: Path, *read_only: str) -> list[str]:
    """Return the command that runs Python in a new container of that kind; its arguments follow.

    folder: seen in it under the same name, and where its root lies if it needs one. read_only: other such folders.
    """
    engine = kind.partition(" ")[0]
    seen = [option for path in read_only for option in ("-v", f"{path}:{path}:ro")]
    # crun refuses hybrid control groups
    runtime = ["--runtime", "runc"] if engine == "podman" and shutil.which("runc") else []
    run = [engine, "run", "--rm", "--network", "none", *runtime, *_LIMITS, *_group_options(engine), *seen]
    run += ["-v", f"{folder}:{folder}"]
    if kind.endswith("image"):
        return [*run, "--user", "0", "--entrypoint", "python", IMAGE]  # as here: the socket's folder is its maker's
    return [*run, *_rootfs_options(folder), sys.executable]


def _rootfs_options(folder: Path) -> list[str]:
    """An empty root below `folder`, with this Python, its packages and the system's libraries mounted read-only."""
    root = folder / "root"
    package = Path(seamline.__file__).parents[1]
    wanted = [Path(path) for path in (*_SYSTEM, sys.base_prefix, sys.prefix)] + [package]
    mounted: list[Path] = []
    for path in wanted:
        if path.exists() and not any(path.is_relative_to(other) for other in mounted):
            mounted.append(path)
            (root / path.relative_to("/")).mkdir(parents=True, exist_ok=True)
    mounts = [option for path in mounted for option in ("-v", f"{path}:{path}:ro")]
    return [*mounts, "--env", f"PYTHONPATH={package}", "--rootfs", str(root)]


def _group_options(engine: str) -> list[str]:
    """Return the options that put a container below the control group of this process; none without such a group.

    For version 1 and root only: with version 2 a group that holds processes may hold no groups.
    """
    if engine != "podman" or os.geteuid() != 0:
        return []
    groups = ControlGroups()
    group = groups.path_of("memory")
    is_shared = groups.path_of("cpu") == group != PurePosixPath("/")
    is_ours = is_shared and (groups.mount / "memory" / group.relative_to("/")).is_dir()
    return ["--cgroup-parent", str(group)] if is_ours else []


def _works(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _accept(listener: socket.socket, popen: subprocess.Popen[bytes]) -> socket.socket:
    """The connection of a container just started. Raises `ModelError` with its last words when it ends before."""
    for _ in range(int(START_TIMEOUT_S / 0.1)):
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            if popen.poll() is None:
                continue
            assert popen.stderr is not None, "opened as a pipe"
            words = popen.stderr.read().decode(errors="replace").strip().splitlines() or ["without a word"]
            raise ModelError(f"the container of a segment did not start: {words[-1][:300]}") from None
        connection.settimeout(START_TIMEOUT_S)
        return connection
    raise ModelError(f"the container of a segment did not start within {START_TIMEOUT_S:.0f} s")


def _reap(popen: subprocess.Popen[bytes]) -> None:
    try:
        popen.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()
    if popen.stderr is not None:
        popen.stderr.close()
