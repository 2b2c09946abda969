"""Plays cases on all processors and keeps each outcome, so that an interrupted or late run goes on where it stopped.

    python -m experiments.adaptive_2026.pool    plays cases for another process: a JSON line each in, one out

An outcome is kept in a folder named after everything it was computed from (`fingerprint`): the simulator, the core, the
experiment's scenario and its profiles. After a change of any of them it is computed anew.
"""

from __future__ import annotations

import hashlib
import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import seamline
from experiments.adaptive_2026.cases import Case
from experiments.adaptive_2026.simulated import Outcome, play
from seamline.config.cgroup import n_usable_cores
from seamline.core.vocabulary.errors import SeamlineError

ROOT = Path(__file__).resolve().parents[2]
COMPUTED_FROM = ("cases", "devices", "published", "scenario", "simulated")


def play_all(
    cases: Sequence[Case], folder: Path, told: Callable[[str], None], *, budget_s: float, n_needed: int = 0
) -> tuple[list[Outcome], list[Case]]:
    """The outcomes of `cases` in their order, and what was left out because no case is begun after `budget_s`.

    n_needed: so many of the first are played however long they take.
    Raises `SeamlineError` when a worker fails.
    """
    kept = folder / "cases" / fingerprint()
    kept.mkdir(parents=True, exist_ok=True)
    outcomes = {case.name: known for case in cases if (known := _read(kept, case)) is not None}
    missing: queue.SimpleQueue[tuple[Case, bool]] = queue.SimpleQueue()
    for number, case in enumerate(cases):
        if case.name not in outcomes:
            missing.put((case, number < n_needed))
    if outcomes:
        told(f"{len(outcomes)} of {len(cases)} cases were played before")
    until_s = time.monotonic() + budget_s
    failures: list[SeamlineError] = []
    feeders = [
        _Feeder(missing, outcomes, kept, told, until_s, failures) for _ in range(min(missing.qsize(), n_usable_cores()))
    ]
    try:
        for feeder in feeders:
            feeder.start()
        for feeder in feeders:
            feeder.join()
    finally:
        for feeder in feeders:
            feeder.end()
    if failures:
        raise failures[0]
    done = [outcomes[case.name] for case in cases if case.name in outcomes]
    return done, [case for case in cases if case.name not in outcomes]


def fingerprint() -> str:
    """Of all that decides an outcome."""
    here, package = Path(__file__).parent, Path(seamline.__file__).parent
    files = [here / f"{name}.py" for name in COMPUTED_FROM]
    files += sorted((here / "profiles").glob("*.json"))
    files += sorted(path for name in ("core", "config", "sim") for path in (package / name).rglob("*.py"))
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class _Feeder(threading.Thread):
    """Gives one worker process cases, until there are none or no time is left."""

    def __init__(
        self,
        missing: queue.SimpleQueue[tuple[Case, bool]],
        outcomes: dict[str, Outcome],
        kept: Path,
        told: Callable[[str], None],
        until_s: float,
        failures: list[SeamlineError],
    ) -> None:
        super().__init__(name="feeder", daemon=True)
        self._missing, self._outcomes, self._kept = missing, outcomes, kept
        self._told, self._until_s, self._failures = told, until_s, failures
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self) -> None:
        while not self._failures:
            try:
                case, is_needed = self._missing.get_nowait()
            except queue.Empty:
                return
            if not is_needed and time.monotonic() >= self._until_s:
                return
            self._told(f"{case.model}, {case.objective}, {case.variant}, day {case.seed + 1} (simulated)")
            try:
                self._outcomes[case.name] = _ask(self._process, case)
            except (OSError, ValueError, KeyError, TypeError) as exc:
                self._failures.append(SeamlineError(f"{case.name} could not be played: {exc}"))
                return
            _write(self._kept, self._outcomes[case.name])

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


def _ask(process: subprocess.Popen[str], case: Case) -> Outcome:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(case.to_json()) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise OSError("its process ended; its last words are above")
    return Outcome.from_json(json.loads(line))


def _read(kept: Path, case: Case) -> Outcome | None:
    try:
        known = Outcome.from_json(json.loads((kept / f"{case.name}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there, or cut off in the middle of writing: it is played again
    return known if known.case == case else None


def _write(kept: Path, outcome: Outcome) -> None:
    path = kept / f"{outcome.case.name}.json"
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(outcome.to_json()), encoding="utf-8")
    unfinished.replace(path)


def _serve() -> None:
    """Play what comes in until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; whoever feeds this one ends it
    for line in sys.stdin:
        print(json.dumps(play(Case(**json.loads(line))).to_json()), flush=True)


if __name__ == "__main__":
    _serve()
