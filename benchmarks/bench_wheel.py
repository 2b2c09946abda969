"""What a stranger gets from the wheel: sizes, seconds, and what the commands say in an empty environment.

Builds the wheel, makes a virtual environment and a home with nothing of ours in them, installs the wheel with its
dependencies and no extra, and then types what a newcomer would in a terminal of 60 columns: help, doctor, a demo, a
video, mistakes, Ctrl-C. A command that ends with another code than it should, lacks a word that it should say, shows a
traceback, draws a table wider than the terminal or leaves a process behind is a failure, and the exit code is 1.
`make wheel-check` runs this. It needs a package index.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil
from reporting import Report, parser, progress

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = 60
PATIENCE_S = 300.0
DEMO = ("demo", "--seconds", "24")
T = TypeVar("T")
BORDERS = "─│╭╰"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A command line, and what must come of it. says: words on either output. interrupt_s: Ctrl-C after so long."""

    what: str
    args: tuple[str, ...]
    code: int = 0
    says: tuple[str, ...] = ()
    interrupt_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """cpu_s: of the command and the processes it waited for; unlike took_s it hardly depends on what else runs."""

    took_s: float
    cpu_s: float
    faults: tuple[str, ...]


def trials(video: Path) -> tuple[Trial, ...]:
    run = ("run", "mobilenetv2", "--source", str(video), "--every-frame")
    saved = ("--save", "answers.jsonl", "--save", "out.mp4")
    return (
        Trial(what="help", args=("--help",), says=("Usage", "demo", "run")),
        Trial(what="doctor", args=("doctor",), says=("onnxruntime", "zoo")),
        Trial(what="a wrong flag", args=("run", "--nonsense"), code=2, says=("--nonsense", "hint:")),
        Trial(what="a missing file", args=("inspect", "missing.onnx"), code=2, says=("missing.onnx", "hint:")),
        Trial(what="no node there", args=("nodes",), code=1, says=("hint:",)),
        Trial(what="a video, first run", args=(*run, *saved), says=("120 of 120", "saved out.mp4")),
        Trial(what="a video, second run", args=(*run, *saved), says=("120 of 120", "saved out.mp4")),
        Trial(what="cuts of a model", args=("inspect", "mobilenetv2"), says=("MACs",)),
        Trial(what="demo, first run", args=DEMO, says=("0 lost", "static split", "random weights")),
        Trial(what="demo, second run", args=DEMO, says=("0 lost", "static split")),
        Trial(what="Ctrl-C of a demo", args=("demo",), code=130, interrupt_s=12.0),
        Trial(what="Ctrl-C of a node", args=("node",), code=130, interrupt_s=4.0),
    )


def main() -> None:
    options = parser("The wheel in an empty environment")
    options.add_argument("--only", default="", help="what is typed that has these words in its name: demo")
    chosen = options.parse_args()
    report = Report("wheel", "The wheel in an empty environment", chosen)
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder)
        progress("building, installing")
        wheel, build_s = timed(lambda: build(scene / "wheel"))
        python = make_venv(scene / "venv")
        before_bytes = size_of(scene / "venv")
        before_s = children_cpu_s()
        _, install_s = timed(lambda: pip(python, "install", str(wheel)))
        install_cpu_s = children_cpu_s() - before_s
        sizes = package_sizes(scene / "venv")
        installed_bytes, wheel_bytes = size_of(scene / "venv") - before_bytes, wheel.stat().st_size
        (video,) = (scene / "venv").glob("lib/python*/site-packages/seamline/data/photos.mp4")
        wanted = [one for one in trials(video) if chosen.only in one.what]
        played = [one for one in wanted if not (chosen.quick and one.args[0] == "demo")]
        outcomes = [attempt(trial, scene) for trial in played]
    report.table(
        ("", "MB", "s", "CPU s"),
        [
            ("the wheel, and to build it", f"{wheel_bytes / 1e6:.1f}", f"{build_s:.0f}", ""),
            (
                "with its dependencies, and to download and install them",
                f"{installed_bytes / 1e6:.0f}",
                f"{install_s:.0f}",
                f"{install_cpu_s:.0f}",
            ),
            *[(f"of that `{name}`", f"{n_bytes / 1e6:.0f}", "", "") for name, n_bytes in sizes[:6]],
        ],
    )
    rows = [
        (
            f"{trial.what}: `seamline {trial.args[0]}`",
            f"{outcome.took_s:.1f}",
            f"{outcome.cpu_s:.1f}",
            "; ".join(outcome.faults) or "yes",
        )
        for trial, outcome in zip(played, outcomes, strict=True)
    ]
    report.table(("typed", "s", "CPU s", "as it should"), rows)
    report.data = {
        "wheel_bytes": wheel_bytes,
        "build_s": build_s,
        "installed_bytes": installed_bytes,
        "install_s": install_s,
        "install_cpu_s": install_cpu_s,
        "packages_bytes": dict(sizes),
        "typed": [
            {
                "args": [Path(arg).name for arg in trial.args],
                "took_s": outcome.took_s,
                "cpu_s": outcome.cpu_s,
                "faults": outcome.faults,
            }
            for trial, outcome in zip(played, outcomes, strict=True)
        ],
    }
    report.finish()
    if any(outcome.faults for outcome in outcomes):
        sys.exit(1)


