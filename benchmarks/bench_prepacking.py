"""Speed and memory beside plain ONNX Runtime: whole, first and from kept forms, and at cuts, one thread.

Networks whose kernels pack their weights (float, int8 and int4 products, recurrent layers, convolutions). Every round
runs every way once, in turn, and gives one ratio for each: its time over that of a plain session of the same file with
default options. At a cut the times of both segments are added. One thread computes all of it, so its processor time is
what is compared: other processes hardly move that. Cuts are candidates of the planner: the one nearest the
middle of the work, and the inner one that sends least.
Memory is the PSS of a fresh process that holds the sessions and has run once, above that of one that holds none; a
second pipeline is another cut, as while a switch prepares it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from models import CHILD, in_a_child, plain_session, thread_s
from packed_nets import NETS
from reporting import Report, parser, progress, spread

from seamline.core.vocabulary.plans import Segment
from seamline.model import ModelStore, OrtEngine, StoredModel
from seamline.model.engine.verify import random_tensors
from seamline.runtime.shared.trimming import trim

LIMIT_RATIO = 1.05
N_ROUNDS, N_ROUNDS_QUICK = 41, 7
N_MEMORY = 3
WAYS = ("whole, first", "whole, kept", "middle cut", "least bytes")
HELD = ("none", "plain", "whole, first", "whole, kept", "one pipeline", "two pipelines")


def main() -> None:
    options = parser("Speed and memory beside plain ONNX Runtime")
    options.add_argument("--only", nargs="*", choices=NETS, default=list(NETS), help="networks to measure")
    chosen = options.parse_args()
    report = Report("prepacking", "Segments beside plain ONNX Runtime", chosen)
    rows = []
    with tempfile.TemporaryDirectory(prefix="seamline-bench-") as folder:
        store = ModelStore(Path(folder) / "store")
        for name in chosen.only:
            progress(f"{name}: making it")
            path = NETS[name](Path(folder) / f"{name}.onnx")
            stored = store.add(path)
            cuts = _cuts(stored)
            progress(f"{name}: speed at cuts {cuts}")
            n_rounds = N_ROUNDS_QUICK if chosen.quick else N_ROUNDS
            row: dict[str, Any] = {"model": name, "cuts": cuts, "weights_bytes": stored.weights_bytes}
            row |= _speed(store, stored, path, cuts, n_rounds)
            progress(f"{name}: memory")
            row["pss_bytes"] = {
                held: [
                    in_a_child(__file__, store.root, stored.model_id, path, held, *cuts)["pss_bytes"]
                    for _ in range(1 if chosen.quick else N_MEMORY)
                ]
                for held in HELD
            }
            rows.append(row)
            path.unlink()
    report.data = {"limit_ratio": LIMIT_RATIO, "rows": rows}
    _tell(report, rows)
    report.finish()


def _cuts(model: StoredModel) -> list[int]:
    """The candidate nearest the middle of the work, and the inner one that sends least."""
    inner = [cut for cut in model.cuts[1:-1] if cut.is_candidate]
    half = model.cuts[-1].macs_before / 2
    middle = min(inner, key=lambda cut: abs(cut.macs_before - half))
    least = min(inner, key=lambda cut: (cut.payload_bytes, abs(cut.macs_before - half)))
    return [middle.index, least.index]


def _speed(store: ModelStore, model: StoredModel, path: Path, cuts: list[int], n_rounds: int) -> dict[str, Any]:
    feeds = random_tensors(model.graph.input_specs, 0)
    plain = plain_session(path)
    plain.run(None, feeds)
    ways = _ways(store, model, cuts)
    plain_s: list[float] = []
    ratios: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(n_rounds):
        plain_s.append(thread_s(lambda: plain.run(None, feeds)))
        for way, run in ways.items():
            ratios[way].append(run(feeds) / plain_s[-1])
    return {"plain_s": plain_s, "ratios": ratios}


def _ways(store: ModelStore, model: StoredModel, cuts: list[int]) -> dict[str, Callable[[Any], float]]:
    """Seconds that one run takes, by way. Every segment has run before."""
    fresh, kept = OrtEngine(store, 1, takes_kept=False), OrtEngine(store, 1)
    last = model.whole.stop
    splits = [[Segment(0, cut), Segment(cut, last)] for cut in cuts]
    for segment in (model.whole, *(segment for split in splits for segment in split)):
        kept.keep(model.model_id, segment)
    chains = [(fresh, [model.whole]), (kept, [model.whole]), *((kept, split) for split in splits)]
    ways = {}
    for way, (engine, segments) in zip(WAYS, chains, strict=True):
        parts = [engine.prepare(model.model_id, segment) for segment in segments]

        def run(tensors: Any, parts: list[Any] = parts) -> float:
            began_s = time.thread_time()
            for part in parts:
                tensors = part.run(tensors)
            return time.thread_time() - began_s

        run(random_tensors(model.graph.input_specs, 0))
        ways[way] = run
    return ways


def _child(root: str, model_id: str, path: str, held: str, *cuts: str) -> None:
    """Hold what `held` says, run it once, and print the PSS after that."""
    store = ModelStore(Path(root))
    model = store.get(model_id)
    feeds: Any = random_tensors(model.graph.input_specs, 0)
    kept = OrtEngine(store, 1)
    splits = [[Segment(0, int(cut)), Segment(int(cut), model.whole.stop)] for cut in cuts]
    chains = {
        "whole, first": [(OrtEngine(store, 1, takes_kept=False), [model.whole])],
        "whole, kept": [(kept, [model.whole])],
        "one pipeline": [(kept, splits[0])],
        "two pipelines": [(kept, split) for split in splits],
    }
    holding: list[Any] = []
    if held == "plain":
        holding.append(plain_session(Path(path)))
        holding[0].run(None, feeds)
    for engine, segments in chains.get(held, []):
        tensors = feeds
        for segment in segments:
            holding.append(engine.prepare(model_id, segment))
            tensors = holding[-1].run(tensors)
    trim()  # as a node does after it has prepared something
    print(json.dumps({"pss_bytes": psutil.Process().memory_full_info().pss, "n_sessions": len(holding)}))


def _tell(report: Report, rows: list[dict[str, Any]]) -> None:
    report.say(
        f"Time of one run over that of plain ONNX Runtime on the same file, median (p10-p90); target <= {LIMIT_RATIO}.",
        "`first`: the session is optimised as it is made; `kept`: from the form kept on disk, as are the cuts.",
        "",
    )
    table = []
    for row in rows:
        plain, ratios = spread(row["plain_s"]), row["ratios"]
        cells = [spread(ratios[way]).text() for way in WAYS]
        table.append((row["model"], plain.n, plain.text(1e3, 1), *cells, ", ".join(map(str, row["cuts"]))))
    report.table(("model", "n", "plain, ms", *WAYS, "cuts"), table)
    report.say("Memory (PSS) above that of a process that holds no session, MB:", "")
    held = HELD[1:]
    table = []
    for row in rows:
        none = spread(row["pss_bytes"]["none"]).median
        over = [spread(value - none for value in row["pss_bytes"][way]).text(1e-6, 0) for way in held]
        table.append((row["model"], f"{row['weights_bytes'] / 1e6:.0f}", *over))
    report.table(("model", "weights", *held), table)


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        _child(*sys.argv[2:])
    else:
        main()
