"""Engines beside each other on one processor: ONNX Runtime and OpenVINO, the same segments, the same input.

Time of the whole model, in processor time of one thread, the engines in turn, so that their ratio survives a busy
machine; processor time to prepare it; largest deviation of any output, whole and with the head on one engine and the
tail on the other; and the physical memory (PSS, a fresh process for each figure) of one and of two pipelines, the
second at another cut, as while a switch is prepared.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
from models import CHILD, in_a_child, keep_segments, thread_s
from reporting import Report, parser, progress, spread

from seamline.core.vocabulary.plans import Segment
from seamline.core.vocabulary.providers import CPU, OPENVINO
from seamline.model import ModelStore, OrtEngine, StoredModel
from seamline.model.engine.comparison import relative_error
from seamline.model.engine.providers import open_engine, require
from seamline.model.engine.verify import random_tensors, verify_cuts
from seamline.model.locate import load_model

ENGINES = (CPU, OPENVINO)
CUTS = {"mobilenetv2": (54, 86), "resnet50": (90, 120), "vgg19": (19, 28)}
DETECTOR = "nudenet"
"""A package that carries a YOLOv8 of 320 x 320: pip install --no-deps nudenet==3.4.2."""

N_ROUNDS, N_REPEATS = 30, 2


def main() -> None:
    chosen = parser("Engines beside each other").parse_args()
    require(OPENVINO)
    report = Report("engines", "ONNX Runtime and OpenVINO on one processor", chosen)
    rows = [_row(*each, is_quick=chosen.quick) for each in _models()]
    report.data = {"rows": rows}
    _tell(report, rows)
    report.finish()


def _models() -> list[tuple[str, StoredModel, tuple[int, int]]]:
    found = [(name, load_model(name)[1], cuts) for name, cuts in CUTS.items()]
    detector = find_spec(DETECTOR)
    if detector is None or detector.origin is None:
        progress(f"no detector: pip install --no-deps {DETECTOR}==3.4.2")
        return found
    model = load_model(str(Path(detector.origin).parent / "320n.onnx"))[1]
    last = model.whole.stop
    return [*found, ("YOLOv8n (nudenet)", model, (last // 3, last // 2))]


def _row(name: str, model: StoredModel, cuts: tuple[int, int], *, is_quick: bool) -> dict[str, Any]:
    progress(name)
    store, whole = ModelStore(), model.whole
    segments = [Segment(*ends) for at in cuts for ends in ((0, at), (at, whole.stop))]
    keep_segments(OrtEngine(store, 1), model, [whole, *segments])  # as nodes have them after the first time
    row: dict[str, Any] = {"model": name, "cuts": cuts, "weights_bytes": model.weights_bytes, "n_cuts": whole.stop + 1}
    engines = {engine: open_engine(engine, store, 1) for engine in ENGINES}
    ready, prepare_s = {}, {}
    for engine, made in engines.items():
        begun_s = time.process_time()
        ready[engine] = made.prepare(model.model_id, whole)
        prepare_s[engine] = time.process_time() - begun_s
    tensors = random_tensors(ready[CPU].inputs, 0)
    expected, found = (ready[engine].run(tensors) for engine in ENGINES)
    row["prepare_s"] = prepare_s
    row["whole_error"] = max(relative_error(found[key], value) for key, value in expected.items())
    row["mixed_errors"] = [
        check.max_relative_error
        for head, tail in (ENGINES, ENGINES[::-1])
        for check in verify_cuts(engines[head], model, cuts=cuts, against=engines[tail])
    ]
    row["run_s"] = {engine: [] for engine in ENGINES}
    for _ in range(3 if is_quick else N_ROUNDS):
        for engine in ENGINES:
            row["run_s"][engine].append(thread_s(lambda segment=ready[engine]: segment.run(tensors)))
    row["pss_bytes"] = {}
    for engine in ENGINES:
        ways = {"none": (), "one": cuts[:1], "two": cuts}
        row["pss_bytes"][engine] = {
            way: [
                in_a_child(__file__, model.model_id, engine, *at)["pss_bytes"]
                for _ in range(1 if is_quick else N_REPEATS)
            ]
            for way, at in ways.items()
        }
    return row


def _child(model_id: str, provider: str, cuts: list[int]) -> None:
    """Hold one pipeline per cut, run a frame through each, and print the PSS then."""
    store = ModelStore()
    model, engine = store.get(model_id), open_engine(provider, store, 1)
    held: list[Any] = []
    for cut in cuts:
        tensors: Any = None
        for part in (Segment(0, cut), Segment(cut, model.whole.stop)):
            segment = engine.prepare(model_id, part)
            tensors = segment.run(tensors or random_tensors(segment.inputs, 0))
            held.append(segment)
    tensors = None
    gc.collect()
    print(json.dumps({"pss_bytes": psutil.Process().memory_full_info().pss, "n_segments": len(held)}))


def _tell(report: Report, rows: list[dict[str, Any]]) -> None:
    report.say(
        "Processor time of one thread, the engines in turn; `ratio` is OpenVINO's time over ONNX Runtime's, round by",
        "round. ONNX Runtime takes its kept optimised forms, as after the first use; OpenVINO keeps none. `deviation`:",
        "of any output element, relative to the largest, OpenVINO whole beside ONNX Runtime whole, and at worst with",
        "the halves of a cut on different engines (two cuts, both orders).",
        "",
    )
    times = []
    for row in rows:
        cpu, other = row["run_s"][CPU], row["run_s"][OPENVINO]
        ratio = spread(two / one for one, two in zip(cpu, other, strict=True))
        times.append(
            (
                row["model"],
                ratio.n,
                spread(cpu).text(1e3),
                spread(other).text(1e3),
                f"**{ratio.text()}**",
                *(f"{row['prepare_s'][engine] * 1e3:.0f}" for engine in ENGINES),
                f"{row['whole_error']:.1e}",
                f"{max(row['mixed_errors']):.1e}",
            )
        )
    report.table(
        (
            "model",
            "n",
            "ONNX Runtime, ms",
            "OpenVINO, ms",
            "**ratio**",
            "prepare ONNX Runtime, ms",
            "prepare OpenVINO, ms",
            "deviation, whole",
            "mixed",
        ),
        times,
    )
    report.say(
        "",
        "PSS of a process with no, one and two complete pipelines (two segments each, one frame run), MiB. `second",
        "adds`: (two - one) / one.",
        "",
    )
    memory = []
    for row in rows:
        for engine in ENGINES:
            pss = {way: spread(values) for way, values in row["pss_bytes"][engine].items()}
            adds = pss["two"].median / pss["one"].median - 1.0
            memory.append(
                (
                    f"{row['model']}, {engine}",
                    pss["one"].n,
                    f"{row['weights_bytes'] / 2**20:.0f}",
                    *(pss[way].text(2**-20, 0) for way in ("none", "one", "two")),
                    f"**{adds:+.1%}**",
                )
            )
    report.table(("model, engine", "n", "weights", "no pipeline", "one", "two", "**second adds**"), memory)


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        _child(sys.argv[2], sys.argv[3], [int(text) for text in sys.argv[4:]])
    else:
        main()
