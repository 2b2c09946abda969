"""How long until a node is ready to run another cut: both segments made runnable, weights already in the store.

This is what stands between the decision to switch and the new plan serving. Every cut is prepared several times, in
turn with the others; each pair of segments is let go before the next, as after a switch. Once as on the first use of a
cut, and once from optimised segments kept since (`seamline.model.engine.optimised`), which are made first where they
are not there: that takes a minute and is not measured.
"""

from __future__ import annotations

import gc
import time
from typing import Any

from models import keep_segments
from reporting import Report, parser, progress, spread

from seamline.core.vocabulary.plans import Segment
from seamline.model import ModelStore, OrtEngine, StoredModel
from seamline.model.locate import load_model

LIMIT_S = 0.150
"""Issue 2: VGG-19, both sides, median over cuts."""

FIRST, KEPT = "first use", "kept since"

MODELS = ("vgg19", "mobilenetv2", "resnet50")
N_ROUNDS = 3
"""Of the candidate cuts."""


def main() -> None:
    options = parser("Segment preparation time")
    options.add_argument("--model", action="append", choices=MODELS, help="only this one; repeatable")
    options.add_argument("--all-cuts", action="store_true", help="all legal cuts, not only candidates")
    chosen = options.parse_args()
    report = Report("preparation", "Preparing both segments of a cut", chosen)
    rows = []
    for name in chosen.model or MODELS:
        progress(name)
        store, model = load_model(name)
        rows.append(_measure(store, model, 1 if chosen.quick else N_ROUNDS, chosen.all_cuts))
    report.data = {"limit_s": LIMIT_S, "models": rows}
    _tell(report, rows)
    report.finish()


_COLUMNS = ("before_s", "before_cpu_s", "after_s", "after_cpu_s")


def _measure(store: ModelStore, model: StoredModel, n_rounds: int, all_cuts: bool) -> dict[str, Any]:
    """Seconds by cut and round: the side before the cut, the one after it."""
    last = len(model.cuts) - 1
    inner = [cut.index for cut in model.cuts[1:-1] if all_cuts or cut.is_candidate]
    engines = {FIRST: OrtEngine(store, 1, takes_kept=False), KEPT: OrtEngine(store, 1)}
    keep_segments(engines[KEPT], model, [Segment(*span) for cut in inner for span in ((0, cut), (cut, last))])
    for engine in engines.values():
        _prepare(engine, model, 0, last)  # maps the weights and loads what the engine loads once
    samples: dict[str, dict[int, list[tuple[float, ...]]]] = {way: {cut: [] for cut in inner} for way in engines}
    for _ in range(n_rounds):
        for cut in inner:
            for way, engine in engines.items():
                row = (*_prepare(engine, model, 0, cut), *_prepare(engine, model, cut, last))
                samples[way][cut].append(row)
    return {
        "model": model.name,
        "load_s": _load(store, model),
        "cuts": {
            way: [
                {"cut": cut, **dict(zip(_COLUMNS, zip(*rows, strict=True), strict=True))} for cut, rows in those.items()
            ]
            for way, those in samples.items()
        },
    }


def _prepare(engine: OrtEngine, model: StoredModel, start: int, stop: int) -> tuple[float, float]:
    """(seconds by the clock, by the processor)."""
    gc.collect()  # the segment before this one is let go here, not within the time measured
    started_s, cpu_started_s = time.perf_counter(), time.process_time()
    segment = engine.prepare(model.model_id, Segment(start, stop))
    spent_s, cpu_s = time.perf_counter() - started_s, time.process_time() - cpu_started_s
    del segment
    return spent_s, cpu_s


def _load(store: ModelStore, model: StoredModel) -> list[float]:
    """Seconds to open the stored model in a process that has not seen it: once per node and model."""
    spent_s = []
    for _ in range(5):
        fresh = ModelStore(store.root)
        started_s = time.perf_counter()
        fresh.get(model.model_id)
        spent_s.append(time.perf_counter() - started_s)
    return spent_s


def _tell(report: Report, rows: list[dict[str, Any]]) -> None:
    report.say(
        "Both segments one after the other on one thread (on two nodes they are prepared at the same time, so the",
        "slower side counts), ms: median (p10-p90) over cuts of each cut's median. `load`: once per node and model.",
        f"Target: VGG-19, both sides, median over cuts <= {LIMIT_S * 1e3:.0f} ms.",
        "",
    )
    table = [_row(row, way) for row in rows for way in (FIRST, KEPT)]
    report.table(
        ("model", "segments", "cuts x n", "**both sides**", "processor time", "slowest cut", "slower side", "load"),
        table,
    )


def _row(row: dict[str, Any], way: str) -> tuple[str, ...]:
    cuts = row["cuts"][way]
    both, both_cpu = (
        [spread(b + a for b, a in zip(cut[before], cut[after], strict=True)).median for cut in cuts]
        for before, after in (("before_s", "after_s"), ("before_cpu_s", "after_cpu_s"))
    )
    slower = [max(spread(cut["before_s"]).median, spread(cut["after_s"]).median) for cut in cuts]
    return (
        row["model"],
        way,
        f"{len(cuts)} x {len(cuts[0]['before_s'])}",
        f"**{spread(both).text(1e3, 1)}**",
        spread(both_cpu).text(1e3, 1),
        f"{max(both) * 1e3:.1f}",
        spread(slower).text(1e3, 1),
        spread(row["load_s"]).text(1e3, 1),
    )


if __name__ == "__main__":
    main()
