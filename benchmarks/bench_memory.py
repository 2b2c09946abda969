"""Physical memory of one and of two complete pipelines in one process, by PSS, in a fresh process for each figure.

A pipeline is both segments of a cut, edge and cloud, each having run a frame. The second pipeline is another cut of
the same model, which is what a process holds while a switch prepares the new plan beside the old one; and, as the
harder case, the same cut a second time. Segments are made as on their first use, and from optimised ones kept since
(`seamline.model.engine.optimised`). For comparison: the same with ordinary ONNX Runtime sessions (default options:
weights prepacked into each session, an arena for each), fed with the same graphs and weights file.
PSS counts a page once, however often it is mapped, and shares it among processes; nobody else may have the store open.
"""

from __future__ import annotations

import gc
import json
import sys
from typing import Any

import numpy as np
import psutil
from models import CHILD, in_a_child, keep_segments, plain_session
from reporting import Report, parser, progress, spread

from seamline.core.vocabulary.plans import Segment
from seamline.model import ModelStore, OrtEngine
from seamline.model.locate import load_model

LIMIT_RATIO = 0.25
"""Issue 2: what a second VGG-19 pipeline may add."""

MODELS = {"vgg19": (19, 28), "mobilenetv2": (54, 86), "resnet50": (90, 120)}
"""A cut near the middle, and the one to move to."""

FIRST, KEPT, ORDINARY = "first use", "kept since", "ordinary"
KINDS = (FIRST, KEPT, ORDINARY)
N_REPEATS = 5


def main() -> None:
    chosen = parser("Memory of a second pipeline").parse_args()
    report = Report("memory", "Memory of a second pipeline", chosen)
    rows = []
    for name, (cut, other) in MODELS.items():
        _, model = load_model(name)
        last = len(model.cuts) - 1  # in this process: children only measure
        wanted = [Segment(*ends) for at in (cut, other) for ends in ((0, at), (at, last))]
        keep_segments(OrtEngine(ModelStore(), 1), model, wanted)
        for kind in KINDS:
            progress(f"{name}, {kind}")
            ways = {"none": [], "one": [cut], "two": [cut, other], "two_same": [cut, cut]}
            samples: dict[str, list[int]] = {way: [] for way in ways}
            for _ in range(1 if chosen.quick else N_REPEATS):
                for way, cuts in ways.items():
                    samples[way].append(in_a_child(__file__, model.model_id, kind, *cuts)["pss_bytes"])
            rows.append({"model": name, "kind": kind, "cuts": [cut, other], "weights_bytes": model.weights_bytes})
            rows[-1]["pss_bytes"] = samples
    report.data = {"limit_ratio": LIMIT_RATIO, "rows": rows}
    _tell(report, rows)
    report.finish()


def _child(model_id: str, kind: str, cuts: list[int]) -> None:
    """Hold one pipeline per cut, run a frame through each, and print the PSS then."""
    store = ModelStore()
    model = store.get(model_id)
    last = len(model.cuts) - 1
    engine = OrtEngine(store, 1, takes_kept=kind == KEPT)
    frame = {"frame": np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)}
    held: list[Any] = []
    for cut in cuts:
        tensors: Any = frame
        for part in (Segment(0, cut), Segment(cut, last)):
            segment = _Ordinary(store, model_id, part) if kind == ORDINARY else engine.prepare(model_id, part)
            tensors = segment.run(tensors)
            held.append(segment)
    del frame
    tensors = None
    gc.collect()
    print(json.dumps({"pss_bytes": psutil.Process().memory_full_info().pss, "n_segments": len(held)}))


class _Ordinary:
    """A segment the way ONNX Runtime is used by default, except that it finds the weights file."""

    def __init__(self, store: ModelStore, model_id: str, segment: Segment) -> None:
        model = store.get(model_id)
        part = model.segment(segment)
        assert part.model is not None
        self._session = plain_session(part.model, model.folder)

    def run(self, tensors: dict[str, Any]) -> dict[str, Any]:
        names = [output.name for output in self._session.get_outputs()]
        feeds = {feed.name: tensors[feed.name] for feed in self._session.get_inputs()}
        return dict(zip(names, self._session.run(names, feeds), strict=True))


def _tell(report: Report, rows: list[dict[str, Any]]) -> None:
    report.say(
        "PSS of a process with no, one and two complete pipelines (edge and cloud segment each, one frame run), MiB,",
        "median of fresh processes. `second adds`: (two - one) / one of the process, the second at another cut, as",
        f"while a switch is prepared; in brackets at the same cut once more. Target: VGG-19 <= +{LIMIT_RATIO:.0%}.",
        "",
    )
    table = []
    for row in rows:
        pss = {way: spread(values) for way, values in row["pss_bytes"].items()}
        one = pss["one"].median
        adds, adds_same = (pss[way].median / one - 1.0 for way in ("two", "two_same"))
        table.append(
            (
                f"{row['model']}, {row['kind']}, cuts {row['cuts'][0]} and {row['cuts'][1]}",
                pss["one"].n,
                f"{row['weights_bytes'] / 2**20:.0f}",
                *(pss[way].text(2**-20, 0) for way in ("none", "one", "two")),
                f"**{adds:+.1%}** ({adds_same:+.1%})",
            )
        )
    report.table(("model, sessions, cuts", "n", "weights", "no pipeline", "one", "two", "**second adds**"), table)


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        _child(sys.argv[2], sys.argv[3], [int(text) for text in sys.argv[4:]])
    else:
        main()
