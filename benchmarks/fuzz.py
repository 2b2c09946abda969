"""Mutated bytes for every reader of what comes from peers and from files: crashes, wrong outputs, memory.

    python benchmarks/fuzz.py --executions 1000000 --seed 1      all targets, each in a process of its own
    python benchmarks/fuzz.py --target wire --executions 10000   those whose name has the word in it

Valid samples (`fuzz_targets.py`) are flipped, cut, repeated, spliced and filled with numbers and marks that break
readers. A *crash* is any exception but `SeamlineError`, a process that dies, or an execution of more than `SLOW_S`; a
*wrong output* is bytes that were taken and must not have been. Memory is the growth of the process after its first
tenth. The bytes of each failure are in the JSON file, in hexadecimal: `--replay TARGET HEX` runs them again.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from fuzz_targets import Target, WrongOutput, targets
from reporting import Report, parser, progress

from seamline.core.vocabulary.errors import SeamlineError

SLOW_S = 5.0
MOST_KEPT = 20
"""Failures of a target that are kept with their bytes; each place in the code once."""

NUMBERS = tuple(
    value.to_bytes(size, "little", signed=False)
    for size in (1, 2, 4, 8)
    for value in (0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1)
)


def main() -> None:
    chosen = _options().parse_args()
    if chosen.replay:
        _replay(*chosen.replay)
        return
    if chosen.child:
        print(json.dumps(_fuzz(chosen.child, chosen.executions, chosen.seed)))
        return
    report = Report("fuzz", "Fuzzing of every reader", chosen)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        known = {name: one for name, one in targets(Path(folder)).items() if chosen.target in name}
    total = sum(one.share for one in known.values())
    for name, target in known.items():
        progress(name)
        n_executions = max(1, round(chosen.executions * target.share / total))
        rows.append(_in_a_child(name, n_executions, chosen.seed))
    report.data = {"seed": chosen.seed, "rows": rows}
    _tell(report, rows)
    report.finish()
    sys.exit(any(row["crashes"] or row["wrong"] for row in rows))


def _options() -> argparse.ArgumentParser:
    options = parser("Mutated bytes for every reader")
    options.add_argument("--executions", type=int, default=20_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--target", default="", help="only those with this in their name")
    options.add_argument("--child", help=argparse.SUPPRESS)
    options.add_argument("--replay", nargs=2, metavar=("TARGET", "HEX"), help="run one failure again")
    return options


def _tell(report: Report, rows: list[dict[str, Any]]) -> None:
    head = ("target", "executions", "refused", "taken", "crashes", "wrong outputs", "slowest, ms", "memory grew, MB")
    counts = ("target", "executions", "refused", "taken", "crashes", "wrong")
    report.table(
        head,
        [
            (*(row[key] for key in counts), f"{1e3 * row['slowest_s']:.0f}", f"{row['growth_bytes'] / 1e6:.1f}")
            for row in rows
        ],
    )
    for row in rows:
        for failure in row["failures"]:
            report.say(f"{row['target']}: {failure['words']} ({failure['n']} times)", "")


def _in_a_child(name: str, n_executions: int, seed: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", name]
    command += ["--executions", str(n_executions), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return row
    words = f"the process ended with {done.returncode}: {done.stderr[-300:]}"
    return {
        "target": name, "executions": n_executions, "refused": 0, "taken": 0, "crashes": 1, "wrong": 0,
        "slowest_s": 0.0, "growth_bytes": 0, "failures": [{"words": words, "n": 1, "hex": ""}],
    }  # fmt: skip


def _fuzz(name: str, n_executions: int, seed: int) -> dict[str, Any]:
    """Run one target in this process."""
    rng, process = random.Random(f"{name} {seed}"), psutil.Process()
    outcomes: Counter[str] = Counter()
    failures: dict[str, dict[str, Any]] = {}
    slowest_s, before_bytes = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        target = targets(Path(folder))[name]
        for sample in target.samples:
            target.run(sample)  # a reader that refuses what is valid is not tested by what is not
        for at in range(n_executions):
            if at == n_executions // 10:
                before_bytes = process.memory_info().rss
            data = mutated(target, rng)
            begun_s = time.monotonic()
            outcome, where = _run(target, data)
            took_s = time.monotonic() - begun_s
            slowest_s = max(slowest_s, took_s)
            if outcome in ("refused", "taken") and took_s > SLOW_S:
                outcome, where = "crashes", f"it took {took_s:.1f} s"
            outcomes[outcome] += 1
            if outcome in ("crashes", "wrong") and (where in failures or len(failures) < MOST_KEPT):
                known = failures.setdefault(where, {"words": where, "n": 0, "hex": data.hex()})
                known["n"] += 1
    return {
        "target": name,
        "executions": n_executions,
        **{outcome: outcomes[outcome] for outcome in ("refused", "taken", "crashes", "wrong")},
        "slowest_s": slowest_s,
        "growth_bytes": process.memory_info().rss - before_bytes,
        "failures": list(failures.values()),
    }


def _run(target: Target, data: bytes) -> tuple[str, str]:
    """(outcome, where and why)."""
    try:
        target.run(data)
    except SeamlineError:
        return "refused", ""
    except WrongOutput as error:
        return "wrong", str(error)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return "crashes", f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"
    return "taken", ""


def mutated(target: Target, rng: random.Random) -> bytes:
    """A sample of `target` after one to six accidents."""
    data = bytearray(rng.choice(target.samples))
    for _ in range(rng.randint(1, rng.choice((1, 2, 6)))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(8):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                number = rng.choice(NUMBERS)
                data[at : at + len(number)] = number
            case 2:
                del data[at : at + rng.choice((1, 2, 8, len(data)))]
            case 3:
                data[at:at] = rng.randbytes(rng.choice((1, 4, 16)))
            case 4:
                data[at:at] = data[at : at + rng.choice((1, 16, 200))] * rng.choice((1, 2, 50))
            case 5:
                other = rng.choice(target.samples)
                data[at:] = other[rng.randrange(len(other) + 1) :]
            case 6 if target.words:
                stop = min(len(data), at + rng.randrange(12))
                data[at:stop] = rng.choice(target.words)
            case 7 if target.words:
                _replace_a_number(data, at, rng.choice(target.words))
            case _ if at < len(data):
                data[at] = rng.randrange(256)
    return bytes(data[: 1 << 20])


def _replace_a_number(data: bytearray, at: int, word: bytes) -> None:
    """Put `word` in the place of the next number behind `at`."""
    digits = b"0123456789.-"
    while at < len(data) and data[at] not in digits:
        at += 1
    stop = at
    while stop < len(data) and data[stop] in digits:
        stop += 1
    data[at:stop] = word


def _replay(name: str, data: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        targets(Path(folder))[name].run(bytes.fromhex(data))


if __name__ == "__main__":
    main()