def build(folder: Path) -> Path:
    """The wheel of this tree."""
    pip(Path(sys.executable), "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("*.whl")
    return wheel


def make_venv(folder: Path) -> Path:
    """The Python of a new virtual environment."""
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


def pip(python: Path, *args: str) -> None:
    subprocess.run([python, "-m", "pip", "--disable-pip-version-check", args[0], "--quiet", *args[1:]], check=True)


def timed(action: Callable[[], T]) -> tuple[T, float]:
    started_s = time.monotonic()
    return action(), time.monotonic() - started_s


def children_cpu_s() -> float:
    """Processor seconds of the children of this process that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def size_of(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def package_sizes(environment: Path) -> list[tuple[str, int]]:
    """Bytes of what lies in the environment's packages, largest first."""
    (packages,) = environment.glob("lib/python*/site-packages")
    sizes = {one.name: size_of(one) for one in packages.iterdir() if one.is_dir()}
    return sorted(sizes.items(), key=lambda item: -item[1])


def attempt(trial: Trial, scene: Path) -> Outcome:
    """Type one command, in a home and a folder that were empty before the first."""
    progress(trial.what)
    for name in ("home", "here"):
        (scene / name).mkdir(exist_ok=True)
    settings = {"HOME": str(scene / "home"), "PATH": os.defpath, "LANG": "C.UTF-8", "COLUMNS": str(COLUMNS)}
    command = [str(scene / "venv" / "bin" / "seamline"), *trial.args]
    started_s, before_s = time.monotonic(), children_cpu_s()
    with subprocess.Popen(
        command,
        cwd=scene / "here",
        env=settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as child:
        said, is_ended = said_by(child, trial.interrupt_s)
        took_s, left = time.monotonic() - started_s, leftovers(child.pid)
        for process in left:
            process.kill()
    cpu_s = children_cpu_s() - before_s
    return Outcome(took_s=took_s, cpu_s=cpu_s, faults=tuple(faults_of(trial, said, child.returncode, is_ended, left)))


def said_by(child: subprocess.Popen[str], interrupt_s: float | None) -> tuple[str, bool]:
    """What a command says until it ends, after Ctrl-C if that is wanted; False when it has to be killed."""
    try:
        if interrupt_s is not None:
            try:
                return child.communicate(timeout=interrupt_s)[0], True
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGINT)
        return child.communicate(timeout=PATIENCE_S)[0], True
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        return child.communicate()[0], False


def leftovers(session: int) -> list[psutil.Process]:
    """Processes of the session that a command led."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def faults_of(trial: Trial, said: str, code: int, is_ended: bool, left: list[psutil.Process]) -> Iterator[str]:
    if not is_ended:
        yield f"does not end within {PATIENCE_S:.0f} s"
    elif code != trial.code:
        yield f"exit code {code}, not {trial.code}: {said[-300:]}"
    yield from (f"does not say `{word}`" for word in trial.says if word not in said)
    if "Traceback" in said:
        yield f"a traceback: {said[-300:]}"
    yield from (
        f"a line of {len(line)} columns" for line in said.splitlines() if is_table(line) and len(line) > COLUMNS
    )
    if left:
        yield f"{len(left)} processes are left"


def is_table(line: str) -> bool:
    return any(sign in line for sign in BORDERS)


if __name__ == "__main__":
    main()
